import { describe, expect, it } from 'vitest';
import { loadTrace } from '../../../src/workload/load-trace';
import { makeRandom } from '../../../src/workload/random';
import { type Request, sharedPrefixTokens } from '../../../src/workload/request-trace';
import { syntheticTrace } from '../../../src/workload/synthetic';
import type { TraceKind } from '../../../src/workload/trace-statistics';

const KINDS: TraceKind[] = ['azure-conversation', 'mooncake-conversation'];

describe.each(KINDS)('%s', (kind) => {
  it('is the same for a seed, and a longer trace begins with the shorter one', () => {
    const trace = syntheticTrace({ kind, seed: 1, requests: 300 });
    expect(trace).toEqual(syntheticTrace({ kind, seed: 1, requests: 300 }));
    expect(trace.requests).not.toEqual(syntheticTrace({ kind, seed: 2, requests: 300 }).requests);
    expect(syntheticTrace({ kind, seed: 1, requests: 900 }).requests.slice(0, 300)).toEqual(trace.requests);
    expect(trace.requests[0]).toMatchObject({ id: 0, arrivalNs: 0 });
  });

  it('may be empty', () => {
    expect(syntheticTrace({ kind, requests: 0 })).toMatchObject({ length: 0, durationNs: 0 });
  });
});

it('is pinned: these numbers are part of published results', () => {
  const first = syntheticTrace({ seed: 42 }).requests.slice(0, 3);
  expect(first.map((r) => [r.inputLength, r.outputLength])).toMatchInlineSnapshot(`
    [
      [
        1828,
        81,
      ],
      [
        5348,
        63,
      ],
      [
        200,
        109,
      ],
    ]
  `);
});

it('refuses a bad seed, count and kind', () => {
  expect(() => syntheticTrace({ seed: 1.5 })).toThrow('seed is 1.5; wanted an integer from 0 to 4294967295.');
  expect(() => syntheticTrace({ requests: -1 })).toThrow('requests is -1');
  expect(() => syntheticTrace({ kind: 'x' as never })).toThrow("kind is 'x'; wanted one of azure-conversation");
});

it('makes prefixes of a tree: an id always follows the same ids', () => {
  const before = new Map<number, number>();
  const misplaced: number[] = [];
  for (const { hashIds = [], inputLength } of syntheticTrace({ kind: 'mooncake-conversation' }).requests) {
    expect(hashIds).toHaveLength(Math.ceil(inputLength / 512));
    for (const [i, id] of hashIds.entries()) {
      const previous = hashIds[i - 1] ?? -1;
      if ((before.get(id) ?? previous) !== previous) misplaced.push(id);
      before.set(id, previous);
    }
  }
  expect(misplaced).toEqual([]);
});

describe('makeRandom', () => {
  it('is uniform, with streams that have nothing to do with each other', () => {
    const n = 20_000;
    const streams = [makeRandom(0), makeRandom(1), makeRandom(0, 1), makeRandom(2 ** 32 - 1)].map((random) =>
      Array.from({ length: n }, random),
    );
    const grid = Array.from({ length: n }, (_, i) => i / n);
    for (const stream of streams) expect(kolmogorovSmirnov(stream, grid)).toBeLessThan(1.63 / Math.sqrt(n)); // 1 %
    for (const [i, a] of streams.entries()) {
      for (const b of [...streams.slice(i + 1), a.slice(1)]) expect(Math.abs(correlation(a, b))).toBeLessThan(0.03);
    }
  });
});

// Skipped where there are no real traces at hand.
describe.runIf(process.env.WARPBOOK_TRACES).each(KINDS)('%s beside the real trace', (kind) => {
  const both = async (): Promise<{ real: readonly Request[]; imitated: readonly Request[] }> => {
    const real = (await loadTrace({ kind })).requests;
    return { real, imitated: syntheticTrace({ kind, requests: real.length }).requests };
  };

  it('has its lengths and arrivals', async () => {
    const { real, imitated } = await both();
    for (const quantity of ['inputLength', 'outputLength'] as const) {
      const [a, b] = [real, imitated].map((requests) => requests.map((request) => request[quantity]));
      expect(kolmogorovSmirnov(a, b), quantity).toBeLessThanOrEqual(0.05);
    }
    const [a, b] = [real, imitated].map((requests) =>
      requests.slice(1).map((r, i) => r.arrivalNs - requests[i].arrivalNs),
    );
    // Real ticks are 2,999 to 3,001 ms long.
    const milliseconds = (gapsNs: number[]): number[] => gapsNs.map((gapNs) => Math.round(gapNs / 5e6) * 5);
    expect(kolmogorovSmirnov(milliseconds(a), milliseconds(b)), 'gaps').toBeLessThanOrEqual(0.05);
  });

  it('has its outputs for short and for long prompts', async () => {
    const { real, imitated } = await both();
    const order = [...real].sort((x, y) => x.inputLength - y.inputLength);
    for (const fifth of [0, 1, 2, 3, 4]) {
      const low = order[Math.floor((fifth * (order.length - 1)) / 5)].inputLength;
      const high = order[Math.floor(((fifth + 1) * (order.length - 1)) / 5)].inputLength;
      const [a, b] = [real, imitated].map((requests) =>
        requests.filter((r) => r.inputLength >= low && r.inputLength <= high).map((r) => r.outputLength),
      );
      // What two samples of this size differ by at random, one time in ten, comes on top.
      const noise = 1.22 * Math.sqrt(1 / a.length + 1 / b.length);
      expect(kolmogorovSmirnov(a, b), `prompts of ${low} to ${high} tokens`).toBeLessThanOrEqual(0.05 + noise);
    }
  });

  it.runIf(kind === 'mooncake-conversation')('shares prefixes as much', async () => {
    const { real, imitated } = await both();
    const [a, b] = [real, imitated].map((requests) => sharedPrefixTokens(requests));
    expect(kolmogorovSmirnov(a, b)).toBeLessThanOrEqual(0.05);
    const followUps = (tokens: number[]): number => tokens.filter((count) => count > 512).length / tokens.length;
    expect(followUps(b)).toBeCloseTo(followUps(a), 1);
  });
});

/** The largest distance between two empirical distribution functions. */
function kolmogorovSmirnov(first: readonly number[], second: readonly number[]): number {
  const [a, b] = [first, second].map((values) => [...values].sort((x, y) => x - y));
  let largest = 0;
  for (let i = 0, j = 0; i < a.length && j < b.length; ) {
    const value = Math.min(a[i], b[j]);
    while (a[i] <= value) i++;
    while (b[j] <= value) j++;
    largest = Math.max(largest, Math.abs(i / a.length - j / b.length));
  }
  return largest;
}

/** Pearson's correlation of uniform numbers in [0, 1), pairwise. */
function correlation(a: readonly number[], b: readonly number[]): number {
  const n = Math.min(a.length, b.length);
  let sum = 0;
  for (let i = 0; i < n; i++) sum += (a[i] - 0.5) * (b[i] - 0.5);
  return (sum / n) * 12;
}
