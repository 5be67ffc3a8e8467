/**
 * The float64 reference on the GPU (reference.cu): takes what `reference` takes and gives what it gives, rounded to
 * float32, in milliseconds where that one takes minutes. Independent of schedules and of the kernels under test.
 */
import type { reference } from '../../src/attention/reference';
import type { Device } from '../../src/device/device';
import { defineParams } from '../../src/device/params';
import { loadPrograms } from '../../src/device/programs/load-programs';
import { empty, fromHost } from '../../src/tensor/create';
import { DTYPE_CODE } from '../../src/tensor/dtype';
import { programOf } from './probes';

const referenceParams = defineParams('ReferenceParams', {
  q: ['address', ''],
  k: ['address', ''],
  v: ['address', ''],
  kv_indices: ['address', ''],
  kv_indptr: ['address', ''],
  kv_lens: ['address', ''],
  qo_indptr: ['address', ''],
  sinks: ['address', ''],
  alibi_slopes: ['address', ''],
  o: ['address', ''],
  lse: ['address', ''],
  q_stride_token: ['i64', ''],
  q_stride_head: ['i64', ''],
  kv_stride_page: ['i64', ''],
  kv_stride_token: ['i64', ''],
  kv_stride_head: ['i64', ''],
  batch_size: ['i32', ''],
  q_dtype: ['i32', ''],
  kv_dtype: ['i32', ''],
  head_dim: ['i32', ''],
  num_qo_heads: ['i32', ''],
  num_kv_heads: ['i32', ''],
  page_size: ['i32', ''],
  causal: ['i32', ''],
  window_left: ['i32', ''],
  sm_scale: ['f32', ''],
  logits_soft_cap: ['f32', ''],
  k_scale: ['f32', ''],
  v_scale: ['f32', ''],
});

/** Makes {@link deviceReference} work on `device`. */
export async function loadReference(device: Device): Promise<void> {
  await loadPrograms(device, [programOf('reference_attention')], { kernelsFolder: __dirname });
}

/** As `reference`, on the cache's CUDA device. */
export const deviceReference: typeof reference = async (q, cache, table, variant, qoLens, heads = {}) => {
  const { device } = cache;
  const qoIndptr = new Int32Array(table.batchSize + 1);
  for (let r = 0; r < table.batchSize; r++) qoIndptr[r + 1] = qoIndptr[r] + (qoLens ? qoLens[r] : 1);
  const tokens = qoIndptr[table.batchSize];
  const int32 = (values: Int32Array) => fromHost(values, { dtype: 'int32', device, label: 'reference' });
  const { pagedKvIndptr, pagedKvIndices, pagedKvLastPageLen } = table.toTensors(device);
  const [kvLens, qoStarts] = [int32(table.kvLens), int32(qoIndptr)];
  const output = empty([tokens, variant.numQoHeads, variant.headDim], { device, label: 'reference' });
  const lse = empty([tokens, variant.numQoHeads], { device, label: 'reference' });
  const inputs = [q, cache.k, cache.v, pagedKvIndices, pagedKvIndptr, kvLens, qoStarts];
  const perHead = [heads.sinks, heads.alibiSlopes].filter((tensor) => tensor !== undefined);
  const { params, relocations } = referenceParams.pack({
    q: q.address(),
    k: cache.k.address(),
    v: cache.v.address(),
    kv_indices: pagedKvIndices.address(),
    kv_indptr: pagedKvIndptr.address(),
    kv_lens: kvLens.address(),
    qo_indptr: qoStarts.address(),
    sinks: heads.sinks?.address() ?? null,
    alibi_slopes: heads.alibiSlopes?.address() ?? null,
    o: output.address(),
    lse: lse.address(),
    q_stride_token: q.strides[0],
    q_stride_head: q.strides[1],
    kv_stride_page: cache.strides.page,
    kv_stride_token: cache.strides.token,
    kv_stride_head: cache.strides.head,
    batch_size: table.batchSize,
    q_dtype: DTYPE_CODE[q.dtype],
    kv_dtype: DTYPE_CODE[cache.dtype],
    head_dim: variant.headDim,
    num_qo_heads: variant.numQoHeads,
    num_kv_heads: variant.numKvHeads,
    page_size: cache.pageSize,
    causal: variant.causal ? 1 : 0,
    window_left: variant.windowLeft,
    sm_scale: variant.smScale,
    logits_soft_cap: variant.logitsSoftCap,
    k_scale: cache.kScale,
    v_scale: cache.vScale,
  });
  if (tokens > 0) {
    device.stream.launch({
      program: 'reference_attention',
      grid: [tokens * variant.numQoHeads, 1, 1],
      params: { params, relocations },
      buffers: [...inputs, ...perHead, output, lse].map((tensor) => tensor.buffer),
    });
  }
  const [outputs, logs] = (await Promise.all([output.data(), lse.data()])) as Float32Array[];
  for (const tensor of [pagedKvIndptr, pagedKvIndices, pagedKvLastPageLen, kvLens, qoStarts, output, lse])
    tensor.dispose();
  return { output: Float64Array.from(outputs), lse: Float64Array.from(logs) };
};
