/** One policy on one batch, without a device: its schedule's cost, its predicted time, and where it cuts. */
import type { Machine } from '../schedule/machine';
import { runPolicy } from '../schedule/run-policy';
import type { Policy } from '../schedule/schedule';
import { isTrusted } from '../schedule/trusted';
import type { CostModel } from '../simulate/cost-model';
import { predictTimeline } from '../simulate/simulate';
import { type LabBatch, type ModelShape, problemOf, problemOfOne } from './batches';
import { cutsOf, sampleRequests } from './cuts';
import type { MeasuredFigures } from './leaderboard';

/** What a schedule says without running. */
export interface PredictedFigures {
  /** KV tokens of the batch. */
  readonly tokens: number;
  readonly predictedUs: number;
  /** CTA time that is idle, of the simulated timeline. */
  readonly idlePct: number;
  /** Of it, while tiles elsewhere have not begun. */
  readonly imbalancePct: number;
  /** The policy's own time on the host, the best of a few, µs. */
  readonly planUs: number;
  /** Memory that partial states take. */
  readonly partialBytes: number;
  readonly tiles: number;
  readonly merges: number;
  /** Query rows that tiles gather from several requests; 0 where none does. */
  readonly gatheredRows: number;
  /** Requests, of those asked, whose keys are cut otherwise than when they run alone: their bits depend on the batch. */
  readonly cutsChangedPct: number;
}

/** A row of `leaderboard().batches`. */
export interface BatchEvaluation extends Partial<PredictedFigures>, Partial<MeasuredFigures> {
  readonly batch: number;
  readonly policy: string;
  readonly error?: string;
}

export interface EvaluateOptions {
  readonly shape: Required<ModelShape>;
  readonly machine: Machine;
  readonly costs: CostModel;
  readonly bitRequests: number;
  /** What a policy of the user's own may take for a plan. */
  readonly timeLimitMs?: number;
}

/** Plans that took longer are not repeated for a better time. */
const REPEAT_BELOW_NS = 5e6;
const REPEATS = 3;

/** @throws WarpbookError INVALID_POLICY, INVALID_SCHEDULE: whatever is wrong with the policy */
export function evaluateSchedule(policy: Policy, batch: LabBatch, options: EvaluateOptions): PredictedFigures {
  const { shape, machine, costs, bitRequests, timeLimitMs } = options;
  const problem = problemOf(batch, shape);
  // The first time a policy of the user's own is checked, and whatever is compiled or looked up late is done.
  const first = process.hrtime.bigint();
  const schedule = runPolicy(policy, problem, machine, { timeLimitMs });
  let planNs = Number(process.hrtime.bigint() - first);
  if (!isTrusted(policy) || planNs < REPEAT_BELOW_NS) {
    planNs = Number.POSITIVE_INFINITY;
    for (let i = 0; i < REPEATS; i++) {
      const started = process.hrtime.bigint();
      // The policy alone: what watches over one of the user's own is no cost of planning.
      policy(problem, machine);
      const took = Number(process.hrtime.bigint() - started);
      planNs = Math.min(planNs, took);
      if (took > REPEAT_BELOW_NS) break;
    }
  }
  const { prediction, timeline } = predictTimeline(schedule, costs);
  const idle = timeline.idle();
  const asked = sampleRequests(problem.batchSize, bitRequests);
  const within = cutsOf(schedule, asked);
  const changed = asked.filter((r) => {
    const alone = runPolicy(policy, problemOfOne(batch, r, shape), machine, { validate: false, timeLimitMs });
    return cutsOf(alone, [0]).get(0) !== within.get(r);
  });
  return {
    tokens: batch.kvLens.reduce((sum, length) => sum + length, 0),
    predictedUs: prediction.durationNs / 1e3,
    idlePct: idle.areaNs > 0 ? (idle.idleNs / idle.areaNs) * 100 : 0,
    imbalancePct: idle.shares.imbalance * 100,
    planUs: planNs / 1e3,
    partialBytes: schedule.partialBytes,
    tiles: schedule.numTiles,
    merges: schedule.numMergeGroups,
    gatheredRows: schedule.numRows,
    cutsChangedPct: asked.length > 0 ? (changed.length / asked.length) * 100 : 0,
  };
}
