/** How good predictions are: errors, and what it costs to choose the policy by them. Plain arithmetic on measured times. */

/** A policy's time of a batch, measured and predicted, ns. */
export interface JudgedTime {
  readonly policy: string;
  readonly measuredNs: number;
  readonly predictedNs: number;
}

export interface JudgedBatch {
  readonly what: string;
  readonly times: readonly JudgedTime[];
  /** |predicted / measured − 1| of the ends of CTAs, where the batch was traced. */
  readonly finishErrors?: readonly number[];
}

export interface PredictionSummary {
  readonly batches: number;
  readonly times: number;
  /** Mean absolute error, its 95th percentile and the largest, percent of the measured time. */
  readonly mapePct: number;
  readonly p95Pct: number;
  readonly worstPct: number;
  /** Share of the batches in which the policy of the shortest predicted time takes at most 3 % more than the best. */
  readonly regretOk95: number;
  /** Mean of what that policy takes more than the best, percent. */
  readonly meanRegretPct: number;
  readonly finishMedianPct?: number;
}

/** Regret up to which a choice is a good one. */
const GOOD_REGRET = 0.03;

/** Percent by which a prediction is off, with its sign. */
export function errorPct({ measuredNs, predictedNs }: JudgedTime): number {
  return (predictedNs / measuredNs - 1) * 100;
}

/** What the policy of the shortest predicted time takes more than the best one, as a share. */
export function regretOf({ times }: JudgedBatch): number {
  let chosen = times[0];
  let best = times[0].measuredNs;
  for (const time of times) {
    if (time.predictedNs < chosen.predictedNs) chosen = time;
    if (time.measuredNs < best) best = time.measuredNs;
  }
  return chosen.measuredNs / best - 1;
}

/** @param batches at least one, each with at least one time */
export function summarizePredictions(batches: readonly JudgedBatch[]): PredictionSummary {
  const errors = batches.flatMap(({ times }) => times.map((time) => Math.abs(errorPct(time))));
  const regrets = batches.map(regretOf);
  const finish = batches.flatMap(({ finishErrors }) => finishErrors ?? []);
  return {
    batches: batches.length,
    times: errors.length,
    mapePct: round(mean(errors)),
    p95Pct: round(percentile(errors, 0.95)),
    worstPct: round(Math.max(...errors)),
    regretOk95: round(regrets.filter((regret) => regret <= GOOD_REGRET).length / batches.length),
    meanRegretPct: round(mean(regrets) * 100),
    ...(finish.length > 0 && { finishMedianPct: round(percentile(finish, 0.5) * 100) }),
  };
}

function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

/** Nearest rank. */
function percentile(values: readonly number[], share: number): number {
  const sorted = Float64Array.from(values).sort();
  return sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))];
}

function round(value: number): number {
  return Math.round(value * 1000) / 1000;
}
