/** Robust statistics of timings: what a sample says, and how sure its median is. PURE; knows no clock and no device. */

/** What a set of timings says; all in the unit of its values. */
export interface Spread {
  readonly median: number;
  readonly min: number;
  readonly max: number;
  readonly p10: number;
  readonly p90: number;
  /** (p90 − p10) / median, percent. */
  readonly spreadPct: number;
  readonly count: number;
}

/** Values in ascending order, as a copy. */
export function ascending(values: ArrayLike<number>): Float64Array {
  return Float64Array.from(values).sort();
}

/** The value below which a share `q` of the sorted values lies, interpolated between neighbours. NaN of no values. */
export function quantile(sorted: Float64Array, q: number): number {
  if (sorted.length === 0) return Number.NaN;
  const place = q * (sorted.length - 1);
  const below = Math.floor(place);
  const above = Math.min(below + 1, sorted.length - 1);
  return sorted[below] + (sorted[above] - sorted[below]) * (place - below);
}

/** Median, extremes and percentiles. */
export function spreadOf(values: ArrayLike<number>): Spread {
  const sorted = ascending(values);
  const [median, p10, p90] = [0.5, 0.1, 0.9].map((q) => quantile(sorted, q));
  return {
    median,
    min: sorted.length === 0 ? Number.NaN : sorted[0],
    max: sorted.length === 0 ? Number.NaN : sorted[sorted.length - 1],
    p10,
    p90,
    spreadPct: median > 0 ? ((p90 - p10) / median) * 100 : 0,
    count: sorted.length,
  };
}

/** Above this many values the binomial distribution is taken as a normal one. */
const EXACT_LIMIT = 200;
/** Of a two-sided 95 % interval. */
const NORMAL_QUANTILE_95 = 1.959964;

/**
 * A 95 % confidence interval of the median from order statistics, so for any distribution (heavy tails, two humps);
 * undefined below 6 values, which can't give one. Assumes independent values.
 */
export function medianInterval(values: ArrayLike<number>): readonly [low: number, high: number] | undefined {
  const sorted = ascending(values);
  const rank = lowerRank(sorted.length);
  return rank === 0 ? undefined : [sorted[rank - 1], sorted[sorted.length - rank]];
}

/** The largest k (from 1) for which the median lies below the k-th smallest of n values in at most 2.5 % of samples. */
function lowerRank(n: number): number {
  if (n > EXACT_LIMIT) return Math.floor((n - NORMAL_QUANTILE_95 * Math.sqrt(n)) / 2);
  let term = 0.5 ** n; // P(Binomial(n, 1/2) = k)
  let cumulative = 0;
  for (let k = 0; k < n; k++) {
    cumulative += term;
    if (cumulative > 0.025) return k;
    term = (term * (n - k)) / (k + 1);
  }
  return 0;
}

/** Half the median's 95 % interval over the median, percent; Infinity where there are too few values. */
export function precisionPct(values: ArrayLike<number>): number {
  const interval = medianInterval(values);
  if (!interval) return Number.POSITIVE_INFINITY;
  const median = quantile(ascending(values), 0.5);
  return median > 0 ? ((interval[1] - interval[0]) / 2 / median) * 100 : 0;
}
