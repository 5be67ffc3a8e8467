/**
 * Fits the costs of the CPU device to measured times, as fit-model.ts fits those of a GPU: least squares of the logarithms, each cost
 * a factor on a first guess. Large errors count in proportion instead of squared (the pseudo-Huber loss): a machine that others use
 * too has some.
 */
import { levenbergMarquardt } from 'ml-levenberg-marquardt';
import { CACHE_BYTES, type CpuCosts } from '../simulate/cpu-costs';
import { drainOnThreads } from '../simulate/cpu-drain';
import type { Observation } from './fit-model';

/** Where the fit starts: one core of 2023. */
const GUESS = {
  launchNs: 2000,
  joinNs: 500,
  wakeNs: 10_000,
  signalNs: 2000,
  ctaNs: 100,
  tileNs: 200,
  tileRowNs: 100,
  drawNs: 100,
  blockNs: 50,
  blockRowNs: 80,
  tokenRowNs: 4,
  mergeRowNs: 80,
  mergeStateNs: 20,
  threadSpread: 0.13,
} as const satisfies Partial<CpuCosts>;
const NAMES = Object.keys(GUESS) as (keyof typeof GUESS)[];
const TOKEN_NS = 5;

/** Pull towards the guess: a factor of e weighs as much as this error of one measurement. */
const PRIOR = 0.05;
/** A step of the caches' curve by a factor of e weighs as much: neighbouring points are much alike. */
const BEND = 0.05;
/** Errors beyond this, as logarithms, count in proportion and no longer as squares. */
const ROBUST = 0.1;
/** Largest factor on a cost, and on how threads differ, as logarithms. */
const LARGEST_FACTOR = 3;
const LARGEST_SPREAD_FACTOR = 1;
/**
 * Differences for the gradients of the passes, as logarithms, each from where the best one ended: a simulated launch is only
 * piecewise smooth, and coarse steps get across the pieces.
 */
const DIFFERENCES = [0.05, 0.02, 0.01] as const;
const ITERATIONS = 20;

/** @param numThreads of the device that was measured */
export function fitCpuCosts(numThreads: number, observations: readonly Observation[]): CpuCosts {
  const paces = numThreads > 1 ? Math.ceil(Math.log2(numThreads)) : 0;
  const size = NAMES.length + CACHE_BYTES.length + paces;
  const terms = observations.length + size + CACHE_BYTES.length - 1;
  const y = new Array<number>(terms).fill(0);
  const residuals = (values: number[]): ((i: number) => number) => {
    const costs = costsOf(numThreads, values);
    const caches = values.slice(NAMES.length, NAMES.length + CACHE_BYTES.length);
    return (i) => {
      const prior = i - observations.length;
      if (prior >= size) return BEND * (caches[prior - size + 1] - caches[prior - size]);
      if (prior >= 0) return PRIOR * values[prior];
      const { schedule, ns } = observations[i];
      return softened(Math.log(drainOnThreads(schedule, costs).periodNs / ns));
    };
  };
  const bounds = Array.from({ length: size }, (_, i) =>
    NAMES[i] === 'threadSpread' ? LARGEST_SPREAD_FACTOR : LARGEST_FACTOR,
  );
  let best = startOf(numThreads, size, observations);
  let leastError = Number.POSITIVE_INFINITY;
  for (const gradientDifference of DIFFERENCES) {
    const { parameterValues, parameterError } = levenbergMarquardt({ x: y.map((_, i) => i), y }, residuals, {
      initialValues: best,
      minValues: bounds.map((bound) => -bound),
      maxValues: bounds,
      gradientDifference,
      maxIterations: ITERATIONS,
      errorTolerance: 1e-9,
      damping: 0.01,
    });
    if (parameterError >= leastError) continue;
    leastError = parameterError;
    best = parameterValues;
  }
  return costsOf(numThreads, best);
}

/** The guess at the speed of this machine: all times by one factor, so that half of the measurements are longer. */
function startOf(numThreads: number, size: number, observations: readonly Observation[]): number[] {
  const start = new Array<number>(size).fill(0);
  const guess = costsOf(numThreads, start);
  const ratios = observations.map(({ schedule, ns }) => Math.log(ns / drainOnThreads(schedule, guess).periodNs));
  const middle = Float64Array.from(ratios).sort()[ratios.length >> 1];
  return start.map((_, i) => (i < NAMES.length + CACHE_BYTES.length && NAMES[i] !== 'threadSpread' ? middle : 0));
}

/** Its square is the robust loss. */
function softened(error: number): number {
  const loss = 2 * (Math.sqrt(1 + (error / ROBUST) ** 2) - 1);
  return Math.sign(error) * ROBUST * Math.sqrt(loss);
}

/** The guess, each cost times e to its value; then the curves: tokens by caches, paces at 2, 4, 8, … busy threads. */
function costsOf(numThreads: number, values: readonly number[]): CpuCosts {
  const scalars = Object.fromEntries(NAMES.map((name, i) => [name, GUESS[name] * Math.exp(values[i])]));
  const caches = NAMES.length;
  const tokenNs = CACHE_BYTES.map((_, i) => TOKEN_NS * Math.exp(values[caches + i]));
  const knots = [0, ...values.slice(caches + CACHE_BYTES.length)];
  const pace = Array.from({ length: numThreads }, (_, i) => {
    const at = Math.log2(i + 1);
    const knot = Math.min(Math.floor(at), Math.max(0, knots.length - 2));
    const slope = knots.length > 1 ? knots[knot + 1] - knots[knot] : 0;
    return Math.exp(knots[knot] + (at - knot) * slope);
  });
  return { ...(scalars as Record<keyof typeof GUESS, number>), tokenNs, pace };
}
