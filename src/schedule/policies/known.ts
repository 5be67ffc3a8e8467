/** The policies that warpbook knows by name. A policy of your own is a function in a cell and takes the same way. */
import type { AttentionProblem } from '../problem';
import type { Policy } from '../schedule';
import { trustPolicy } from '../trusted';
import { adaptive } from './adaptive';
import { type AutoOptions, autoAmong } from './auto';
import { balanced } from './balanced';
import { binarySearch, binarySearchByBatchSize } from './binary-search';
import { type CascadeOptions, cascade } from './cascade';
import type { ConfigurablePolicy } from './configurable';
import { type DynamicOptions, dynamic } from './dynamic';
import { type Fa3HeuristicOptions, fa3Heuristic } from './fa3-heuristic';
import { type Fa3VarlenOptions, fa3Varlen } from './fa3-varlen';
import { fixedSplitCount } from './fixed-split-count';
import { fixedSplitSize } from './fixed-split-size';
import { headGroups } from './head-groups';
import { headGroupsSpare } from './head-groups-spare';
import { longestFirst } from './longest-first';
import { type LongestFirstByHeadGroupsOptions, longestFirstByHeadGroups } from './longest-first-by-head-groups';
import { type MixedOptions, mixed } from './mixed';
import { noSplit } from './no-split';
import { type OracleOptions, oracle } from './oracle';
import { type StreamKOptions, streamK } from './stream-k';

/** Query tokens a request, in the mean, above which a batch has prefill in it. */
const DECODE_TOKENS = 8;

/** What `auto` chooses among: each is the best for some batch, and the first one is seldom far from it. */
function candidatesOf({ prefixes, qoIndptr, batchSize }: AttentionProblem): readonly Policy[] {
  const shared = prefixes.length > 0 ? [cascade] : [];
  const uneven = [headGroups, headGroupsSpare, streamK, fa3Varlen, fa3Heuristic, balanced, ...shared];
  if (qoIndptr[batchSize] <= DECODE_TOKENS * batchSize) return [binarySearch, noSplit, ...uneven];
  return [noSplit, longestFirst, longestFirstByHeadGroups, mixed, binarySearch, ...uneven];
}

for (const policy of [
  adaptive,
  noSplit,
  binarySearch,
  binarySearchByBatchSize,
  balanced,
  headGroups,
  headGroupsSpare,
  longestFirst,
]) {
  trustPolicy(policy);
}

/**
 * Each is a {@link Policy}; `fixedSplitCount`, `fixedSplitSize` and `auto` make one, and those of type
 * {@link ConfigurablePolicy} do both: `policies.streamK`, or `policies.streamK({ unitTokens: 64 })`.
 */
export const policies: {
  readonly noSplit: Policy;
  readonly fixedSplitCount: (count: number) => Policy;
  readonly fixedSplitSize: (tokens: number) => Policy;
  readonly binarySearch: Policy;
  readonly binarySearchByBatchSize: Policy;
  readonly balanced: Policy;
  readonly fa3Heuristic: ConfigurablePolicy<Fa3HeuristicOptions>;
  readonly fa3Varlen: ConfigurablePolicy<Fa3VarlenOptions>;
  readonly streamK: ConfigurablePolicy<StreamKOptions>;
  readonly adaptive: Policy;
  readonly headGroups: Policy;
  readonly headGroupsSpare: Policy;
  readonly longestFirst: Policy;
  readonly longestFirstByHeadGroups: ConfigurablePolicy<LongestFirstByHeadGroupsOptions>;
  readonly cascade: ConfigurablePolicy<CascadeOptions>;
  readonly mixed: ConfigurablePolicy<MixedOptions>;
  readonly dynamic: ConfigurablePolicy<DynamicOptions>;
  readonly oracle: ConfigurablePolicy<OracleOptions>;
  readonly auto: (options: AutoOptions) => Policy;
} = {
  noSplit,
  fixedSplitCount,
  fixedSplitSize,
  binarySearch,
  binarySearchByBatchSize,
  balanced,
  fa3Heuristic,
  fa3Varlen,
  streamK,
  adaptive,
  headGroups,
  headGroupsSpare,
  longestFirst,
  longestFirstByHeadGroups,
  cascade,
  mixed,
  dynamic,
  oracle,
  auto: autoAmong(candidatesOf),
};
