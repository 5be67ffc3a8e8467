/**
 * Parameters of the programs that a decode step is made of besides append and attention, and of the kernels by which a GPU
 * launches work for itself. Whatever a graph must not freeze is behind an address.
 */
import { defineParams, type ParamLayout } from '../device/params';

/** Words (int32) of a step's state in device memory. */
export const STEP_WORD = {
  /** When the step's first kernel began, ns, in two words, the low one first: the GPU's %globaltimer, or the host's steady clock. */
  startNs: 0,
  /** Steps that have run. */
  step: 2,
  /** Steps after which a loop on the device ends. */
  stepLimit: 3,
  /** Not 0: a loop on the device ends. */
  stop: 4,
  /** CTAs of attention that a kernel decided on last. */
  numCtas: 5,
  /** Graph or body that a kernel chose last; −1: none fits. */
  chosen: 6,
  /** First error that the device runtime told a kernel (a cudaError_t); 0: none. */
  launchError: 7,
  /** Merge groups of the step, where merging is a node of its own. */
  numMergeGroups: 8,
  /** Requests that run in the step; the last word, ahead of the lengths. */
  numRequests: 15,
} as const;

/** Constants that native code shares, as `STEP_…` in step_params.h. */
export const STEP_RULES = {
  stateWords: 16,
  /** Rows of a CTA of `project_heads`. */
  rowsPerCta: 16,
  /** What a kernel writes to the launch error where no graph or body fits the batch. */
  nothingFits: 1_000_000,
} as const;

const advanceSpec = {
  state: ['address', 'int32 [STEP_STATE_WORDS], see STEP_WORD_...'],
  lengths: ['address', 'int32 [max_requests]: tokens of each request before the step; grows by one'],
  remaining: ['address', 'int32 [max_requests]: tokens still to generate; one less, and at 0 the step asks to stop'],
  kv_lens: ['address', 'int32 [max_requests]: tokens with the new one; 0 beyond the running requests'],
  next_kv_lens: ['address', 'int32 [max_requests]: the same a step later, if the same requests run then'],
  positions: ['address', 'int32 [max_requests]: of the new token; -1 beyond'],
  batch_indices: ['address', 'int32 [max_requests]: of the request; -1 beyond'],
  max_requests: ['i32', ''],
} as const;

const projectSpec = {
  embeddings: ['address', '[num_embeddings, num_qo_heads, head_dim]'],
  residual: ['address', '[num_rows, num_qo_heads, head_dim], added to a row; 0: none'],
  weights: ['address', '[num_qo_heads + 2 num_kv_heads, head_dim, head_dim]: a matrix for each head of q, k, v'],
  q: ['address', '[num_rows, num_qo_heads, head_dim]'],
  k: ['address', '[num_rows, num_kv_heads, head_dim]'],
  v: ['address', '[num_rows, num_kv_heads, head_dim]'],
  positions: ['address', 'int32 [num_rows]; -1: padding'],
  batch_indices: ['address', 'int32 [num_rows]'],
  num_rows: ['i32', ''],
  num_embeddings: ['i32', ''],
  num_qo_heads: ['i32', ''],
  num_kv_heads: ['i32', ''],
  head_dim: ['i32', 'at most 256'],
  dtype: ['i32', 'DTYPE_CODE of all: float32, float16 or bfloat16'],
} as const;

const chunkSpec = {
  kv_lens: ['address', 'int32 [max_requests]'],
  page_ranges: ['address', 'int32 [max_requests, 2]: {first page, pages} of each request, in the page list'],
  o_indptr: ['address', 'int32 [max_requests + 1]: first chunk of each request; 0: chunks_per_request of each'],
  block_valid_mask: [
    'address',
    'int32 [num_items]: 0 for what has nothing to do; 0: all up to the last request are valid',
  ],
  num_requests_ptr: ['address', 'int32 [1]; 0: num_requests'],
  kv_chunk_size_ptr: ['address', 'int32 [1], tokens; 0: kv_chunk_size'],
  workspace: ['address', 'packed Schedule, see schedule_layout.h'],
  num_requests: ['i32', 'by value: what a graph freezes'],
  kv_chunk_size: ['i32', 'by value, tokens: what a graph freezes'],
  chunks_per_request: ['i32', 'by value'],
  num_items: ['i32', 'chunks that the launch behind has CTAs for, a CTA for each KV head'],
  split: ['i32', '1: every request goes through partial states and a merge, 0: none does'],
  num_kv_heads: ['i32', ''],
  group_size: ['i32', 'query heads of a KV head'],
  page_size: ['i32', 'tokens'],
  max_requests: ['i32', ''],
  tiles_offset: ['i32', 'words'],
  cta_indptr_offset: ['i32', 'words'],
  kv_sequences_offset: ['i32', 'words'],
  merge_groups_offset: ['i32', 'words'],
  merge_slots_offset: ['i32', 'words'],
} as const;

/** Behind the parameters of attention, in one struct: a kernel that launches attention. */
const launcherSpec = {
  state: ['address', 'int32 [STEP_STATE_WORDS]'],
  threads: ['i32', 'of a CTA of attention'],
  shared_bytes: ['i32', 'dynamic shared memory of a CTA of attention'],
  tail: ['i32', '1: attention starts when the launcher has ended, 0: at once'],
} as const;

const chooseSpec = {
  state: ['address', 'int32 [STEP_STATE_WORDS]'],
  sizes: ['address', 'int32 [num_choices], ascending: requests that each choice is made for'],
  handles: ['address', 'uint64: of the conditional node; or, [num_choices], of the graphs to launch'],
  num_choices: ['i32', ''],
} as const;

const loopSpec = {
  state: ['address', 'int32 [STEP_STATE_WORDS]'],
  handle: ['address', 'uint64 [1]: of the conditional node'],
} as const;

const updateSpec = {
  state: ['address', 'int32 [STEP_STATE_WORDS]'],
  nodes: ['address', 'uint64 [2, num_layers]: launches of attention, then of the merge behind each'],
  workspace: ['address', 'packed Schedule, see schedule_layout.h'],
  num_layers: ['i32', ''],
  tiles_offset: ['i32', 'words'],
} as const;

const holdSpec = {
  hold_ns: ['i64', 'how long the stream is held up'],
} as const;

export const holdStreamParams: ParamLayout<typeof holdSpec> = defineParams('HoldStreamParams', holdSpec);
export const advanceStepParams: ParamLayout<typeof advanceSpec> = defineParams('AdvanceStepParams', advanceSpec);
export const projectHeadsParams: ParamLayout<typeof projectSpec> = defineParams('ProjectHeadsParams', projectSpec);
export const chunkTilesParams: ParamLayout<typeof chunkSpec> = defineParams('ChunkTilesParams', chunkSpec);
export const launcherParams: ParamLayout<typeof launcherSpec> = defineParams('LauncherParams', launcherSpec);
export const chooseParams: ParamLayout<typeof chooseSpec> = defineParams('ChooseParams', chooseSpec);
export const loopConditionParams: ParamLayout<typeof loopSpec> = defineParams('LoopConditionParams', loopSpec);
export const updateNodesParams: ParamLayout<typeof updateSpec> = defineParams('UpdateNodesParams', updateSpec);

/** Every layout of this file, for the generated header. */
export const stepParamLayouts: readonly ParamLayout[] = [
  advanceStepParams,
  projectHeadsParams,
  chunkTilesParams,
  launcherParams,
  chooseParams,
  loopConditionParams,
  updateNodesParams,
  holdStreamParams,
] as readonly unknown[] as readonly ParamLayout[];
