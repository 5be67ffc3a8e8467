/** Simulated timings as machines give them, seeded: noise that is skewed, heavy-tailed, drifting and remembers itself. */
import type { TakeTurns } from '../../../src/measure/judge';

/** Uniform in [0, 1): mulberry32. */
export function seededRandom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

export interface Noise {
  /** Standard deviation of a turn, relative. */
  readonly sigma: number;
  /** How much of the last turn's noise stays, 0 to 1. */
  readonly memory: number;
  /** Relative drift over 100 turns. */
  readonly drift: number;
  /** Share of turns that a neighbour disturbs, by up to ten times. */
  readonly outliers: number;
  /** Turns after which the clock may change by 10 %; 0: never. */
  readonly clockSteps: number;
}

export const NOISES: Readonly<Record<string, Noise>> = {
  quiet: { sigma: 0.002, memory: 0, drift: 0, outliers: 0, clockSteps: 0 },
  noisy: { sigma: 0.05, memory: 0.5, drift: 0, outliers: 0.05, clockSteps: 0 },
  drifting: { sigma: 0.01, memory: 0.9, drift: 0.2, outliers: 0.01, clockSteps: 0 },
  throttled: { sigma: 0.01, memory: 0.3, drift: 0.02, outliers: 0.02, clockSteps: 9 },
  crowded: { sigma: 0.1, memory: 0.8, drift: -0.1, outliers: 0.2, clockSteps: 30 },
};

/** Turns of A and B; A takes `ratio` times as long as B. */
export function simulatedTurns(noise: Noise, ratio: number, random: () => number): TakeTurns {
  let turn = 0;
  let state = 0;
  let clock = 1;
  const normal = (): number => Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random());
  return (order) =>
    order.map((who) => {
      turn++;
      state = noise.memory * state + Math.sqrt(1 - noise.memory ** 2) * normal();
      if (noise.clockSteps > 0 && random() < 1 / noise.clockSteps) clock = random() < 0.5 ? 1 : 1.1;
      const disturbed = random() < noise.outliers ? 1 + 0.05 / (random() + 0.005) : 1;
      const level = 100 * (1 + (noise.drift * turn) / 100) * clock * disturbed;
      return Math.max(1, level) * Math.exp(noise.sigma * state) * (who === 'a' ? ratio : 1);
    });
}
