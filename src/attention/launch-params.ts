/**
 * Parameters of the `attention` program: the bytes that the CPU device and the CUDA kernels read.
 *
 * Everything that depends on the batch (tile counts, lengths, rows, pages) is in the workspace image in device memory,
 * so that a captured launch stays right when the plan is rewritten. Only machine, capacity, strides and variant are
 * frozen here. Strides are in elements. Section offsets are in 32-bit words from the start of the image.
 */
import { defineParams, type ParamLayout } from '../device/params';

const spec = {
  q: ['address', 'queries: [num_qo_tokens, num_qo_heads, head_dim]'],
  k: ['address', 'keys: pages, or [num_kv_tokens, num_kv_heads, head_dim] where ragged'],
  v: ['address', 'values, laid out as the keys'],
  kv_indices: ['address', 'int32 page ids, indexed by pageStart + page of the sequence; 0: identity (ragged)'],
  workspace: ['address', 'packed Schedule, see schedule_layout.h'],
  partial_o: [
    'address',
    'float32 [max_partial_rows, head_dim_vo]; on CUDA every word is 0xffffffff between launches, which stands for unwritten',
  ],
  partial_lse: ['address', 'float32 [max_partial_rows], natural log; as partial_o'],
  counters: [
    'address',
    'uint32 [max_merge_groups + 4]: arrivals of each merge group, then queue heads; zero between launches',
  ],
  o: ['address', 'output: [num_qo_tokens, num_qo_heads, head_dim], dtype of q'],
  lse: ['address', 'float32 [num_qo_tokens, num_qo_heads], natural log; 0: not wanted'],
  trace: ['address', 'TraceRecord [max_tiles + max_merge_groups]; 0: not traced'],
  sinks: ['address', "float32 [num_qo_heads]: logit of each head's attention sink; 0: none"],
  alibi_slopes: ['address', 'float32 [num_qo_heads]: times key minus query position, added to the logit; 0: none'],
  q_stride_token: ['i64', ''],
  q_stride_head: ['i64', ''],
  o_stride_token: ['i64', ''],
  o_stride_head: ['i64', ''],
  kv_stride_page: ['i64', 'elements between pages'],
  kv_stride_token: ['i64', 'elements between tokens of a page'],
  kv_stride_head: ['i64', 'elements between KV heads'],
  num_pages: ['i64', 'pages in the pool: an index outside is skipped and counted in the status word'],
  num_kv_indices: ['i64', 'entries of kv_indices: a page beyond them counts as one outside of the pool'],
  q_dtype: ['i32', 'DTYPE_CODE of q and o'],
  kv_dtype: ['i32', 'DTYPE_CODE of k and v'],
  head_dim: ['i32', ''],
  num_qo_heads: ['i32', ''],
  num_kv_heads: ['i32', ''],
  page_size: ['i32', 'tokens'],
  causal: ['i32', '0 or 1'],
  window_left: ['i32', 'tokens; -1: no window'],
  sm_scale: ['f32', 'multiplies q.k, key scale not included'],
  logits_soft_cap: ['f32', 'cap * tanh(logit / cap); 0: none'],
  k_scale: ['f32', 'dequantisation scale of keys'],
  v_scale: ['f32', 'dequantisation scale of values'],
  max_tiles: ['i32', 'capacity; trace records of merge groups start here'],
  max_merge_groups: ['i32', 'capacity'],
  max_partial_rows: ['i32', 'capacity'],
  tiles_offset: ['i32', 'words'],
  cta_indptr_offset: ['i32', 'words'],
  kv_sequences_offset: ['i32', 'words'],
  rows_offset: ['i32', 'words'],
  segments_offset: ['i32', 'words'],
  merge_groups_offset: ['i32', 'words'],
  merge_slots_offset: ['i32', 'words'],
} as const;

export const attentionParams: ParamLayout<typeof spec> = defineParams('AttentionParams', spec);
