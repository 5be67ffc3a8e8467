/**
 * The grid of decode batches that every device has to compute within bounds: FlashInfer's decode and CUDA-graph tests,
 * crossed with head ratios, page sizes and element types. Shared by the device tests and the unit tests; the caller
 * brings the device, how much of the grid it can take, and the float64 reference.
 */
import { BatchDecode } from '../../src/attention/batch-decode';
import { PageTable } from '../../src/attention/page-table';
import { PagedKvCache } from '../../src/attention/paged-kv';
import type { reference } from '../../src/attention/reference';
import type { KvDType } from '../../src/attention/variant';
import type { Device } from '../../src/device/device';
import { policies } from '../../src/schedule/policies/known';
import { empty } from '../../src/tensor/create';
import { drawInto } from '../../src/tensor/draw';
import { RANDOM_DISTRIBUTION } from '../../src/tensor/programs';
import { normal } from '../../src/tensor/random';
import type { Tensor } from '../../src/tensor/tensor';
import { ceilDiv } from '../../src/units';
import { lseError, outputError } from './attention';

export const GRID = {
  batches: [12, 17, 128],
  kvLens: [54, 97, 512, 2048, 16384],
  pageSizes: [1, 8, 16],
  heads: [
    [4, 4],
    [32, 4],
  ],
  headDims: [64, 128, 256],
  kvDtypes: ['same', 'float8_e4m3fn', 'float8_e5m2'],
  dtypes: ['float16', 'bfloat16'],
} as const;

/** What one pool of pages serves: batches, lengths and head ratios vary within it. */
export interface GridPool {
  readonly dtype: 'float16' | 'bfloat16';
  readonly kvDtype: 'same' | KvDType;
  readonly headDim: number;
  readonly pageSize: number;
}

/** How much of the grid a device takes. */
export interface GridExtent {
  readonly batches: readonly number[];
  readonly kvLens: readonly number[];
}

/** Largest errors over the cases of a pool, as the bounds count them. */
export interface GridOutcome {
  readonly cases: number;
  readonly output: number;
  readonly lse: number;
  /** What each case beyond its bound had; empty where all is well. */
  readonly failures: readonly string[];
}

const NUM_KV_HEADS = 4;
/** Scales of float8 keys and values: neither 1 nor powers of two. */
const FLOAT8_SCALES = { kScale: 0.75, vScale: 1.75 };

/** Relative L2 error that an output may have. Keys and values in float8 are compared as dequantised. */
export function outputBound({ dtype, kvDtype }: Pick<GridPool, 'dtype' | 'kvDtype'>): number {
  return dtype === 'float16' && kvDtype === 'same' ? 1e-3 : 4e-3;
}
/** |error| / max(1, |LSE|) that the LSE may have. */
export const LSE_BOUND = 1e-5;

const tables = new Map<string, PageTable>();

/** A batch of equal lengths whose pages lie all over the pool. Made once: those of pages of one token take a while. */
function pageTable(batch: number, kvLen: number, pageSize: number): PageTable {
  const key = [batch, kvLen, pageSize].join();
  const known = tables.get(key);
  if (known) return known;
  const perRequest = ceilDiv(kvLen, pageSize);
  const numPages = batch * perRequest;
  const stride = coprime(numPages);
  const pagedKvIndices = new Int32Array(numPages);
  for (let i = 0; i < numPages; i++) pagedKvIndices[i] = (i * stride) % numPages;
  const table = new PageTable({
    pagedKvIndptr: Array.from({ length: batch + 1 }, (_, r) => r * perRequest),
    pagedKvIndices,
    kvLens: new Int32Array(batch).fill(kvLen),
    pageSize,
  });
  tables.set(key, table);
  return table;
}

/** A stride that visits every residue once. */
function coprime(count: number): number {
  const divides = (a: number, b: number): number => (b === 0 ? a : divides(b, a % b));
  let stride = Math.min(7919, Math.max(1, count - 1));
  while (divides(count, stride) !== 1) stride++;
  return stride;
}

function makePool(device: Device, pool: GridPool, extent: GridExtent): PagedKvCache {
  const tokens = Math.max(...extent.batches) * Math.max(...extent.kvLens.map((kvLen) => kvLen + pool.pageSize));
  const cache = new PagedKvCache({
    device,
    numKvHeads: NUM_KV_HEADS,
    headDim: pool.headDim,
    pageSize: pool.pageSize,
    numPages: ceilDiv(tokens, pool.pageSize),
    dtype: pool.kvDtype === 'same' ? pool.dtype : pool.kvDtype,
    ...(pool.kvDtype === 'same' ? {} : FLOAT8_SCALES),
  });
  // Drawn in place: the largest pool has no room for a copy beside it.
  const draw = { distribution: RANDOM_DISTRIBUTION.normal, offset: 0, scale: 1, ceiling: 0 };
  drawInto(cache.k, 1, draw);
  drawInto(cache.v, 2, draw);
  return cache;
}

/** Every batch, length and head ratio over one pool, outputs poisoned with NaN, against the reference, row by row. */
export async function runGridPool(
  device: Device,
  pool: GridPool,
  extent: GridExtent,
  referenceOf: typeof reference,
): Promise<GridOutcome> {
  const cache = makePool(device, pool, extent);
  const outcome = { cases: 0, output: 0, lse: 0, failures: [] as string[] };
  const maxBatch = Math.max(...extent.batches);
  try {
    for (const [numQoHeads, numKvHeads] of GRID.heads) {
      const heads = { numQoHeads, numKvHeads, headDim: pool.headDim };
      const decode = await BatchDecode.create({
        ...heads,
        device,
        dtype: pool.dtype,
        kvDtype: cache.dtype,
        pageSize: pool.pageSize,
        capacity: { maxBatch, maxPages: cache.numPages },
      });
      const shape = [maxBatch, numQoHeads, pool.headDim];
      const q = normal(shape, { seed: 3, dtype: pool.dtype, device });
      const out = empty(shape, { dtype: pool.dtype, device });
      const lse = empty([maxBatch, numQoHeads], { device });
      for (const batch of extent.batches) {
        for (const kvLen of extent.kvLens) {
          const errors = await runGridCase(
            decode,
            cache,
            pageTable(batch, kvLen, pool.pageSize),
            { q, out, lse },
            referenceOf,
          );
          outcome.cases++;
          outcome.output = Math.max(outcome.output, errors.output);
          outcome.lse = Math.max(outcome.lse, errors.lse);
          if (errors.output <= outputBound(pool) && errors.lse <= LSE_BOUND) continue;
          outcome.failures.push(
            `batch ${batch}, kv ${kvLen}, heads ${numQoHeads}/${numKvHeads}: output ${errors.output}, LSE ${errors.lse}`,
          );
        }
      }
      for (const resource of [decode, q, out, lse]) resource.dispose();
    }
  } finally {
    cache.dispose();
  }
  return outcome;
}

async function runGridCase(
  decode: BatchDecode,
  cache: PagedKvCache,
  table: PageTable,
  { q, out, lse }: { q: Tensor; out: Tensor; lse: Tensor },
  referenceOf: typeof reference,
): Promise<{ output: number; lse: number }> {
  decode.plan(table, { policy: policies.binarySearch });
  out.fill(Number.NaN);
  lse.fill(Number.NaN);
  decode.run(q, cache, { out, lse });
  const expected = await referenceOf(q, cache, table, decode.variant);
  const rows = [out, lse].map((tensor) => tensor.slice(0, 0, table.batchSize).data());
  const [output, logs] = (await Promise.all(rows)) as Float32Array[];
  const outcome = { output, lse: logs, expected };
  return { output: outputError(outcome), lse: lseError(outcome) };
}
