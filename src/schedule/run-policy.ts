/**
 * Calls a policy and checks what comes back. Built-in policies are property-tested, so their schedules aren't validated
 * at every plan; a policy of the user's own always is, unless that is switched off.
 */
import { WarpbookError } from '../errors';
import type { Machine } from './machine';
import type { AttentionProblem } from './problem';
import { type Policy, Schedule } from './schedule';
import { isTrusted } from './trusted';
import { type ValidateOptions, validate } from './validate';

export interface RunPolicyOptions extends ValidateOptions {
  /** Check the schedule; default: unless the policy is a built-in one. */
  validate?: boolean;
}

/**
 * Runs a policy.
 * @throws WarpbookError INVALID_POLICY if it throws, returns something else or changes the problem; INVALID_SCHEDULE if
 * the schedule is wrong
 */
export function runPolicy(
  policy: Policy,
  problem: AttentionProblem,
  machine: Machine,
  options: RunPolicyOptions = {},
): Schedule {
  if (isTrusted(policy)) {
    const schedule = policy(problem, machine);
    if (options.validate) validate(schedule, options);
    return schedule;
  }
  // A policy that sorts the lengths it was given would be checked against its own mistake.
  const pristine = { kvLens: problem.kvLens.slice(), qoIndptr: problem.qoIndptr.slice() };
  let schedule: Schedule;
  try {
    schedule = policy(problem, machine);
  } catch (error) {
    if (error instanceof WarpbookError) throw error;
    const message = error instanceof Error ? error.message : String(error);
    throw new WarpbookError(
      'INVALID_POLICY',
      `Policy ${policy.name || '(anonymous)'} threw: ${message}`,
      {},
      { cause: error },
    );
  }
  if (!(schedule instanceof Schedule)) {
    const got = schedule === null ? 'null' : typeof schedule;
    throw new WarpbookError(
      'INVALID_POLICY',
      `Policy ${policy.name || '(anonymous)'} returned ${got}; wanted a Schedule: return builder.build() of a ScheduleBuilder.`,
    );
  }
  if (schedule.problem !== problem) {
    throw new WarpbookError('INVALID_POLICY', `Policy ${schedule.policy} returned the schedule of another problem.`);
  }
  for (const [name, values] of Object.entries(pristine) as ['kvLens' | 'qoIndptr', Int32Array][]) {
    if (problem[name].every((value, i) => value === values[i])) continue;
    throw new WarpbookError(
      'INVALID_POLICY',
      `Policy ${schedule.policy} changed problem.${name}; a policy is a pure function: work on a copy.`,
    );
  }
  if (options.validate ?? true) validate(schedule, options);
  return schedule;
}
