/**
 * Calls a policy and checks what comes back. Built-in policies are property-tested, so their schedules aren't validated
 * at every plan; a policy of the user's own always is, unless that is switched off, and it is stopped where it takes too long.
 */
import { WarpbookError } from '../errors';
import { boundedCall, isTimeout } from '../time-limit';
import { type ScheduleBuilder, watchBuilders } from './builder';
import { type Coverage, coverageOf } from './coverage';
import type { Machine } from './machine';
import { policyError } from './policy-error';
import type { AttentionProblem } from './problem';
import { type Policy, Schedule } from './schedule';
import { isTrusted } from './trusted';
import { type ValidateOptions, validate } from './validate';

/** What a policy of the user's own may take by default: a thousand times what a good one does, and not enough to fill memory. */
export const POLICY_TIME_LIMIT_MS = 1000;

/** Options of {@link runPolicy}. */
export interface RunPolicyOptions extends ValidateOptions {
  /** Check the schedule; default: unless the policy is a built-in one. */
  validate?: boolean;
  /** Milliseconds after which a policy of the user's own is stopped; default 1,000. Infinity for one in a debugger. */
  timeLimitMs?: number;
}

/**
 * Runs a policy.
 * @throws WarpbookError INVALID_POLICY if it throws, takes too long, returns something else or changes the problem;
 * INVALID_SCHEDULE if the schedule is wrong: a `PolicyError` where it is about a request's keys. A WarpbookError of the
 * policy's own passes as it is
 */
export function runPolicy(
  policy: Policy,
  problem: AttentionProblem,
  machine: Machine,
  options: RunPolicyOptions = {},
): Schedule {
  if (typeof policy !== 'function') {
    const what = `policy is ${policy === null ? 'null' : typeof policy}; wanted a function (problem, machine) → Schedule.`;
    throw new WarpbookError('INVALID_ARGUMENT', what);
  }
  if (isTrusted(policy)) {
    const schedule = policy(problem, machine);
    if (options.validate) validate(schedule, options);
    return schedule;
  }
  const { timeLimitMs = POLICY_TIME_LIMIT_MS } = options;
  if (!(timeLimitMs > 0)) {
    throw new WarpbookError('INVALID_ARGUMENT', `timeLimitMs is ${timeLimitMs}; wanted a number above 0, or Infinity.`);
  }
  // A policy that sorts the lengths it was given would be checked against its own mistake.
  const pristine = { kvLens: problem.kvLens.slice(), qoIndptr: problem.qoIndptr.slice() };
  const schedule = callPolicy(policy, problem, machine, timeLimitMs);
  requireSchedule(policy, schedule);
  if (schedule.problem !== problem) {
    refuse(schedule.policy, `Policy ${schedule.policy} returned the schedule of another problem.`);
  }
  for (const [name, values] of Object.entries(pristine) as ['kvLens' | 'qoIndptr', Int32Array][]) {
    const changed = problem[name].findIndex((value, i) => value !== values[i]);
    if (changed < 0) continue;
    refuse(
      schedule.policy,
      `Policy ${schedule.policy} changed problem.${name}[${changed}] from ${values[changed]} to ${problem[name][changed]}; a ` +
        'policy is a pure function: work on a copy.',
    );
  }
  if (options.validate ?? true) validate(schedule, options);
  return schedule;
}

function callPolicy(policy: Policy, problem: AttentionProblem, machine: Machine, timeLimitMs: number): unknown {
  const latestBuilder = watchBuilders();
  const name = policy.name || '(anonymous)';
  try {
    return boundedCall(() => policy(problem, machine), timeLimitMs);
  } catch (error) {
    if (isTimeout(error)) {
      const { place, coverage } = placeOf(latestBuilder());
      const what =
        `Policy ${name} was stopped after ${timeLimitMs / 1000} s${place}. Does it loop? If it needs the time, raise the option ` +
        'timeLimitMs.';
      throw policyError('INVALID_POLICY', name, what, coverage);
    }
    if (error instanceof WarpbookError) throw error;
    const message = error instanceof Error ? error.message : String(error);
    const { place, coverage } = placeOf(latestBuilder());
    throw policyError('INVALID_POLICY', name, `Policy ${name} threw: ${message}${place}`, coverage, {
      cause: error,
    });
  }
}

/** Where a policy was, as far as its builder tells: the query tile that it had last, and that one's keys so far. */
function placeOf(builder: ScheduleBuilder | undefined): { place: string; coverage?: Coverage } {
  const { tile, numTiles, source } = builder?.progress() ?? {};
  if (!tile || !source) return { place: '' };
  const { request, kvHead, kvStart, kvEnd, rowStart } = tile;
  const place =
    ` (at request ${request}, KV head ${kvHead}, KV range [${kvStart}, ${kvEnd}), ` +
    `after ${numTiles} ${numTiles === 1 ? 'tile' : 'tiles'})`;
  return { place, coverage: coverageOf(source, request, kvHead, rowStart, { start: kvStart, end: kvEnd }) };
}

function requireSchedule(policy: Policy, value: unknown): asserts value is Schedule {
  if (value instanceof Schedule) return;
  const name = policy.name || '(anonymous)';
  const thenable = typeof (value as { then?: unknown } | null | undefined)?.then === 'function';
  const got = value === null ? 'null' : thenable ? 'a Promise' : typeof value;
  const remedy = thenable
    ? 'a policy is synchronous: leave out async and await.'
    : 'return builder.build() of a ScheduleBuilder.';
  refuse(name, `Policy ${name} returned ${got}; wanted a Schedule: ${remedy}`);
}

function refuse(policy: string, what: string): never {
  throw policyError('INVALID_POLICY', policy, what);
}
