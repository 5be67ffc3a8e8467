import { describe, expect, test } from 'vitest';
import { autoBatches, singlePolicies } from '../../../src/lab/auto-batches';
import { type AutoJudged, summarizeAuto } from '../../../src/lab/judge-auto';
import { syntheticTrace } from '../../../src/workload/synthetic';

const batch = (binarySearch: number, noSplit: number, auto: number, chosen: string): AutoJudged => ({
  what: 'a batch',
  measuredNs: { binarySearch, noSplit, auto },
  chosen,
  floorNs: 50,
});

describe('judging auto', () => {
  test('against the best single policy, the best of each batch, and binarySearch', () => {
    // noSplit is the best single one, 110 in the mean; the best of each batch is 80 and 100.
    const summary = summarizeAuto([batch(120, 80, 84, 'noSplit'), batch(100, 140, 100, 'binarySearch')]);
    expect(summary).toMatchObject({
      batches: 2,
      meanUs: { binarySearch: 0.11, noSplit: 0.11, auto: 0.092 },
      bestSingle: 'binarySearch',
      autoOverBestSinglePct: -16.36,
      worstOverBestSinglePct: 0,
      within2Pct: 100,
      regretPct: 2.5,
      worstRegretPct: 5,
      autoSavesPct: 16.36,
      oracleSavesPct: 18.18,
      floorSavesPct: 54.55,
      chosen: { noSplit: 1, binarySearch: 1 },
    });
  });

  test('a batch in which auto is over 2 % slower than the best single policy counts', () => {
    const slow = summarizeAuto([batch(100, 200, 103, 'x'), batch(100, 200, 101, 'x')]);
    expect(slow).toMatchObject({ bestSingle: 'binarySearch', worstOverBestSinglePct: 3, within2Pct: 50 });
  });
});

describe('batches that auto is judged by', () => {
  const trace = syntheticTrace({ requests: 400, seed: 3 });
  const draw = (seed: number) =>
    autoBatches(trace, [32, 8], [2, 8], { count: 3, seed, maxTokens: 100_000 }).map(({ kvLens }) => kvLens);

  test('are drawn by a seed', () => {
    expect(draw(1)).toEqual(draw(1));
    expect(draw(1)).not.toEqual(draw(2));
    expect(draw(1).map((lengths) => lengths.length)).toEqual([2, 2, 2, 8, 8, 8]);
    expect(autoBatches(trace, [32, 8], [8], { count: 3, seed: 1, maxTokens: 10 })).toEqual([]);
  });

  test('run under every policy for decode', () => {
    expect(Object.keys(singlePolicies)).toEqual(expect.arrayContaining(['binarySearch', 'headGroups', 'fa3Varlen']));
    expect(singlePolicies).not.toHaveProperty('auto');
  });
});
