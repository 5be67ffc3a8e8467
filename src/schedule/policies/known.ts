/** The policies that warpbook knows by name. A policy of your own is a function in a cell and takes the same way. */
import type { Policy } from '../schedule';
import { binarySearch, binarySearchByBatchSize } from './binary-search';
import { fixedSplitCount } from './fixed-split-count';
import { fixedSplitSize } from './fixed-split-size';
import { headGroups } from './head-groups';
import { headGroupsSpare } from './head-groups-spare';
import { longestFirst } from './longest-first';
import { noSplit } from './no-split';

export const policies: {
  readonly noSplit: Policy;
  readonly fixedSplitCount: (count: number) => Policy;
  readonly fixedSplitSize: (tokens: number) => Policy;
  readonly binarySearch: Policy;
  readonly binarySearchByBatchSize: Policy;
  readonly headGroups: Policy;
  readonly headGroupsSpare: Policy;
  readonly longestFirst: Policy;
} = {
  noSplit,
  fixedSplitCount,
  fixedSplitSize,
  binarySearch,
  binarySearchByBatchSize,
  headGroups,
  headGroupsSpare,
  longestFirst,
};
