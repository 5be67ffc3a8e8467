/** Policies by name, as sweeps and leaderboards write them down: `headGroups`, `fixedSplitSize(512)`, `auto`. */
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { WarpbookError } from '../errors';
import type { Machine } from '../schedule/machine';
import { policies } from '../schedule/policies/known';
import { makeProblem } from '../schedule/problem';
import { runPolicy } from '../schedule/run-policy';
import type { Policy } from '../schedule/schedule';
import type { CostModel } from '../simulate/cost-model';
import { predict } from '../simulate/simulate';
import { hashOf } from './sweep/points';

/** What stands for the known policies where nobody names some; those that need a number have one that is customary. */
const STANDARD_NAMES = [
  'noSplit',
  'fixedSplitCount(8)',
  'fixedSplitSize(512)',
  'binarySearch',
  'binarySearchByBatchSize',
  'balanced',
  'fa3Heuristic',
  'fa3Varlen',
  'streamK',
  'adaptive',
  'headGroups',
  'headGroupsSpare',
  'longestFirst',
  'longestFirstByHeadGroups',
  'cascade',
  'dynamic',
  'auto',
] as const;

/** Policies by name. */
export type PolicySet = Readonly<Record<string, Policy>>;

/**
 * The known policies, ready to plan with.
 * @param model what `auto` scores by; default: that of the schedule's machine
 */
export function knownPolicies(model?: CostModel): PolicySet {
  return Object.fromEntries(STANDARD_NAMES.map((name) => [name, policyByName(name, model)]));
}

/**
 * The policy of a name: one of `policies`, with its option in brackets as JSON where it takes one, such as
 * `streamK({"unitTokens":64})`.
 * @param model what `auto` scores by
 * @throws WarpbookError INVALID_ARGUMENT
 */
export function policyByName(name: string, model?: CostModel): Policy {
  const policy = makePolicy(name, model);
  identities.set(policy, model && name === 'auto' ? `auto by ${hashOf(JSON.stringify(model))}` : name);
  return policy;
}

function makePolicy(name: string, model?: CostModel): Policy {
  const [, key, argument] = /^([A-Za-z0-9]+)(?:\((.*)\))?$/s.exec(name) ?? [];
  const known = policies as unknown as Record<string, ((option: unknown) => Policy) & Policy>;
  if (key === undefined || !Object.hasOwn(known, key)) {
    throw new WarpbookError(
      'INVALID_ARGUMENT',
      `There is no policy '${name}'; wanted one of ${Object.keys(policies).join(', ')}, or a function of your own by name: ` +
        '{ mine: (problem, machine) => … }.',
    );
  }
  if (key === 'auto') return policies.auto({ score: (schedule) => predict(schedule, model).durationNs });
  if (argument === undefined || argument === '') {
    if (key !== 'fixedSplitCount' && key !== 'fixedSplitSize') return known[key];
    throw new WarpbookError('INVALID_ARGUMENT', `Policy ${key} takes a number: '${key}(512)'.`);
  }
  try {
    return known[key](JSON.parse(argument));
  } catch (cause) {
    if (cause instanceof WarpbookError) throw cause;
    throw new WarpbookError(
      'INVALID_ARGUMENT',
      `'${name}': got ${argument} in the brackets; wanted JSON, such as 512 or {"unitTokens":64}.`,
      {},
      { cause },
    );
  }
}

/** Policies as they may be given: names, functions by name, or nothing (all known ones). */
export type PolicyChoice = readonly (string | Policy)[] | PolicySet;

/** @throws WarpbookError INVALID_ARGUMENT for a name that isn't known, twice the same name, or no policy at all */
export function choosePolicies(choice: PolicyChoice | undefined, model?: CostModel): PolicySet {
  if (choice === undefined) return knownPolicies(model);
  const chosen: Record<string, Policy> = {};
  const entries = Array.isArray(choice)
    ? (choice as readonly (string | Policy)[]).map((policy) =>
        typeof policy === 'string'
          ? ([policy, policyByName(policy, model)] as const)
          : ([policy.name, policy] as const),
      )
    : Object.entries(choice as PolicySet);
  for (const [name, policy] of entries) {
    if (typeof policy !== 'function' || name === '') {
      throw new WarpbookError(
        'INVALID_ARGUMENT',
        `policies has ${name === '' ? 'a function without a name' : `${name}, which is no function`}; wanted names, or functions by ` +
          "name: ['headGroups'] or { mine: (problem, machine) => … }.",
      );
    }
    if (chosen[name]) throw new WarpbookError('INVALID_ARGUMENT', `policies has ${name} twice; name them apart.`);
    chosen[name] = policy;
  }
  if (entries.length === 0) throw new WarpbookError('INVALID_ARGUMENT', 'policies is empty; wanted at least one.');
  return chosen;
}

/** Policies that {@link policyByName} made or knows, and what they are: of the same name they do the same. */
const identities = new WeakMap<Policy, string>();

/**
 * What a policy is, for keys of what was computed with it: its name where it is known; of a policy of the user's own its text and
 * what it does with a few batches, since a text doesn't show the values that the function was made with.
 */
export function identityOf(policy: Policy, machine: Machine, timeLimitMs?: number): string {
  const known = identities.get(policy);
  if (known !== undefined) return `${known} ${packageVersion()}`;
  const deeds: string[] = [];
  try {
    for (const kvLens of PROBES) {
      const problem = makeProblem({ kvLens, ...PROBE_HEADS });
      const { tiles, ctaIndptr, dispatch } = runPolicy(policy, problem, machine, { timeLimitMs });
      deeds.push(`${dispatch} ${tiles.join()} ${ctaIndptr.join()}`);
    }
  } catch (error) {
    deeds.push(String(error));
  }
  return hashOf([Function.prototype.toString.call(policy), ...deeds].join('\n'));
}

const PROBE_HEADS = { numQoHeads: 8, numKvHeads: 2, headDim: 128 };
const PROBES = [[1], [50_000, 700], Array.from({ length: 40 }, (_, i) => 100 + i * i)];

/** Results of another version are not this one's. */
export function packageVersion(): string {
  const read = createRequire(__filename)(join(__dirname, '..', '..', 'package.json')) as { version: string };
  return read.version;
}
