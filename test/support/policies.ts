/** Every policy that warpbook knows, ready to plan with: for tests of what all of them must do. */
import { policies as known } from '../../src/schedule/policies/known';
import type { Policy, Schedule } from '../../src/schedule/schedule';

/** A cost for `auto` and its like: the longest CTA's keys, and what is written and read again for merges. */
export function roughCost(schedule: Schedule): number {
  const longest = schedule.tokensPerCta().reduce((most, tokens) => Math.max(most, tokens), 0);
  return longest + (64 * schedule.numTiles) / schedule.numCtas + schedule.numPartialRows / 8;
}

/** @param policies the library's, from its sources or as built */
export const listPolicies = (policies: typeof known): Readonly<Record<string, Policy>> => ({
  noSplit: policies.noSplit,
  'fixedSplitCount(3)': policies.fixedSplitCount(3),
  'fixedSplitSize(100)': policies.fixedSplitSize(100),
  binarySearch: policies.binarySearch,
  binarySearchByBatchSize: policies.binarySearchByBatchSize,
  balanced: policies.balanced,
  fa3Heuristic: policies.fa3Heuristic,
  fa3Varlen: policies.fa3Varlen,
  streamK: policies.streamK,
  'streamK({ unitTokens: 20 })': policies.streamK({ unitTokens: 20 }),
  adaptive: policies.adaptive,
  headGroups: policies.headGroups,
  headGroupsSpare: policies.headGroupsSpare,
  longestFirst: policies.longestFirst,
  longestFirstByHeadGroups: policies.longestFirstByHeadGroups,
  cascade: policies.cascade,
  'cascade({ always: true })': policies.cascade({ always: true }),
  mixed: policies.mixed,
  "mixed({ dispatch: 'queue' })": policies.mixed({ dispatch: 'queue' }),
  dynamic: policies.dynamic,
  auto: policies.auto({ score: roughCost }),
  oracle: policies.oracle,
});

export const everyPolicy: Readonly<Record<string, Policy>> = listPolicies(known);
