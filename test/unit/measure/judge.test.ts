import { describe, expect, it } from 'vitest';
import { judge, type VerdictWord } from '../../../src/measure/judge';
import { criticalRank, signedRankInterval } from '../../../src/measure/signed-rank';
import { NOISES, type Noise, seededRandom, simulatedTurns } from './timings';

async function verdicts(
  noise: Noise,
  ratio: number,
  count: number,
  seed: number,
): Promise<Record<VerdictWord, number>> {
  const counts: Record<VerdictWord, number> = { faster: 0, slower: 0, same: 0, unclear: 0 };
  for (let i = 0; i < count; i++) {
    const random = seededRandom(seed + i);
    const { verdict } = await judge(simulatedTurns(noise, ratio, random), { random });
    counts[verdict]++;
  }
  return counts;
}

describe('signed ranks', () => {
  it('knows the exact tails', () => {
    // Tables: n = 10, two-sided 5 %: the sum may be 8; n = 20, 1 %: 37.
    expect(criticalRank(10, 0.05)).toBe(9);
    expect(criticalRank(20, 0.01)).toBe(38);
    expect(criticalRank(5, 0.05)).toBe(0);
  });

  it('finds the centre, and an interval around it', () => {
    const { centre, low, high } = signedRankInterval([1, 2, 3, 4, 5, 6, 7, 8, 9, 100], 0.05);
    expect(centre).toBeGreaterThan(4);
    expect(centre).toBeLessThan(7);
    expect(low).toBeLessThan(centre);
    expect(high).toBeGreaterThan(centre);
    expect(low).toBeGreaterThan(0);
    expect(signedRankInterval([1, 2, 3], 0.01).high).toBe(Number.POSITIVE_INFINITY);
  });
});

describe('verdicts on simulated timings', () => {
  it('calls at most 1 % of 1,000 A/A comparisons faster or slower, under each kind of noise', async () => {
    for (const [name, noise] of Object.entries(NOISES)) {
      const { faster, slower } = await verdicts(noise, 1, 1000, 1);
      expect(faster + slower, name).toBeLessThanOrEqual(10);
    }
  });

  it('finds a difference of 5 % most of the time, and never the wrong way round', async () => {
    const least: Record<string, number> = { quiet: 200, noisy: 195, drifting: 200, throttled: 195, crowded: 150 };
    for (const [name, noise] of Object.entries(NOISES)) {
      const slower = await verdicts(noise, 1.05, 200, 5000);
      expect(slower.slower, name).toBeGreaterThanOrEqual(least[name]);
      expect(slower.faster, name).toBe(0);
      const faster = await verdicts(noise, 1 / 1.05, 200, 9000);
      expect(faster.faster, name).toBeGreaterThanOrEqual(least[name]);
      expect(faster.slower, name).toBe(0);
    }
  });

  it('says same where the two are equal and the noise allows to see it', async () => {
    expect((await verdicts(NOISES.quiet, 1, 100, 1)).same).toBe(100);
    expect((await verdicts(NOISES.quiet, 1.003, 100, 1)).same).toBe(100);
    expect((await verdicts(NOISES.crowded, 1, 100, 1)).unclear).toBeGreaterThan(90);
  });

  it('needs fewer rounds where the difference is plain, and stops in time', async () => {
    const random = seededRandom(3);
    const plain = await judge(simulatedTurns(NOISES.quiet, 1.2, random), { random });
    expect(plain.rounds).toBe(12);
    expect(plain.ratio).toBeCloseTo(1.2, 2);
    expect(plain.timesA).toHaveLength(24);
    let ms = 0;
    const late = await judge(simulatedTurns(NOISES.noisy, 1, random), {
      random,
      maxSeconds: 1,
      now: () => {
        ms += 200;
        return ms;
      },
    });
    expect(late.rounds).toBeLessThan(12);
    expect(late).toMatchObject({ verdict: 'unclear', ratioLow: 0, ratioHigh: Number.POSITIVE_INFINITY });
  });

  it('refuses times that are none, and options out of range', async () => {
    await expect(judge(() => [0, 1, 1, 0])).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' });
    await expect(judge(() => [1, 1, 1, 1], { looks: [5, 5] })).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' });
    await expect(judge(() => [1, 1, 1, 1], { falsePositiveRate: 0 })).rejects.toMatchObject({
      code: 'INVALID_ARGUMENT',
    });
  });
});
