import { describe, expect, test } from 'vitest';
import { cpuMachine, machines } from '../../../src/schedule/machine';
import { policies } from '../../../src/schedule/policies/known';
import { type AttentionProblem, makeProblem } from '../../../src/schedule/problem';
import type { Schedule, TileView } from '../../../src/schedule/schedule';
import { validate } from '../../../src/schedule/validate';

const heads = { numQoHeads: 32, numKvHeads: 8, headDim: 128, causal: true };
/** One long prefill among 64 decodes of about 4k tokens. */
const pod = makeProblem({
  ...heads,
  kvLens: [8192, ...Array<number>(64).fill(4096)],
  qoLens: [8192, ...Array<number>(64).fill(1)],
});
const isDecode = (problem: AttentionProblem, { request }: TileView): boolean =>
  problem.qoIndptr[request + 1] - problem.qoIndptr[request] === 1;

/** When each tile runs if the two CTAs of an SM don't hinder each other: ns from roofs of bandwidth and of arithmetic. */
function timesOf(schedule: Schedule): (TileView & { start: number; end: number })[] {
  const { machine, problem } = schedule;
  const times: (TileView & { start: number; end: number })[] = [];
  let [cta, now] = [-1, 0];
  for (let t = 0; t < schedule.numTiles; t++) {
    const tile = schedule.tile(t);
    if (tile.cta !== cta) [cta, now] = [tile.cta, 0];
    const tokens = tile.kvEnd - tile.kvStart;
    const bytesNs = (tokens * problem.headDim * 4 * machine.numSms) / machine.memoryBandwidthGBs;
    const flopsNs = (4 * 128 * tokens * problem.headDim * machine.numSms) / (machine.bf16Tflops * 600);
    const start = now;
    now += isDecode(problem, tile) ? bytesNs : Math.max(bytesNs, flopsNs);
    times.push({ ...tile, start, end: now });
  }
  return times;
}

describe('mixed', () => {
  test('nearly all decode time overlaps prefill on the same SM', () => {
    const schedule = policies.mixed(pod, machines.h100);
    validate(schedule);
    const times = timesOf(schedule);
    let [decode, overlapped] = [0, 0];
    for (const tile of times) {
      if (!isDecode(pod, tile)) continue;
      decode += tile.end - tile.start;
      for (const other of times) {
        if (isDecode(pod, other) || other.cta === tile.cta || other.cta % 132 !== tile.cta % 132) continue;
        overlapped += Math.max(0, Math.min(tile.end, other.end) - Math.max(tile.start, other.start));
      }
    }
    expect(overlapped / decode).toBeGreaterThan(0.95);
  });

  test('all CTAs have about as much to do, and decode is strung out over its CTAs', () => {
    const times = timesOf(policies.mixed(pod, machines.h100));
    const ends = new Float64Array(264);
    for (const { cta, end } of times) ends[cta] = Math.max(ends[cta], end);
    expect(Math.max(...ends)).toBeLessThan(1.03 * (ends.reduce((sum, end) => sum + end, 0) / 264));
    // The last decode tile of a CTA begins in the second half of its run.
    for (let cta = 132; cta < 264; cta++) {
      const decodes = times.filter((tile) => tile.cta === cta && isDecode(pod, tile));
      expect(decodes.length).toBeGreaterThan(2);
      expect(decodes[decodes.length - 1].start).toBeGreaterThan(0.5 * ends[cta]);
    }
  });

  test('where decode takes longer, it also follows the prefill on the other CTAs', () => {
    const problem = makeProblem({
      ...heads,
      kvLens: [512, ...Array<number>(64).fill(8192)],
      qoLens: [512, ...Array<number>(64).fill(1)],
    });
    const schedule = policies.mixed(problem, machines.h100);
    validate(schedule);
    const times = timesOf(schedule);
    expect(times.filter((tile) => !isDecode(problem, tile)).every(({ cta }) => cta < 132)).toBe(true);
    for (const cta of [0, 50]) {
      const kinds = times.filter((tile) => tile.cta === cta).map((tile) => isDecode(problem, tile));
      expect(kinds).toContain(true);
    }
  });

  test('a machine with one CTA an SM takes both kinds in turn', () => {
    const problem = makeProblem({ ...heads, kvLens: [900, 3000, 2000], qoLens: [600, 1, 1] });
    const schedule = policies.mixed(problem, cpuMachine(2));
    validate(schedule);
    const kinds = timesOf(schedule)
      .filter(({ cta }) => cta === 0)
      .map((tile) => isDecode(problem, tile));
    const firstDecode = kinds.indexOf(true);
    expect(firstDecode).toBeGreaterThanOrEqual(0);
    expect(kinds.lastIndexOf(false)).toBeGreaterThan(firstDecode);
  });

  test('from a queue, the first tiles are those that the CTAs would begin with', () => {
    const list = policies.mixed(pod, machines.h100);
    const queue = policies.mixed({ dispatch: 'queue' })(pod, machines.h100);
    expect(queue.dispatch).toBe('queue');
    for (const cta of [0, 131, 132, 263]) {
      const { cta: _a, partialSlot: _b, ...first } = list.tile(list.ctaIndptr[cta]);
      expect(queue.tile(cta)).toMatchObject(first);
    }
  });

  test('decode takes a tile class of few rows where it leaves the SM as many CTAs', () => {
    const [decode, prefill] = machines.h100.tileClasses;
    const machine = { ...machines.h100, tileClasses: [{ ...decode, ctasPerSm: 2 }, prefill] };
    const schedule = policies.mixed(pod, machine);
    validate(schedule);
    for (let t = 0; t < schedule.numTiles; t += 7) {
      const tile = schedule.tile(t);
      expect(tile.tileClass).toBe(isDecode(pod, tile) ? 0 : 1);
    }
    expect(policies.mixed(pod, machines.h100).tile(0).tileClass).toBe(1);
  });
});
