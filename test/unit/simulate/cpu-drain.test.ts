import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { ScheduleBuilder } from '../../../src/schedule/builder';
import { cpuMachine } from '../../../src/schedule/machine';
import { policies } from '../../../src/schedule/policies/known';
import { type AttentionProblem, makeProblem } from '../../../src/schedule/problem';
import type { Policy, Schedule } from '../../../src/schedule/schedule';
import type { CostModel } from '../../../src/simulate/cost-model';
import { CACHE_BYTES, type CpuCosts } from '../../../src/simulate/cpu-costs';
import { drainOnThreads } from '../../../src/simulate/cpu-drain';
import { rooflineModel } from '../../../src/simulate/roofline';
import { predict, simulate } from '../../../src/simulate/simulate';
import { problemArbitrary } from '../../support/problems';

const machine = cpuMachine(8);

/** A token takes 10 ns, and nothing else anything; two threads that don't disturb each other. */
const quiet: CpuCosts = {
  launchNs: 0,
  joinNs: 0,
  wakeNs: 0,
  signalNs: 0,
  ctaNs: 0,
  tileNs: 0,
  tileRowNs: 0,
  drawNs: 0,
  blockNs: 0,
  blockRowNs: 0,
  tokenNs: CACHE_BYTES.map(() => 10),
  tokenRowNs: 0,
  mergeRowNs: 0,
  mergeStateNs: 0,
  pace: [1, 1],
  threadSpread: 0,
};
const costs = (changed: Partial<CpuCosts>): CpuCosts => ({ ...quiet, ...changed });

/** Requests of one KV head, so many tokens each, on a CTA each. */
function onCtas(tokens: readonly number[]): Schedule {
  const problem = makeProblem({ kvLens: tokens, numQoHeads: 4, numKvHeads: 1, headDim: 128 });
  const policy: Policy = (asked, given) => {
    const builder = new ScheduleBuilder('onCtas', asked, given);
    for (const [cta, tile] of builder.queryTiles().entries()) builder.add(tile, cta);
    return builder.build('explicit');
  };
  return policy(problem, machine);
}

describe('drainOnThreads', () => {
  test('threads take virtual CTAs in turn', () => {
    const { finishNs, periodNs, bytes } = drainOnThreads(onCtas([100, 200, 300, 100]), quiet);
    expect(finishNs.slice(0, 4)).toEqual(Float64Array.of(1000, 2000, 4000, 3000));
    expect(periodNs).toBe(4000);
    expect(bytes).toBe(700 * 512);
  });

  test('threads that are busy together slow each other down, and the one that is left goes faster', () => {
    const { finishNs } = drainOnThreads(onCtas([100, 200]), costs({ pace: [1, 0.5] }));
    expect(finishNs[0]).toBeCloseTo(2000, 6);
    expect(finishNs[1]).toBeCloseTo(3000, 6);
  });

  test('threads that differ: the fast one takes more CTAs', () => {
    const { finishNs } = drainOnThreads(onCtas([100, 100, 100, 100]), costs({ threadSpread: 0.4 }));
    for (const [cta, ns] of [600, 1400, 1200, 1800].entries()) expect(finishNs[cta]).toBeCloseTo(ns, 6);
  });

  test('a tile costs by rows, blocks and keys', () => {
    const one = { ctaNs: 1, tileNs: 10, tileRowNs: 100, blockNs: 1e3, blockRowNs: 1e4, tokenRowNs: 1 };
    // 65 keys are 2 blocks; 4 rows.
    expect(drainOnThreads(onCtas([65]), costs(one)).finishNs[0]).toBe(
      1 + 10 + 4 * 100 + 2 * 1e3 + 2 * 4 * 1e4 + 65 * (10 + 4),
    );
  });

  test('what a key takes goes by what the launch reads', () => {
    const tokenNs = [10, 20, 30, 40];
    const took = (tokens: number): number => drainOnThreads(onCtas([tokens]), costs({ tokenNs })).makespanNs / tokens;
    expect(took(100)).toBeCloseTo(10, 6);
    expect(took(2 ** 22 / 512)).toBeCloseTo(20, 6);
    expect(took(2 ** 23 / 512)).toBeCloseTo(25, 6);
    expect(took(2 ** 28 / 512)).toBeCloseTo(40, 6);
  });

  test('a thread that waits long falls asleep, and the next launch wakes it up', () => {
    // The second thread has nothing to do from 1 µs on, the first one until 40 µs; and the other way round.
    const asleep = costs({ wakeNs: 5000, signalNs: 300, launchNs: 70 });
    expect(drainOnThreads(onCtas([4000, 100]), asleep)).toMatchObject({ makespanNs: 40_300, periodNs: 40_370 });
    // The thread that launches sleeps while the other one works, and so does the launch after.
    expect(drainOnThreads(onCtas([100, 4000]), asleep).periodNs).toBe(40_000 + 5000 + 70);
    // 10 µs are waited for in a loop.
    expect(drainOnThreads(onCtas([1100, 100]), asleep).periodNs).toBe(11_070);
  });

  test('a queue goes to whoever is free', () => {
    const problem = makeProblem({ kvLens: [400, 100, 100, 100, 100], numQoHeads: 4, numKvHeads: 1, headDim: 128 });
    const schedule = policies.longestFirst(problem, machine);
    expect(schedule.dispatch).toBe('queue');
    expect(drainOnThreads(schedule, costs({ drawNs: 7 })).makespanNs).toBe(4028);
  });

  test('whoever completes a group merges it', () => {
    const problem = makeProblem({ kvLens: [256], numQoHeads: 4, numKvHeads: 1, headDim: 128 });
    const builder = new ScheduleBuilder('halves', problem, machine);
    builder.split(builder.queryTiles()[0], [64], [0, 1]);
    const spans: unknown[] = [];
    const merging = costs({ mergeRowNs: 50, mergeStateNs: 5 });
    const { finishNs } = drainOnThreads(builder.build('explicit'), merging, (...span) => spans.push(span));
    // 4 rows of 2 states.
    expect(finishNs.slice(0, 2)).toEqual(Float64Array.of(640, 1920 + 4 * 50 + 8 * 5));
    expect(spans).toEqual([
      ['tile', 0, 0, 0, 0, 640],
      ['tile', 1, 1, 1, 0, 1920],
      ['merge', 1, 1, 0, 1920, 2160],
    ]);
  });

  test('every tile and every group once, in no less time than the work takes', () => {
    const own = costs({ tileNs: 100, tileRowNs: 10, blockRowNs: 20, mergeRowNs: 30, pace: [1, 0.9, 0.8] });
    const drained = (problem: AttentionProblem, policy: Policy): void => {
      const schedule = policy(problem, machine);
      const seen = { tile: new Set<number>(), merge: new Set<number>() };
      let busyNs = 0;
      const { makespanNs, finishNs } = drainOnThreads(schedule, own, (phase, _cta, _thread, item, start, end) => {
        expect(seen[phase].has(item)).toBe(false);
        seen[phase].add(item);
        busyNs += end - start;
      });
      expect(seen.tile.size).toBe(schedule.numTiles);
      expect(makespanNs).toBeGreaterThanOrEqual((busyNs / 3) * (1 - 1e-9));
      expect(makespanNs).toBeLessThanOrEqual(busyNs * (1 + 1e-9));
      expect(Math.max(0, ...finishNs)).toBe(makespanNs);
    };
    fc.assert(
      fc.property(
        problemArbitrary,
        fc.constantFrom(policies.noSplit, policies.longestFirst, policies.headGroups, policies.binarySearch),
        drained,
      ),
      { numRuns: 60 },
    );
  });
});

test('predict and simulate play a calibrated CPU device by its threads', () => {
  const model: CostModel = { ...rooflineModel(machine), kind: 'calibrated', cpu: quiet };
  const schedule = onCtas([100, 200, 300, 100]);
  expect(predict(schedule, model).durationNs).toBe(4000);
  expect(new Set(simulate(schedule, model).sm)).toEqual(new Set([0, 1]));
});
