/**
 * Auto: makes the schedules of several policies and takes the one that a cost function likes best: search over schedules with
 * a cost model, as autotuners for tensor programs do it (T. Chen et al., "Learning to Optimize Tensor Programs", 2018), but at
 * every plan and over whole policies.
 */
import { WarpbookError } from '../../errors';
import type { AttentionProblem } from '../problem';
import { runPolicy } from '../run-policy';
import { type Policy, Schedule } from '../schedule';
import { isTrusted, trustPolicy } from '../trusted';

/** Options of `policies.auto`. */
export interface AutoOptions {
  /** What a schedule costs: any unit, lower is better. A simulator's predicted time, say. Must be a pure function. */
  score: (schedule: Schedule) => number;
  /** Policies to choose among; default: what suits the batch, see `candidatesOf`. */
  candidates?: readonly Policy[];
  /**
   * Take another one than the first candidate only if it costs less by at least this share of the first one's cost; default 0.02 without
   * `candidates`, about what predictions are good for, and 0 with them.
   */
  margin?: number;
}

/** See {@link AutoOptions.margin}. */
const MARGIN = 0.02;

/**
 * A policy that scores schedules and takes the best; of equals the first, which also wins where another one is hardly better.
 * @param candidatesOf the policies that suit a batch, where none are given
 * @throws WarpbookError INVALID_ARGUMENT; when planning, INVALID_POLICY for a score that is no number
 */
export function autoAmong(
  candidatesOf: (problem: AttentionProblem) => readonly Policy[],
): (options: AutoOptions) => Policy {
  return (options) => {
    const { score, candidates, margin = candidates ? 0 : MARGIN } = options ?? {};
    if (typeof score !== 'function') {
      const what = 'auto: got no score; wanted a function from a Schedule to its cost, such as a simulated time.';
      throw new WarpbookError('INVALID_ARGUMENT', what);
    }
    if (candidates && candidates.length === 0) {
      throw new WarpbookError('INVALID_ARGUMENT', 'auto: candidates is empty; wanted at least one policy.');
    }
    if (!(margin >= 0 && margin < 1)) {
      throw new WarpbookError('INVALID_ARGUMENT', `auto: margin is ${margin}; wanted a share, at least 0 and below 1.`);
    }
    const policy: Policy = (problem, machine) => {
      let best: Schedule | undefined;
      let least = Number.POSITIVE_INFINITY;
      let first: number | undefined;
      for (const candidate of candidates ?? candidatesOf(problem)) {
        const schedule = runPolicy(candidate, problem, machine);
        const cost = score(schedule);
        if (typeof cost !== 'number' || Number.isNaN(cost)) {
          const what = `auto: the score of ${schedule.policy} is ${String(cost)}; wanted a number, lower is better.`;
          throw new WarpbookError('INVALID_POLICY', what);
        }
        first ??= cost;
        if (best && (cost >= least || cost > (1 - margin) * first)) continue;
        best = schedule;
        least = cost;
      }
      const chosen = best as Schedule;
      const decisions = { chosen: chosen.policy, score: least, ...chosen.decisions };
      return new Schedule('auto', problem, machine, chosen.source, decisions);
    };
    // As good as its candidates: those of the user's own are validated one by one.
    return candidates?.every(isTrusted) === false ? policy : trustPolicy(policy);
  };
}
