/** Policies that work as they are and also take options: `policies.dynamic`, or `policies.dynamic({ chunkTokens: 512 })`. */
import { WarpbookError } from '../../errors';
import type { Machine } from '../machine';
import type { AttentionProblem } from '../problem';
import type { Policy, Schedule } from '../schedule';
import { trustPolicy } from '../trusted';

/** A policy, and a function that makes one of other options. */
export interface ConfigurablePolicy<Options> {
  (problem: AttentionProblem, machine: Machine): Schedule;
  (options?: Options): Policy;
}

/** @param make checks the options and answers with a policy of its own name */
export function configurable<Options extends object>(
  name: string,
  make: (options: Options) => Policy,
): ConfigurablePolicy<Options> {
  const standard = make({} as Options);
  const policy = (...given: [AttentionProblem, Machine] | [Options?]): Schedule | Policy =>
    given.length === 2 ? standard(...given) : named(name, trustPolicy(make(given[0] ?? ({} as Options))));
  return trustPolicy(named(name, policy) as ConfigurablePolicy<Options>);
}

/** Tells who hands over a maker of policies as if it were a policy, so that it is given a problem for its option. */
export function refuseProblem(name: string, option: unknown): void {
  if (typeof option !== 'object' || option === null) return;
  throw new WarpbookError(
    'INVALID_ARGUMENT',
    `${name} makes policies and is none itself: call it first, policies.${name}(512), and hand over what it returns.`,
  );
}

/** What errors call a function. */
function named<F extends object>(name: string, callable: F): F {
  return Object.defineProperty(callable, 'name', { value: name });
}
