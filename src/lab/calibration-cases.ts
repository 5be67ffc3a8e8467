/**
 * The micro-measurements of a calibration: a fixed set, none of them from a trace. Each pins down some of the costs; together
 * they pin down all (docs/simulator.md).
 */
import { ScheduleBuilder } from '../schedule/builder';
import { binarySearch } from '../schedule/policies/binary-search';
import { fixedSplitCount } from '../schedule/policies/fixed-split-count';
import { fixedSplitSize } from '../schedule/policies/fixed-split-size';
import { headGroups } from '../schedule/policies/head-groups';
import { longestFirst } from '../schedule/policies/longest-first';
import { noSplit } from '../schedule/policies/no-split';
import type { Policy } from '../schedule/schedule';
import type { TimedBatch } from './time-batch';

export interface CalibrationCase extends TimedBatch {
  readonly what: string;
  readonly policy: Policy;
}

/**
 * Every query tile in `pieces` pieces, all of them laid out over `numCtas` CTAs in equal numbers, in order.
 * @param numCtas default: one for each piece, or all there are
 */
export function spread(pieces: number, numCtas?: number): Policy {
  return function spreadOut(problem, machine) {
    const builder = new ScheduleBuilder('spread', problem, machine);
    const step = machine.tileClasses[0].kvStep;
    const tiles = builder.queryTiles();
    const total = tiles.length * pieces;
    const used = Math.min(numCtas ?? total, builder.numCtas);
    let item = 0;
    for (const tile of tiles) {
      const length = tile.kvEnd - tile.kvStart;
      const cuts: number[] = [];
      const ctas: number[] = [];
      for (let piece = 0; piece < pieces; piece++) {
        if (piece > 0) cuts.push(tile.kvStart + Math.round((length * piece) / pieces / step) * step);
        ctas.push(Math.floor((item++ * used) / total));
      }
      builder.split(tile, cuts, ctas);
    }
    return builder.build('explicit');
  };
}

const repeat = (count: number, length: number): number[] => new Array<number>(count).fill(length);

/** Lengths of no pattern, 100 to 4,100 tokens: 7919 is a prime. */
const RAGGED: readonly number[] = Array.from({ length: 64 }, (_, i) => 100 + ((i * 7919) % 4001));

/** The same, 200 to 1,700 tokens. */
const RAGGED_SHORT: readonly number[] = Array.from({ length: 16 }, (_, i) => 200 + ((i * 7919) % 1501));

/** 16 requests, of which so many have 8,192 tokens and the others 1,024, in turn as evenly as may be. */
function someLong(long: number): number[] {
  return Array.from({ length: 16 }, (_, i) =>
    Math.floor(((i + 1) * long) / 16) > Math.floor((i * long) / 16) ? 8192 : 1024,
  );
}

function decode(what: string, kvLens: readonly number[], policy: Policy, numQoHeads: number = 32): CalibrationCase {
  return { what, kind: 'decode', kvLens, policy, numQoHeads };
}

function prefill(what: string, qoLens: readonly number[], kvLens: readonly number[], policy: Policy): CalibrationCase {
  return { what, kind: 'prefill', qoLens, kvLens, policy, numQoHeads: 32 };
}

/** What the decode kernel's builds for more query rows differ in: steps, ends of tiles, merges. */
function wideCases(rows: 16 | 32): CalibrationCase[] {
  const one = (what: string, kvLens: readonly number[], policy: Policy): CalibrationCase =>
    decode(`${what}, ${rows} rows`, kvLens, policy, rows * 8);
  return [
    one('1 step on 8 CTAs', [128], noSplit),
    one('64 steps on 8 CTAs', [8192], noSplit),
    one('8 tiles of 2 steps on 8 CTAs', repeat(8, 256), spread(1, 8)),
    one('1 step on 128 CTAs', repeat(16, 128), noSplit),
    one('8 tiles of 1 step on 128 CTAs', repeat(128, 128), spread(1, 128)),
    one('8 steps on 128 CTAs', repeat(16, 1024), noSplit),
    one('4 states on 32 CTAs', [512], spread(4)),
    one('8 states on 64 CTAs', [1024], spread(8)),
    one('8 states on 128 CTAs', [1024, 1024], spread(8)),
    one('16 states of 2 steps on 128 CTAs', [4096], spread(16)),
    one('32 states on 128 CTAs', [4096], spread(32)),
    one('2 equal requests, head groups', [1160, 1160], headGroups),
    one('4 ragged, head groups', [1450, 1390, 1180, 2900], headGroups),
    one('8 ragged, binary search', RAGGED_SHORT.slice(0, 8), binarySearch),
    one('16 ragged, queue', RAGGED_SHORT, longestFirst),
    one('64 ragged, head groups', RAGGED, headGroups),
  ];
}

/** For GPUs: 8 KV heads of 128 dims, pages of 16. */
export const gpuCases: readonly CalibrationCase[] = [
  // Launch, step, tile.
  decode('1 step on 8 CTAs', [128], noSplit),
  decode('1/8 step on 8 CTAs', [16], noSplit),
  decode('8.5 steps on 8 CTAs', [1088], noSplit),
  decode('64 steps on 8 CTAs', [8192], noSplit),
  decode('8 tiles of 2 steps on 8 CTAs', repeat(8, 256), spread(1, 8)),
  // How memory saturates. Where fewer CTAs than SMs have something to do, as when the others have ended, they are spread over the chip;
  // launches of 80 or 96 CTAs alone aren't (docs/simulator.md).
  ...[16, 24, 32, 48, 64, 128].map((ctas) => decode(`64 steps on ${ctas} CTAs`, repeat(ctas / 8, 8192), noSplit)),
  ...[4, 6, 8, 10, 12].map((long) => decode(`64 steps on ${long * 8} CTAs, 8 on the others`, someLong(long), noSplit)),
  ...[32, 48, 64].map((ctas) => decode(`16 steps on ${ctas} CTAs`, repeat(ctas / 8, 2048), noSplit)),
  decode('8 states of 8 steps on 64 CTAs', [8192], spread(8)),
  decode('2 × 32 steps on 132 CTAs', repeat(33, 4096), spread(1, 132)),
  // Tiles and their ends where memory is busy.
  decode('1 step on 128 CTAs', repeat(16, 128), noSplit),
  decode('8 tiles of 1 step on 128 CTAs', repeat(128, 128), spread(1, 128)),
  decode('8 tiles of 2 steps on 128 CTAs', repeat(128, 256), spread(1, 128)),
  decode('8 steps on 128 CTAs', repeat(16, 1024), noSplit),
  // Partial states and merges; CTAs that start late.
  decode('4 states on 32 CTAs', [512], spread(4)),
  decode('8 states on 64 CTAs', [1024], spread(8)),
  decode('8 states of 8 rows on 64 CTAs', [1024], spread(8), 64),
  decode('8 states on 128 CTAs', [1024, 1024], spread(8)),
  decode('10 states on 80 CTAs', [1280], spread(10)),
  decode('12 states of 8 rows on 96 CTAs', [1536], spread(12), 64),
  decode('16 states on 128 CTAs', [2048], spread(16)),
  decode('16 states of 2 steps on 128 CTAs', [4096], spread(16)),
  decode('32 states on 128 CTAs', [4096], spread(32)),
  decode('4 states of 2 steps on 128 CTAs', repeat(4, 1024), spread(4)),
  // All at once: what policies make of small batches, where most is latency, and of larger ones.
  decode('10 steps of 8 rows on 8 CTAs', [1280], noSplit, 64),
  decode('2 requests, head groups', [1430, 1030], headGroups),
  decode('2 equal requests, head groups', [1160, 1160], headGroups, 64),
  decode('2 uneven requests, binary search', [3500, 430], binarySearch),
  decode('4 ragged, binary search', [1450, 1390, 1180, 2900], binarySearch),
  decode('4 ragged, head groups', [1450, 1390, 1180, 2900], headGroups),
  decode('8 ragged, no split', RAGGED_SHORT.slice(0, 8), noSplit),
  decode('8 ragged, binary search', RAGGED_SHORT.slice(0, 8), binarySearch),
  decode('8 ragged, head groups', RAGGED_SHORT.slice(0, 8), headGroups),
  decode('16 ragged, no split', RAGGED_SHORT, noSplit),
  decode('1 long, binary search', [20_000], binarySearch),
  decode('1 long, chunks of 2048', [20_000], fixedSplitSize(2048)),
  decode('8×4096, head groups', repeat(8, 4096), headGroups),
  decode('64 ragged, head groups', RAGGED, headGroups),
  decode('64 ragged, no split', RAGGED, noSplit),
  // Queue.
  decode('32×1024, queue', repeat(32, 1024), longestFirst),
  decode('16 ragged, queue', RAGGED_SHORT, longestFirst),
  decode('1 request, queue', [640], longestFirst),
  decode('64 ragged, queue', RAGGED, longestFirst),
  // Builds for more query rows.
  ...wideCases(16),
  ...wideCases(32),
  // The prefill kernel.
  prefill('64 steps of 128 rows', [32], [4096], noSplit),
  prefill('64 steps of 128 rows on all CTAs', [1056], [4096], noSplit),
  prefill('64 steps of 4 rows', repeat(16, 1), repeat(16, 4096), noSplit),
  prefill('16 steps of 4 rows, 2 tiles', repeat(64, 1), repeat(64, 1024), noSplit),
  prefill('short tiles', repeat(16, 512), repeat(16, 512), noSplit),
  prefill('short tiles, queue', repeat(16, 512), repeat(16, 512), longestFirst),
  prefill('1 wave of short tiles', [128], [128], noSplit),
  prefill('1 wave of short tiles, queue', [300], [300], longestFirst),
  prefill('512 of 2048', [512], [2048], noSplit),
  prefill('4096 of 4096', [4096], [4096], noSplit),
  prefill('8192 of 8192', [8192], [8192], noSplit),
  prefill('4 × 4096 of 4096', repeat(4, 4096), repeat(4, 4096), noSplit),
  prefill('4 × 4096 of 4096, queue', repeat(4, 4096), repeat(4, 4096), longestFirst),
  prefill('128 of 128, head groups', [128], [128], headGroups),
  prefill('2048 of 2048, head groups', [2048], [2048], headGroups),
  prefill('8192 of 8192, head groups', [8192], [8192], headGroups),
  prefill('1 prompt, 32 decodes', [2048, ...repeat(32, 1)], [2048, ...repeat(32, 2048)], noSplit),
  prefill('2 states', [64], [2048], fixedSplitCount(2)),
  prefill('6 states', [64], [6144], fixedSplitCount(6)),
  prefill('16 states', [64], [16384], fixedSplitCount(16)),
  prefill('2 states of 4 rows', repeat(16, 1), repeat(16, 2048), fixedSplitCount(2)),
];

/** For the CPU device: smaller, since its threads are few. */
export const cpuCases: readonly CalibrationCase[] = [
  decode('1 request', [1024], noSplit),
  decode('1 long request', [8192], noSplit),
  decode('1 tiny request', [16], noSplit),
  decode('32 short requests', repeat(32, 64), noSplit),
  decode('16 requests', repeat(16, 1024), noSplit),
  decode('64 tiles of 256', repeat(8, 256), spread(1)),
  decode('split in 8', [4096], spread(8)),
  decode('split in 32', [2048], spread(32)),
  decode('head groups', RAGGED_SHORT, headGroups),
  decode('longest first', RAGGED_SHORT, longestFirst),
  decode('one long, many short', [8192, ...repeat(15, 128)], noSplit),
  decode('8 rows', repeat(8, 1024), noSplit, 64),
];
