/** Parameters of the `append_kv` program: writes new keys and values to their slots of a paged pool. */
import { defineParams, type ParamLayout } from '../device/params';

const spec = {
  k: ['address', 'new keys: [num_tokens, num_kv_heads, head_dim]'],
  v: ['address', 'new values, laid out as the keys'],
  k_pages: ['address', 'pool of keys'],
  v_pages: ['address', 'pool of values'],
  slots: ['address', 'int64 [num_tokens]: page * page_size + token; negative: skipped'],
  num_tokens: ['i64', ''],
  stride_token: ['i64', 'elements, of k and v'],
  stride_head: ['i64', 'elements, of k and v'],
  page_stride_page: ['i64', 'elements, of the pools'],
  page_stride_token: ['i64', 'elements, of the pools'],
  page_stride_head: ['i64', 'elements, of the pools'],
  num_pages: ['i64', 'a slot beyond is skipped'],
  page_size: ['i32', 'tokens'],
  num_kv_heads: ['i32', ''],
  head_dim: ['i32', ''],
  dtype: ['i32', 'DTYPE_CODE of k and v'],
  page_dtype: ['i32', 'DTYPE_CODE of the pools'],
  k_scale: ['f32', 'keys are divided by it before rounding'],
  v_scale: ['f32', 'values are divided by it before rounding'],
} as const;

export const appendParams: ParamLayout<typeof spec> = defineParams('AppendKvParams', spec);
