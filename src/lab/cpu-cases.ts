/**
 * The micro-measurements of the CPU device's calibration: none of them from a trace. Lengths are those that its caches tell apart;
 * ragged batches under the usual policies see to it that what the costs leave out is met in the mean.
 */
import { binarySearch } from '../schedule/policies/binary-search';
import { fixedSplitSize } from '../schedule/policies/fixed-split-size';
import { headGroups } from '../schedule/policies/head-groups';
import { longestFirst } from '../schedule/policies/longest-first';
import { noSplit } from '../schedule/policies/no-split';
import type { Policy } from '../schedule/schedule';
import { type CalibrationCase, spread } from './calibration-cases';

const repeat = (count: number, length: number): number[] => new Array<number>(count).fill(length);

/** Lengths of no pattern between `from` and `from` + `range`: 7919 is a prime. */
const ragged = (count: number, from: number, range: number): number[] =>
  Array.from({ length: count }, (_, i) => from + (((i + 1) * 7919) % range));

function decode(what: string, kvLens: readonly number[], policy: Policy, numQoHeads: number = 32): CalibrationCase {
  return { what, kind: 'decode', kvLens, policy, numQoHeads };
}

/** 8 KV heads of 128 dims, pages of 16; at most 16,384 tokens, 64 MiB. */
export const cpuCases: readonly CalibrationCase[] = [
  // Launch, tile, block, key; 4 and 8 rows; by what the launch reads.
  ...[32, 64].flatMap((heads) => [
    ...[16, 64, 256, 1024, 4096, 16_000].map((tokens) => decode(`${tokens} tokens`, [tokens], noSplit, heads)),
    decode('16 × 64', repeat(16, 64), noSplit, heads),
    decode('16 × 250', repeat(16, 250), noSplit, heads),
    decode('16 × 1000', repeat(16, 1000), noSplit, heads),
  ]),
  // Threads: one, two, some of them; others sleep meanwhile.
  ...[1, 2, 4].map((ctas) => decode(`256 tokens on ${ctas} CTAs`, [256], spread(1, ctas))),
  ...[1, 2, 4].map((ctas) => decode(`2048 tokens on ${ctas} CTAs`, [2048], spread(1, ctas))),
  decode('8192 tokens on 1 CTA', [8192], spread(1, 1)),
  decode('one long, many short', [6000, ...repeat(15, 128)], noSplit),
  // Partial states and merges.
  ...[2, 8, 32].map((states) => decode(`2048 tokens in ${states}`, [2048], spread(states))),
  decode('2048 tokens in 16', [2048], spread(16), 64),
  decode('512 tokens in 4', [512], spread(4)),
  // Queue.
  decode('16 × 64, queue', repeat(16, 64), longestFirst),
  decode('16 × 250, queue', repeat(16, 250), longestFirst, 64),
  decode('1024 tokens, queue', [1024], longestFirst),
  // All at once.
  decode('3 ragged, head groups', ragged(3, 100, 500), headGroups),
  decode('3 ragged, binary search', ragged(3, 300, 900), binarySearch, 64),
  decode('2 ragged, head groups', ragged(2, 700, 1500), headGroups, 64),
  decode('5 ragged, no split', ragged(5, 60, 300), noSplit, 64),
  decode('5 ragged, binary search', ragged(5, 300, 1700), binarySearch),
  decode('8 ragged, head groups', ragged(8, 100, 1200), headGroups),
  decode('8 ragged, queue', ragged(8, 200, 1500), longestFirst, 64),
  decode('12 ragged, binary search', ragged(12, 40, 400), binarySearch),
  decode('4 long, head groups', ragged(4, 1500, 2500), headGroups),
  decode('4 long, chunks of 2048', ragged(4, 1500, 2500), fixedSplitSize(2048), 64),
  decode('16 ragged, queue', ragged(16, 200, 1300), longestFirst),
  decode('16 ragged, no split', ragged(16, 200, 1300), noSplit, 64),
  decode('2 very long, head groups', [9000, 4000], headGroups, 64),
  decode('1 very long, chunks of 2048', [12_000], fixedSplitSize(2048)),
];
