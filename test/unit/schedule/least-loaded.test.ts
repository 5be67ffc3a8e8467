import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { LeastLoaded } from '../../../src/schedule/least-loaded';

describe('LeastLoaded', () => {
  test('gives the least loaded CTA, the lowest of equals', () => {
    const loads = new LeastLoaded(3);
    expect([5, 1, 1, 1, 1, 9].map((load) => loads.take(load))).toEqual([0, 1, 2, 1, 2, 1]);
  });

  test('agrees with a plain search', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 140 }), fc.array(fc.nat(100_000), { maxLength: 300 }), (numCtas, loads) => {
        const tree = new LeastLoaded(numCtas);
        const plain = new Float64Array(numCtas);
        for (const load of loads) {
          let least = 0;
          for (let c = 1; c < numCtas; c++) if (plain[c] < plain[least]) least = c;
          plain[least] += load;
          expect(tree.take(load)).toBe(least);
        }
      }),
    );
  });
});
