/**
 * Parameters of the `append_kv` program: writes new keys and values to their slots of a paged pool. The slots are given, or
 * computed on the device from each token's request and position and a page table. A token whose slot lies outside of the
 * pool, its request outside of the page table or its position outside of the request's pages is skipped.
 */
import { defineParams, type ParamLayout } from '../device/params';

const spec = {
  k: ['address', 'new keys: [num_tokens, num_kv_heads, head_dim]'],
  v: ['address', 'new values, laid out as the keys'],
  k_pages: ['address', 'pool of keys'],
  v_pages: ['address', 'pool of values'],
  slots: ['address', 'int64 [num_tokens]: page * page_size + token; 0: from request and position'],
  batch_indices: [
    'address',
    'int32 [num_tokens]: request of each token; read where slots is 0, as all down to kv_indices',
  ],
  positions: ['address', 'int32 [num_tokens]: of each token in its request'],
  kv_indptr: ['address', 'int32 [batch_size + 1]: where the page lists of the requests begin'],
  kv_indices: ['address', 'int32 [num_kv_indices]: page ids'],
  num_tokens: ['i64', ''],
  batch_size: ['i64', 'requests of the page table: a token of another one is skipped'],
  num_kv_indices: ['i64', 'a page beyond is skipped'],
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
