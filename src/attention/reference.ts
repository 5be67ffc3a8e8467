/**
 * The independent reference: attention by its definition, in float64, one query row at a time, two passes, no tiles and
 * no merging. Slow on purpose; every kernel is measured against it.
 */
import { WarpbookError } from '../errors';
import type { Tensor } from '../tensor/tensor';
import { gatherKv } from './gather-kv';
import type { PageTable } from './page-table';
import type { PagedKvCache } from './paged-kv';
import type { AttentionVariant } from './variant';

/** Float64 results: output [numQoTokens, numQoHeads, headDim], lse [numQoTokens, numQoHeads] (natural log). */
export interface ReferenceResult {
  output: Float64Array;
  lse: Float64Array;
}

/** Dense inputs of {@link referenceAttention}. */
export interface ReferenceInput {
  /** float32 values [numQoTokens, numQoHeads, headDim] */
  q: Float32Array;
  /** float32 values [numKvTokens, numKvHeads, headDim], requests one after the other, already dequantised. */
  k: Float32Array;
  v: Float32Array;
  /** [batchSize + 1] */
  qoIndptr: ArrayLike<number>;
  /** [batchSize + 1] */
  kvIndptr: ArrayLike<number>;
  /** Logits of the attention sinks, [numQoHeads]; default: none. */
  sinks?: ArrayLike<number>;
  /** [numQoHeads]; default: no ALiBi. */
  alibiSlopes?: ArrayLike<number>;
}

/** What of a variant the reference looks at. */
export type ReferenceVariant = Pick<
  AttentionVariant,
  'numQoHeads' | 'numKvHeads' | 'headDim' | 'causal' | 'windowLeft' | 'smScale' | 'logitsSoftCap'
>;

/** Attention over contiguous keys and values. A row that sees no key gives 0 and −∞, or its sink. */
export function referenceAttention(input: ReferenceInput, variant: ReferenceVariant): ReferenceResult {
  const { numQoHeads, numKvHeads, headDim } = variant;
  const batchSize = input.qoIndptr.length - 1;
  const numQoTokens = input.qoIndptr[batchSize];
  const output = new Float64Array(numQoTokens * numQoHeads * headDim);
  const lse = new Float64Array(numQoTokens * numQoHeads).fill(Number.NEGATIVE_INFINITY);
  const groupSize = numQoHeads / numKvHeads;
  for (let r = 0; r < batchSize; r++) {
    const kvLen = input.kvIndptr[r + 1] - input.kvIndptr[r];
    const qoLen = input.qoIndptr[r + 1] - input.qoIndptr[r];
    const logits = new Float64Array(kvLen);
    for (let i = 0; i < qoLen; i++) {
      const position = kvLen - qoLen + i;
      const end = variant.causal ? Math.min(kvLen, position + 1) : kvLen;
      const start = variant.windowLeft < 0 ? 0 : Math.max(0, position - variant.windowLeft);
      for (let head = 0; head < numQoHeads; head++) {
        const row = (input.qoIndptr[r] + i) * numQoHeads + head;
        const kvHead = Math.floor(head / groupSize);
        const at = (token: number): number => ((input.kvIndptr[r] + token) * numKvHeads + kvHead) * headDim;
        const slope = input.alibiSlopes?.[head] ?? 0;
        const sink = input.sinks?.[head] ?? Number.NEGATIVE_INFINITY;
        for (let j = start; j < end; j++) logits[j] = logitOf(input, variant, row, at(j)) + slope * (j - position);
        lse[row] = attendRow(input, headDim, row, start, end, at, logits, sink, output);
      }
    }
  }
  return { output, lse };
}

/** Scaled and capped. */
function logitOf(input: ReferenceInput, variant: ReferenceVariant, row: number, key: number): number {
  const { headDim, smScale, logitsSoftCap } = variant;
  let dot = 0;
  for (let d = 0; d < headDim; d++) dot += input.q[row * headDim + d] * input.k[key + d];
  const logit = dot * smScale;
  return logitsSoftCap > 0 ? logitsSoftCap * Math.tanh(logit / logitsSoftCap) : logit;
}

/** Softmax of the logits and a sink, times the values; returns the LSE. */
function attendRow(
  input: ReferenceInput,
  headDim: number,
  row: number,
  start: number,
  end: number,
  at: (token: number) => number,
  logits: Float64Array,
  sink: number,
  output: Float64Array,
): number {
  let largest = sink;
  for (let j = start; j < end; j++) largest = Math.max(largest, logits[j]);
  if (largest === Number.NEGATIVE_INFINITY) return largest;
  let sum = Math.exp(sink - largest);
  for (let j = start; j < end; j++) {
    const weight = Math.exp(logits[j] - largest);
    sum += weight;
    const value = at(j);
    for (let d = 0; d < headDim; d++) output[row * headDim + d] += weight * input.v[value + d];
  }
  for (let d = 0; d < headDim; d++) output[row * headDim + d] /= sum;
  return largest + Math.log(sum);
}

/**
 * The reference over a paged cache: reads the pages of the table's requests back to the host and dequantises them.
 * @param q [at least the batch's query tokens, numQoHeads, headDim]
 * @param qoLens query tokens of each request, [batchSize]; default one each
 * @param heads what `run` was given for each query head, float32 [numQoHeads]
 */
export async function reference(
  q: Tensor,
  cache: PagedKvCache,
  table: PageTable,
  variant: ReferenceVariant,
  qoLens?: ArrayLike<number>,
  heads: { sinks?: Tensor; alibiSlopes?: Tensor } = {},
): Promise<ReferenceResult> {
  if (qoLens && qoLens.length !== table.batchSize) {
    throw new WarpbookError('SHAPE_MISMATCH', `qoLens has ${qoLens.length} entries for ${table.batchSize} requests.`);
  }
  const qoIndptr = new Int32Array(table.batchSize + 1);
  for (let r = 0; r < table.batchSize; r++) qoIndptr[r + 1] = qoIndptr[r] + (qoLens ? qoLens[r] : 1);
  if (q.shape[0] < qoIndptr[table.batchSize]) {
    throw new WarpbookError(
      'SHAPE_MISMATCH',
      `q has ${q.shape[0]} query tokens; the batch has ${qoIndptr[table.batchSize]}.`,
    );
  }
  const [dense, values, sinks, alibiSlopes] = await Promise.all([
    gatherKv(cache, table),
    q.data() as Promise<Float32Array>,
    heads.sinks?.data() as Promise<Float32Array> | undefined,
    heads.alibiSlopes?.data() as Promise<Float32Array> | undefined,
  ]);
  return referenceAttention({ q: values, qoIndptr, ...dense, sinks, alibiSlopes }, variant);
}
