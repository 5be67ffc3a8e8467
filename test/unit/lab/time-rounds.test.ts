import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { openDevice } from '../../../src/attention/open-device';
import type { Device } from '../../../src/device/device';
import { ColdPool } from '../../../src/lab/cold-pool';
import { BatchTimer } from '../../../src/lab/time-batch';
import { repeatabilityPct, timeInRounds, typicalNs } from '../../../src/lab/time-rounds';
import { policies } from '../../../src/schedule/policies/known';

const shape = { numKvHeads: 1, headDim: 64, pageSize: 16 } as const;
let device: Device;
let pool: ColdPool;
let timer: BatchTimer;
beforeAll(async () => {
  device = await openDevice('cpu', { threads: 2 });
  pool = new ColdPool(device, { ...shape, bytes: 2 ** 20 });
  timer = new BatchTimer(device, pool, shape, { maxBatch: 4, maxQoTokens: 4, maxTiles: 64 });
});
afterAll(() => {
  timer.dispose();
  pool.dispose();
  device.dispose();
});

describe('typicalNs', () => {
  test('is the mean of the middle half', () => {
    expect(typicalNs({ roundNs: [1, 10, 12, 1000] })).toBe(11);
    expect(typicalNs({ roundNs: [30, 10, 20] })).toBe(20);
    expect(typicalNs({ roundNs: [7] })).toBe(7);
  });

  test('repeatability compares every other round', () => {
    expect(repeatabilityPct({ roundNs: [10, 11, 10, 11] })).toBeCloseTo(10, 9);
    expect(repeatabilityPct({ roundNs: [20, 10, 20] })).toBeCloseTo(-50, 9);
    expect(repeatabilityPct({ roundNs: [10] })).toBeNaN();
  });
});

describe('timeInRounds', () => {
  const items = [policies.noSplit, policies.longestFirst].map((policy) => ({
    kind: 'decode' as const,
    kvLens: [64, 100],
    numQoHeads: 2,
    policy,
  }));

  test('times everything once a round, after one to warm up', async () => {
    const rounds: number[] = [];
    const times = await timeInRounds(timer, items, { rounds: 3, onRound: (round) => rounds.push(round) });
    expect(rounds).toEqual([0, 1, 2, 3]);
    expect(times.map(({ schedule }) => schedule.policy)).toEqual(['noSplit', 'longestFirst']);
    for (const { roundNs } of times) {
      expect(roundNs).toHaveLength(3);
      for (const ns of roundNs) expect(ns).toBeGreaterThan(0);
    }
  });

  test('a deadline that has passed leaves one round', async () => {
    const times = await timeInRounds(timer, items, { rounds: 50, deadline: performance.now() });
    expect(times.map(({ roundNs }) => roundNs.length)).toEqual([1, 1]);
  });
});
