/** The batches that `auto` is judged by, and the policies that it is judged against. Decode; Azure's conversations. */
import { policies } from '../schedule/policies/known';
import type { Policy } from '../schedule/schedule';
import type { RequestTrace } from '../workload/request-trace';
import { snapshots } from '../workload/snapshot';
import type { TraceBatch } from './prediction-batches';

/** Every policy for decode that somebody might take for all batches. */
export const singlePolicies: Readonly<Record<string, Policy>> = {
  noSplit: policies.noSplit,
  binarySearch: policies.binarySearch,
  adaptive: policies.adaptive,
  headGroups: policies.headGroups,
  headGroupsSpare: policies.headGroupsSpare,
  streamK: policies.streamK,
  balanced: policies.balanced,
  fa3Varlen: policies.fa3Varlen,
  fa3Heuristic: policies.fa3Heuristic,
  fixedSplitSize1024: policies.fixedSplitSize(1024),
  longestFirst: policies.longestFirst,
  dynamic: policies.dynamic,
};

/** Query heads and KV heads. */
export type Heads = readonly [numQoHeads: number, numKvHeads: number];

export interface AutoBatch extends TraceBatch {
  readonly concurrency: number;
}

/**
 * Snapshots of continuous batching.
 * @param seed each concurrency and shape draws from one of its own
 * @param count snapshots of each concurrency
 * @param maxTokens longer batches are left out
 */
export function autoBatches(
  trace: RequestTrace,
  [numQoHeads, numKvHeads]: Heads,
  concurrencies: readonly number[],
  options: { readonly count: number; readonly seed: number; readonly maxTokens: number },
): AutoBatch[] {
  return concurrencies.flatMap((concurrency) => {
    const seed = options.seed + 1000 * numQoHeads + 300 * numKvHeads + concurrency;
    return snapshots(trace, { concurrency, count: options.count, seed }).flatMap(({ kvLens }, i): AutoBatch[] => {
      const lengths = Array.from(kvLens);
      const tokens = lengths.reduce((sum, length) => sum + length, 0);
      if (lengths.length === 0 || tokens > options.maxTokens) return [];
      const what = `azure ${concurrency} #${i}, ${numQoHeads}/${numKvHeads} heads`;
      return [{ what, kind: 'decode', kvLens: lengths, numQoHeads, concurrency }];
    });
  });
}
