import { describe, expect, test } from 'vitest';
import { type JudgedRow, pairsOf, resultOf, walk } from '../../../src/cli/bench/prediction-result';

/** A batch whose two policies are predicted this many percent off. */
function judged(what: string, kind: 'decode' | 'prefill', errors: readonly [number, number]): JudgedRow {
  const times = errors.map((error, i) => ({
    policy: `p${i}`,
    measuredNs: 1000 * (i + 1),
    predictedNs: 10 * (i + 1) * (100 + error),
  }));
  return {
    batch: { what, kind, kvLens: [30, 70], numQoHeads: 32 },
    judged: { what, times },
    more: { kvLens: [30, 70] },
  };
}

describe('results of a prediction bench', () => {
  test('rows have measured, predicted and error by policy; failures are what is off by more than 13 %', () => {
    const { rows, failures, summary, summaries } = resultOf([
      judged('a', 'decode', [10, -14]),
      judged('b', 'prefill', [-2, 2]),
    ]);
    expect(rows[0]).toMatchObject({ what: 'a', batch: 2, kvLen: 70, kvTokens: 100, medianUs: 1, kvLens: [30, 70] });
    expect(rows[0].policies).toEqual({ p0: [1, 1.1, 10], p1: [2, 1.72, -14] });
    expect(failures).toEqual([{ what: 'a', policy: 'p1', errorPct: expect.closeTo(-14, 9) }]);
    expect(summary).toMatchObject({ batches: 2, times: 4, mapePct: 7, worstPct: 14 });
    expect(Object.keys(summaries)).toEqual(['decode', 'prefill']);
    expect(summaries.prefill.mapePct).toBe(2);
  });

  test('a walk through the batches leaves none out, and its beginning is spread over all', () => {
    const batches = Array.from({ length: 100 }, (_, i) => i);
    const order = walk(batches);
    expect([...order].sort((a, b) => a - b)).toEqual(batches);
    const first = order.slice(0, 20).sort((a, b) => a - b);
    for (let i = 1; i < first.length; i++) expect(first[i] - first[i - 1]).toBeLessThan(15);
  });

  test('a calibration is told in µs', () => {
    expect(pairsOf([{ what: 'one', measuredNs: 1500, predictedNs: 1600 }])).toEqual({ one: [1.5, 1.6] });
  });
});
