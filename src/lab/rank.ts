/** Policies ranked by their evaluations. Pure. */
import type { BatchEvaluation } from './evaluate';

/** A row of the leaderboard: means over the batches that the policy could plan; null where nothing is known. */
export interface LeaderboardRow {
  readonly rank: number;
  readonly policy: string;
  /** Measured where there is a device, else predicted: mean µs a batch. */
  readonly meanUs: number | null;
  /** Time over the best policy's of each batch, percent beyond it, in the mean: 0 is the best of every batch. */
  readonly behindPct: number | null;
  /** The same of its worst batch. */
  readonly worstBehindPct: number | null;
  /** Batches of which it was the best, or within 0.5 % of it. */
  readonly wins: number;
  readonly predictedUs: number | null;
  readonly measuredUs?: number | null;
  readonly spreadPct?: number | null;
  /** Error of the prediction, mean of the absolute values. */
  readonly predictionErrorPct?: number | null;
  /** Measured where there is a device, else simulated. */
  readonly idlePct: number | null;
  readonly planUs: number | null;
  readonly partialKiB: number | null;
  readonly tiles: number | null;
  readonly merges: number | null;
  /** By where the keys are cut. */
  readonly cutsChangedPct: number | null;
  /** As measured, bit by bit. */
  readonly bitsChangedPct?: number | null;
  readonly failed: number;
  /** Of the first batch that failed. */
  readonly error?: string;
}

/** Times this close are one time: clocks and models tell no finer. */
const TIE_PCT = 0.5;

export function rankPolicies(names: readonly string[], evaluations: readonly BatchEvaluation[]): LeaderboardRow[] {
  const measured = evaluations.some(({ measuredUs }) => measuredUs !== undefined);
  const timeOf = (row: BatchEvaluation): number | undefined => (measured ? row.measuredUs : row.predictedUs);
  const best = new Map<number, number>();
  for (const row of evaluations) {
    const time = timeOf(row);
    if (time !== undefined) best.set(row.batch, Math.min(time, best.get(row.batch) ?? Number.POSITIVE_INFINITY));
  }
  const rows = names.map((policy) => {
    const own = evaluations.filter((row) => row.policy === policy);
    const fine = own.filter(({ error }) => error === undefined);
    const mean = (pick: (row: BatchEvaluation) => number | undefined): number | null => {
      const values = fine.map(pick).filter((value) => value !== undefined && value !== null);
      return values.length === 0
        ? null
        : values.reduce((sum: number, value) => sum + (value as number), 0) / values.length;
    };
    const behind = fine.map((row) => behindPct(timeOf(row) as number, best.get(row.batch) as number));
    const failure = own.find(({ error }) => error !== undefined)?.error;
    return {
      rank: 0,
      policy,
      meanUs: mean(timeOf),
      behindPct: behind.length === 0 ? null : behind.reduce((sum, value) => sum + value, 0) / behind.length,
      worstBehindPct: behind.length === 0 ? null : Math.max(...behind),
      wins: behind.filter((percent) => percent <= TIE_PCT).length,
      predictedUs: mean((row) => row.predictedUs),
      ...(measured && {
        measuredUs: mean((row) => row.measuredUs),
        spreadPct: mean((row) => row.measuredSpreadPct),
        predictionErrorPct: mean(predictionErrorPct),
      }),
      idlePct: mean((row) => (measured ? row.measuredIdlePct : row.idlePct)),
      planUs: mean((row) => row.planUs),
      partialKiB: mean((row) => (row.partialBytes as number) / 1024),
      tiles: mean((row) => row.tiles),
      merges: mean((row) => row.merges),
      cutsChangedPct: mean((row) => row.cutsChangedPct),
      ...(measured && { bitsChangedPct: mean((row) => row.bitsChangedPct) }),
      failed: own.length - fine.length,
      ...(failure !== undefined && { error: failure }),
    };
  });
  // Who fails somewhere comes behind those who don't: a mean over fewer batches is no comparison.
  const order = rows.sort(
    (a, b) =>
      a.failed - b.failed || (a.behindPct ?? Number.POSITIVE_INFINITY) - (b.behindPct ?? Number.POSITIVE_INFINITY),
  );
  return order.map((row, i) => ({ ...row, rank: i + 1 }));
}

/** An empty batch takes no time with any policy. */
function behindPct(time: number, best: number): number {
  return best > 0 ? (time / best - 1) * 100 : 0;
}

function predictionErrorPct({ predictedUs, measuredUs }: BatchEvaluation): number | undefined {
  if (predictedUs === undefined || !measuredUs) return undefined;
  return (Math.abs(predictedUs - measuredUs) / measuredUs) * 100;
}
