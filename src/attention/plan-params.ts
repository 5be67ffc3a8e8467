/**
 * Parameters of the programs that rewrite plan data on the device: `plan_tiles`, the planner, and `scatter_words`, which
 * applies a delta to a page list. Strides and offsets are in 32-bit words.
 */
import { defineParams, type ParamLayout } from '../device/params';
import { FIXED_TOKENS, MAX_GROUP_LOAD } from '../schedule/deal';
import { SLACK_STEPS } from '../schedule/policies/adaptive';
import { MIN_CHUNK_TOKENS } from '../schedule/policies/binary-search';
import { TILE_UNITS } from '../schedule/policies/head-groups';

/** What the planner on the device can do; a policy of the same name writes the same list on the host. */
export const PLAN_POLICY = { noSplit: 0, binarySearch: 1, headGroups: 2, adaptive: 3 } as const;

/** Constants that native code shares, as `PLAN_…` in plan_params.h: those of the policies, and what the planner can hold. */
export const PLAN_RULES: {
  readonly minChunkTokens: number;
  readonly tileUnits: number;
  readonly slackSteps: number;
  readonly fixedTokens: number;
  readonly maxGroupLoad: number;
  /** Query tiles of one KV head, and items that are dealt to groups of CTAs. */
  readonly maxItems: number;
  /** Query rows of a tile. */
  readonly maxRowsPerTile: number;
  /** CTA slots of the machine. */
  readonly maxCtas: number;
  /** CTAs of `plan_tiles` and their threads: each CTA computes the whole plan and writes its share of it. */
  readonly plannerCtas: number;
  readonly plannerThreads: number;
} = {
  minChunkTokens: MIN_CHUNK_TOKENS,
  tileUnits: TILE_UNITS,
  slackSteps: SLACK_STEPS,
  fixedTokens: FIXED_TOKENS,
  maxGroupLoad: MAX_GROUP_LOAD,
  maxItems: 1024,
  maxRowsPerTile: 256,
  maxCtas: 1024,
  plannerCtas: 8,
  plannerThreads: 256,
};

const planSpec = {
  kv_lens: ['address', 'int32 [max_requests]: KV tokens of each request'],
  num_requests: ['address', 'int32 [1]: requests of this step, at most max_requests; 0: max_requests'],
  page_ranges: ['address', 'int32 [max_requests, 2]: {first page, pages} of each request, in the page list'],
  workspace: ['address', 'packed Schedule, see schedule_layout.h'],
  max_requests: ['i32', ''],
  qo_len: ['i32', 'query tokens of each request'],
  num_kv_heads: ['i32', ''],
  group_size: ['i32', 'query heads of a KV head'],
  rows_per_tile: ['i32', 'query rows of a full tile'],
  tiles_per_request: ['i32', 'query tiles of a request and KV head'],
  kv_step: ['i32', 'tokens of a step of the main loop'],
  kv_step_shift: ['i32', 'its binary logarithm; -1 where it is no power of two'],
  num_ctas: ['i32', 'CTA slots'],
  num_shares: ['i32', 'num_ctas / num_kv_heads'],
  num_groups: ['i32', 'num_ctas / group_width'],
  group_width: ['i32', 'KV heads that are dealt out together where nothing is split'],
  page_size: ['i32', 'tokens'],
  causal: ['i32', '0 or 1'],
  window_left: ['i32', 'tokens; -1: no window'],
  policy: ['i32', 'PLAN_POLICY_...'],
  plan_id: ['i32', 'written to the header'],
  max_tiles: ['i32', 'capacity'],
  max_merge_groups: ['i32', 'capacity'],
  max_merge_slots: ['i32', 'capacity'],
  max_partial_rows: ['i32', 'capacity'],
  tiles_offset: ['i32', 'words'],
  cta_indptr_offset: ['i32', 'words'],
  kv_sequences_offset: ['i32', 'words'],
  merge_groups_offset: ['i32', 'words'],
  merge_slots_offset: ['i32', 'words'],
} as const;

const scatterSpec = {
  target: ['address', 'int32 words'],
  pairs: ['address', 'int32 [num_pairs, 2]: {index in target, value}; an index occurs once'],
  num_pairs: ['i32', ''],
  num_words: ['i32', 'words of target: an index outside is skipped'],
} as const;

export const planTilesParams: ParamLayout<typeof planSpec> = defineParams('PlanTilesParams', planSpec);
export const scatterWordsParams: ParamLayout<typeof scatterSpec> = defineParams('ScatterWordsParams', scatterSpec);
