import { describe, expect, it } from 'vitest';
import { ascending, medianInterval, precisionPct, quantile, spreadOf } from '../../../src/measure/statistics';
import { seededRandom } from './timings';

describe('spreads', () => {
  it('interpolates quantiles', () => {
    const sorted = ascending([40, 10, 30, 20]);
    expect([...sorted]).toEqual([10, 20, 30, 40]);
    expect(quantile(sorted, 0)).toBe(10);
    expect(quantile(sorted, 0.5)).toBe(25);
    expect(quantile(sorted, 1)).toBe(40);
    expect(quantile(ascending([]), 0.5)).toBeNaN();
  });

  it('an outlier moves the maximum and nothing else', () => {
    const steady = spreadOf([10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20]);
    const disturbed = spreadOf([10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 2000]);
    expect(disturbed).toMatchObject({ median: 15, min: 10, p10: 11, p90: 19, max: 2000, count: 11 });
    expect(disturbed.spreadPct).toBeCloseTo(steady.spreadPct);
    expect(steady.spreadPct).toBeCloseTo((8 / 15) * 100);
  });
});

describe('how sure a median is', () => {
  it('needs six values', () => {
    expect(medianInterval([1, 2, 3, 4, 5])).toBeUndefined();
    expect(precisionPct([1, 2, 3, 4, 5])).toBe(Number.POSITIVE_INFINITY);
    expect(medianInterval([6, 1, 2, 3, 4, 5])).toEqual([1, 6]);
    // Binomial tables: of 20 values the 6th and the 15th.
    expect(medianInterval(Array.from({ length: 20 }, (_, i) => i + 1))).toEqual([6, 15]);
  });

  it('covers the true median 95 times of a hundred, whatever the distribution', () => {
    const random = seededRandom(11);
    // Heavy-tailed, median 2: 1 / u.
    for (const count of [10, 50, 300]) {
      let covered = 0;
      for (let trial = 0; trial < 1000; trial++) {
        const interval = medianInterval(Array.from({ length: count }, () => 1 / (1 - random())));
        if (interval && interval[0] <= 2 && interval[1] >= 2) covered++;
      }
      expect(covered, `${count} values`).toBeGreaterThan(930);
      expect(covered, `${count} values`).toBeLessThan(995);
    }
  });

  it('shrinks with the square root of the samples', () => {
    const random = seededRandom(5);
    const values = (count: number): number[] => Array.from({ length: count }, () => 100 + random());
    expect(precisionPct(values(4000))).toBeLessThan(0.35 * precisionPct(values(100)));
    expect(precisionPct(Array.from({ length: 50 }, () => 7))).toBe(0);
  });
});
