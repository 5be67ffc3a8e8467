/**
 * Parameters of the `merge_states` program: partial states of rows (token, head) become one state each. State 0 has a place
 * of its own, so that two tensors can be merged; the others follow each other. Strides are in elements.
 */
import { defineParams, type ParamLayout } from '../device/params';

const spec = {
  first_o: ['address', 'output of state 0: [num_tokens, num_heads, head_dim]'],
  first_lse: ['address', 'float32, LSE of state 0: [num_tokens, num_heads], natural log'],
  rest_o: ['address', 'output of states 1 and on; 0 where there is one state'],
  rest_lse: ['address', 'float32, their LSE'],
  o: ['address', 'merged output, may be first_o'],
  lse: ['address', 'float32, merged LSE, may be first_lse'],
  sinks: ['address', "float32 [num_heads]: logit of each head's attention sink, added to the merged state; 0: none"],
  num_tokens: ['i64', ''],
  first_stride_token: ['i64', ''],
  first_stride_head: ['i64', ''],
  first_lse_stride_token: ['i64', ''],
  rest_stride_state: ['i64', ''],
  rest_stride_token: ['i64', ''],
  rest_stride_head: ['i64', ''],
  rest_lse_stride_state: ['i64', ''],
  rest_lse_stride_token: ['i64', ''],
  o_stride_token: ['i64', ''],
  o_stride_head: ['i64', ''],
  lse_stride_token: ['i64', ''],
  num_states: ['i32', 'at least 1'],
  num_heads: ['i32', ''],
  head_dim: ['i32', ''],
  state_dtype: ['i32', 'DTYPE_CODE of first_o and rest_o: float32, float16 or bfloat16'],
  o_dtype: ['i32', 'DTYPE_CODE of o: likewise'],
} as const;

export const mergeStatesParams: ParamLayout<typeof spec> = defineParams('MergeStatesParams', spec);

/** Rows that one CTA of `merge_states` merges. */
export const MERGE_ROWS_PER_CTA = 16;
