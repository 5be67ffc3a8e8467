import { describe, expect, test } from 'vitest';
import { errorPct, regretOf, summarizePredictions } from '../../../src/lab/judge-prediction';

const batch = (...times: [policy: string, measuredNs: number, predictedNs: number][]) => ({
  what: 'a batch',
  times: times.map(([policy, measuredNs, predictedNs]) => ({ policy, measuredNs, predictedNs })),
});

describe('judging predictions', () => {
  test('errors have a sign', () => {
    expect(errorPct({ policy: 'a', measuredNs: 100, predictedNs: 90 })).toBeCloseTo(-10, 9);
  });

  test('regret is what the chosen policy takes more than the best', () => {
    expect(regretOf(batch(['a', 100, 95], ['b', 120, 90]))).toBeCloseTo(0.2, 9);
    expect(regretOf(batch(['a', 100, 85], ['b', 120, 90]))).toBe(0);
  });

  test('a summary counts all policies of all batches', () => {
    const good = batch(['a', 100, 102], ['b', 200, 200]);
    const bad = { ...batch(['a', 100, 100], ['b', 110, 90]), finishErrors: [0.1, 0.3, 0.2] };
    expect(summarizePredictions([good, bad])).toMatchObject({
      batches: 2,
      times: 4,
      mapePct: 5.045,
      worstPct: 18.182,
      regretOk95: 0.5,
      meanRegretPct: 5,
      finishMedianPct: 20,
    });
  });
});
