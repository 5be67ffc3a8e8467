/**
 * Wilcoxon's signed-rank interval for the centre of paired differences: what `compare` decides by. PURE.
 *
 * If the sign of each difference is a coin flip (which `compare` sees to by drawing the order of each round), the sum of
 * the ranks of the positive ones has a known distribution, whatever the noise: skewed, heavy-tailed, drifting. So the
 * interval's error rate needs no assumption about the machine.
 */

/** Estimate and confidence interval of the centre of differences. */
export interface CentreInterval {
  /** Hodges and Lehmann's estimate: the median of all pairwise means. */
  readonly centre: number;
  readonly low: number;
  readonly high: number;
}

/**
 * The interval that misses the centre with a probability of at most `alpha`; from −∞ to ∞ where there are too few
 * differences for that.
 */
export function signedRankInterval(differences: ArrayLike<number>, alpha: number): CentreInterval {
  const n = differences.length;
  const means = new Float64Array((n * (n + 1)) / 2);
  let next = 0;
  for (let i = 0; i < n; i++) for (let j = i; j < n; j++) means[next++] = (differences[i] + differences[j]) / 2;
  means.sort();
  const middle = means.length / 2;
  const centre = means.length === 0 ? Number.NaN : (means[Math.ceil(middle) - 1] + means[Math.floor(middle)]) / 2;
  const skipped = criticalRank(n, alpha);
  if (skipped === 0) return { centre, low: Number.NEGATIVE_INFINITY, high: Number.POSITIVE_INFINITY };
  return { centre, low: means[skipped - 1], high: means[means.length - skipped] };
}

/** The largest k for which the rank sum of n coin flips is below k with a probability of at most alpha / 2. */
export function criticalRank(n: number, alpha: number): number {
  const counts = rankSumCounts(n);
  const limit = alpha / 2;
  let cumulative = 0;
  for (let k = 0; k < counts.length; k++) {
    cumulative += counts[k];
    if (cumulative > limit) return k;
  }
  return 0;
}

const known = new Map<number, Float64Array>();

/** Probability of each sum of a random subset of the ranks 1 … n. */
function rankSumCounts(n: number): Float64Array {
  const found = known.get(n);
  if (found) return found;
  const probability = new Float64Array((n * (n + 1)) / 2 + 1);
  probability[0] = 1;
  for (let rank = 1; rank <= n; rank++) {
    for (let sum = (rank * (rank + 1)) / 2; sum >= 0; sum--) {
      const without = probability[sum];
      const withRank = sum >= rank ? probability[sum - rank] : 0;
      probability[sum] = (without + withRank) / 2;
    }
  }
  known.set(n, probability);
  return probability;
}
