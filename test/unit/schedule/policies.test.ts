import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { cpuMachine, machines, numCtaSlots } from '../../../src/schedule/machine';
import { policies } from '../../../src/schedule/policies/known';
import { makeProblem } from '../../../src/schedule/problem';
import { runPolicy } from '../../../src/schedule/run-policy';
import type { Schedule } from '../../../src/schedule/schedule';
import { findViolation, validate } from '../../../src/schedule/validate';
import { TILE, TILE_STRIDE } from '../../../src/schedule/work-tile';
import { everyPolicy } from '../../support/policies';
import { problemArbitrary, sharedProblemArbitrary } from '../../support/problems';

/** CI looks at 500 problems a policy, WARPBOOK_LONG=1 at 10,000; WARPBOOK_SEED draws others. */
const RUNS = process.env.WARPBOOK_LONG ? 10_000 : 500;
const SEED = Number(process.env.WARPBOOK_SEED ?? 20261127);
/** An H100 as a wrapper with a prefill kernel plans for it. */
const prefillMachine = { ...machines.h100, tileClasses: [machines.h100.tileClasses[1]] };
const qo = { numQoHeads: 8, numKvHeads: 2, headDim: 128 };
const decode = (kvLens: number[], numKvHeads = 8, pageSize = 16) =>
  makeProblem({ kvLens, numQoHeads: numKvHeads * 4, numKvHeads, headDim: 128, pageSize });

describe('every policy', () => {
  for (const [name, policy] of Object.entries(everyPolicy)) {
    test(`${name} covers every visible key once, on any problem and machine`, { timeout: 120 * RUNS }, () => {
      fc.assert(
        fc.property(
          fc.oneof(problemArbitrary, sharedProblemArbitrary),
          fc.constantFrom(machines.h100, machines.l40s, cpuMachine(3), prefillMachine),
          (problem, machine) => {
            expect(findViolation(policy(problem, machine))).toBeUndefined();
          },
        ),
        { numRuns: RUNS, seed: SEED },
      );
    });

    test(`${name} gives an empty request exactly one zero-length tile per head`, () => {
      const schedule = policy(decode([0, 300, 0], 2), machines.h100);
      validate(schedule);
      const ofEmpty = Array.from({ length: schedule.numTiles }, (_, i) => schedule.tile(i)).filter(
        (t) => t.request === 0,
      );
      expect(ofEmpty.map((t) => [t.kvHead, t.kvStart, t.kvEnd]).sort()).toEqual([
        [0, 0, 0],
        [1, 0, 0],
      ]);
    });

    test(`${name} is pure: the same problem gives the same schedule`, () => {
      const problem = decode([5000, 17, 0, 1, 900]);
      expect(policy(problem, machines.a100)).toEqual(policy(problem, machines.a100));
    });
  }
});

describe('noSplit', () => {
  test('one tile for each request and head', () => {
    expect(policies.noSplit(decode([100, 5000]), machines.h100).numTiles).toBe(16);
  });
});

describe('longestFirst', () => {
  test('queues the query tiles by their keys, the heads of each together', () => {
    const problem = makeProblem({ ...qo, kvLens: [10, 300], qoLens: [2, 100], causal: true, pageSize: 16 });
    const machine = { ...machines.h100, tileClasses: [{ ...machines.h100.tileClasses[0], queryRows: 128 }] };
    const schedule = policies.longestFirst(problem, machine);
    validate(schedule);
    expect(schedule.dispatch).toBe('queue');
    const tiles = Array.from({ length: schedule.numTiles }, (_, i) => schedule.tile(i));
    expect(tiles.map((t) => [t.kvEnd, t.kvHead])).toEqual(
      [300, 296, 264, 232, 10].flatMap((end) => [
        [end, 0],
        [end, 1],
      ]),
    );
  });
});

describe('fixedSplitCount', () => {
  test('pieces are whole KV steps; a short request gets fewer', () => {
    const schedule = policies.fixedSplitCount(4)(decode([1000, 100], 1), machines.h100);
    const lengths = Array.from({ length: schedule.numTiles }, (_, i) => schedule.tile(i)).map((t) => [
      t.request,
      t.kvStart,
      t.kvEnd,
    ]);
    expect(lengths.sort((a, b) => a[0] - b[0] || a[1] - b[1])).toEqual([
      [0, 0, 256],
      [0, 256, 512],
      [0, 512, 768],
      [0, 768, 1000],
      [1, 0, 100],
    ]);
  });

  test('refuses a count of zero', () => {
    expect(() => policies.fixedSplitCount(0)).toThrow(
      'fixedSplitCount: count is 0; wanted an integer from 1 to 65536.',
    );
  });

  test('handed over without its option is told to be called first', () => {
    for (const maker of [policies.fixedSplitCount, policies.fixedSplitSize]) {
      expect(() => runPolicy(maker as never, decode([100]), machines.h100)).toThrow(
        `${maker.name} makes policies and is none itself: call it first, policies.${maker.name}(512)`,
      );
    }
  });
});

describe('fixedSplitSize', () => {
  test('is batch-invariant: a request is cut in the same places whatever else is in the batch', () => {
    const cutsOf = (kvLens: number[]) => {
      const schedule = policies.fixedSplitSize(512)(decode(kvLens, 1), machines.h100);
      return Array.from({ length: schedule.numTiles }, (_, i) => schedule.tile(i))
        .filter((t) => t.request === 0)
        .map((t) => t.kvStart)
        .sort((a, b) => a - b);
    };
    expect(cutsOf([2000])).toEqual([0, 512, 1024, 1536]);
    expect(cutsOf([2000, 90_000, 3])).toEqual(cutsOf([2000]));
  });
});

describe('binarySearch', () => {
  test('splits nothing where requests × heads fill the machine', () => {
    const schedule = policies.binarySearch(decode(Array(17).fill(4096)), machines.h100);
    expect([schedule.numTiles, schedule.numMergeGroups]).toEqual([17 * 8, 0]);
  });

  test('finds the smallest chunk whose pieces fit: 1 × 16k on 132 slots', () => {
    // 16 pieces a head fit (8 × 16 = 128 ≤ 132), 17 would not: 1024 pages / 16 = 64 pages.
    const schedule = policies.binarySearch(decode([16384]), machines.h100);
    expect(schedule.decisions).toEqual({ kvChunkSizePages: 64, kvChunkSizeTokens: 1024 });
    expect(schedule.numTiles).toBe(128);
  });

  test('never cuts below 128 tokens, nor below a page', () => {
    expect(policies.binarySearch(decode([1000], 1), machines.h100).decisions.kvChunkSizeTokens).toBe(128);
    expect(policies.binarySearch(decode([1000], 1, 256), machines.h100).decisions.kvChunkSizeTokens).toBe(256);
  });

  test('never makes more items than slots when it splits, empty requests counted', () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 0, max: 40_000 }), { minLength: 1, maxLength: 16 }), (kvLens) => {
        const schedule = policies.binarySearch(decode(kvLens), machines.h100);
        expect(schedule.numTiles).toBeLessThanOrEqual(Math.max(numCtaSlots(machines.h100), kvLens.length * 8));
      }),
    );
  });
});

describe('binarySearchByBatchSize', () => {
  test('in a small batch every tile is partial, whatever the lengths', () => {
    for (const kvLens of [[40], [40_000]]) {
      const schedule = policies.binarySearchByBatchSize(decode(kvLens), machines.h100);
      for (let t = 0; t < schedule.numTiles; t++) {
        expect(schedule.tiles[t * TILE_STRIDE + TILE.partialSlot]).toBeGreaterThanOrEqual(0);
      }
    }
  });

  test('in a large batch none is', () => {
    expect(policies.binarySearchByBatchSize(decode(Array(40).fill(9000)), machines.h100).numPartialRows).toBe(0);
  });
});

test('longest first keeps a skewed batch even', () => {
  const kvLens = [60_000, ...Array<number>(131).fill(1000)];
  const schedule = policies.fixedSplitSize(2048)(decode(kvLens), machines.h100);
  expect(schedule.imbalance).toBeLessThan(1.15);
});

describe('adaptive', () => {
  const tilesOf = (schedule: Schedule) => Array.from({ length: schedule.numTiles }, (_, i) => schedule.tile(i));

  test('takes chunks where they are nearly even, shares of equal length elsewhere or where the batch fills the machine', () => {
    const batches: [kvLens: number[], as: 'binarySearch' | 'headGroups'][] = [
      [[1500, 1400, 1600, 1200, 900, 1800, 1500, 1450], 'binarySearch'],
      [[16_384], 'binarySearch'],
      [[12_000, ...Array(13).fill(300)], 'headGroups'],
      [Array(40).fill(2000), 'headGroups'],
    ];
    for (const [kvLens, as] of batches) {
      const problem = decode(kvLens);
      const schedule = policies.adaptive(problem, machines.h100);
      expect(schedule.policy).toBe('adaptive');
      expect(tilesOf(schedule)).toEqual(tilesOf(policies[as](problem, machines.h100)));
    }
  });

  test('the limit is four steps beyond an equal share of all keys', () => {
    // One long request and 15 of a page: chunks are of the long one, on the 12 CTAs that 8 heads x 15 tiles leave.
    const batch = (long: number) => decode([long, ...Array(14).fill(16)]);
    const chunkOf = (long: number) => policies.binarySearch(batch(long), machines.h100).decisions.kvChunkSizeTokens;
    for (const long of [640, 704, 1200]) {
      const share = ((long + 14 * 16) * 8) / 132;
      const even = Number(chunkOf(long)) - 4 * 128 <= share;
      const found = policies.adaptive(batch(long), machines.h100).decisions;
      expect([long, 'kvChunkSizeTokens' in found]).toEqual([long, even]);
    }
    expect(policies.adaptive(batch(640), machines.h100).decisions).toHaveProperty('kvChunkSizeTokens');
    expect(policies.adaptive(batch(1200), machines.h100).decisions).not.toHaveProperty('kvChunkSizeTokens');
  });
});

describe('headGroups', () => {
  const tilesOf = (kvLens: number[]) => {
    const schedule = policies.headGroups(decode(kvLens), machines.h100);
    return Array.from({ length: schedule.numTiles }, (_, i) => schedule.tile(i));
  };

  test('the CTAs of a group have the same keys, one head each', () => {
    for (const tile of tilesOf([1000, 5000, 17])) expect(tile.cta % 8).toBe(tile.kvHead);
  });

  test('one request is dealt out over all groups in pieces of whole units', () => {
    const pieces = tilesOf([1024]).filter((tile) => tile.kvHead === 3);
    const wanted = Array.from({ length: 8 }, (_, i) => [i * 8 + 3, i * 128, i * 128 + 128]);
    expect(pieces.map((tile) => [tile.cta, tile.kvStart, tile.kvEnd])).toEqual(wanted);
  });

  test('uniform requests are cut where they can be shared out evenly', () => {
    const pieces = tilesOf(Array(8).fill(1024)).filter((tile) => tile.kvHead === 0);
    expect(new Set(pieces.map((tile) => tile.kvEnd - tile.kvStart))).toEqual(new Set([512]));
    expect(tilesOf(Array(32).fill(1024)).every((tile) => tile.partialSlot < 0)).toBe(true);
  });

  test('a CTA with many short requests has fewer tokens: each costs as much as a step more', () => {
    const schedule = policies.headGroups(decode([65536, ...Array(31).fill(512)]), machines.h100);
    const tokens = schedule.tokensPerCta();
    expect(tokens[0]).toBe(41 * 128);
    expect(tokens[15 * 8]).toBeLessThan(9 * 512);
  });

  test('long shares: the four CTAs that make no whole group get as much to do as the others', () => {
    const schedule = policies.headGroupsSpare(decode(Array(32).fill(16384)), machines.h100);
    expect(findViolation(schedule)).toBeUndefined();
    const tokens = schedule.tokensPerCta();
    const whole = tokens.slice(0, 128);
    const spare = tokens.slice(128);
    expect(Math.max(...spare)).toBeLessThan(1.01 * Math.max(...whole));
    expect(Math.min(...spare)).toBeGreaterThan(0.97 * Math.max(...whole));
    const shorter = policies.headGroupsSpare(decode(Array(32).fill(4096)), machines.h100);
    expect(Math.max(...shorter.tokensPerCta().slice(128))).toBe(0);
  });

  test('more KV heads than CTAs: heads share CTAs', () => {
    const schedule = policies.headGroups(decode([100, 200], 16), cpuMachine(5));
    expect(findViolation(schedule)).toBeUndefined();
  });
});
