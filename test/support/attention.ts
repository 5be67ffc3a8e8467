/** Builds caches and queries for attention tests and measures results against the float64 reference. */
import { BatchDecode } from '../../src/attention/batch-decode';
import { BatchPrefill } from '../../src/attention/batch-prefill';
import { type KvLayout, PagedKvCache } from '../../src/attention/paged-kv';
import { type ReferenceResult, reference } from '../../src/attention/reference';
import type { AttentionVariantOptions } from '../../src/attention/variant';
import type { Device } from '../../src/device/device';
import type { ScheduleCapacity } from '../../src/schedule/layout';
import type { Policy } from '../../src/schedule/schedule';
import { full } from '../../src/tensor/create';
import { normal, uniform } from '../../src/tensor/random';
import type { Tensor } from '../../src/tensor/tensor';
import { ceilDiv } from '../../src/units';

export interface AttentionCase extends AttentionVariantOptions {
  kvLens: readonly number[];
  qoLens?: readonly number[];
  pageSize: number;
  layout?: KvLayout;
  kScale?: number;
  vScale?: number;
  policy: Policy;
  seed: number;
  /** Rows of q beyond the batch. */
  padding?: number;
  /** Room that the policy needs beyond what most do. */
  capacity?: Partial<ScheduleCapacity>;
}

export interface AttentionOutcome {
  output: Float32Array;
  lse: Float32Array;
  expected: ReferenceResult;
}

/** Largest relative L2 error of the output and largest error of the LSE that a result may have. */
export const TOLERANCE: Record<'float32' | 'float16' | 'bfloat16', number> = {
  float32: 2e-6,
  float16: 4e-4,
  bfloat16: 2.5e-3,
};
export const LSE_TOLERANCE = 1e-5;

/** A cache of random pages: every slot is filled, pages are dealt out in a shuffled order. */
export function randomCache(device: Device, c: AttentionCase): { cache: PagedKvCache; requests: number[] } {
  const numPages = c.kvLens.reduce((sum, length) => sum + ceilDiv(length, c.pageSize), 0) + 3;
  const cache = new PagedKvCache({
    device,
    numPages,
    pageSize: c.pageSize,
    numKvHeads: c.numKvHeads,
    headDim: c.headDim,
    dtype: c.kvDtype ?? c.dtype,
    layout: c.layout,
    kScale: c.kScale,
    vScale: c.vScale,
  });
  // Interleaved growth scatters each request's pages over the pool.
  const requests = c.kvLens.map(() => cache.allocate());
  for (let more = true; more; ) {
    more = false;
    requests.forEach((request, r) => {
      const left = c.kvLens[r] - cache.kvLen(request);
      if (left <= 0) return;
      cache.grow(request, Math.min(left, c.pageSize));
      more = true;
    });
  }
  for (const [pool, seed] of [
    [cache.k, c.seed],
    [cache.v, c.seed + 1],
  ] as const) {
    const values = normal([...pool.shape], { seed, dtype: 'float32', device });
    pool.copyFrom(values);
    values.dispose();
  }
  return { cache, requests };
}

export function randomQueries(device: Device, c: AttentionCase): Tensor {
  const tokens = (c.qoLens ?? c.kvLens.map(() => 1)).reduce((sum, length) => sum + length, 0) + (c.padding ?? 0);
  return normal([tokens, c.numQoHeads, c.headDim], { seed: c.seed + 2, dtype: c.dtype ?? 'bfloat16', device });
}

/** Attention sinks and ALiBi slopes, where the case has them. */
function randomPerHead(device: Device, c: AttentionCase): { sinks?: Tensor; alibiSlopes?: Tensor } {
  return {
    ...(c.sinks && { sinks: normal([c.numQoHeads], { seed: c.seed + 3, std: 3, device }) }),
    ...(c.alibi && { alibiSlopes: uniform([c.numQoHeads], { seed: c.seed + 4, device }) }),
  };
}

/**
 * Runs a case through the wrapper that fits it, into outputs poisoned with NaN, and computes the reference.
 * @param referenceOf default: `reference`, on the host
 */
export async function runCase(
  device: Device,
  c: AttentionCase,
  referenceOf: typeof reference = reference,
): Promise<AttentionOutcome> {
  const { cache, requests } = randomCache(device, c);
  const q = randomQueries(device, c);
  const qoLens = c.qoLens ?? c.kvLens.map(() => 1);
  const tokens = qoLens.reduce((sum, length) => sum + length, 0);
  const capacity = {
    maxBatch: Math.max(1, c.kvLens.length),
    maxQoTokens: Math.max(1, tokens),
    maxPages: cache.numPages,
    maxTiles: 1 << 16,
    maxPartialRows: 1 << 16,
    maxMergeGroups: 1 << 14,
    maxMergeSlots: 1 << 16,
    ...c.capacity,
  };
  const out = full([q.shape[0], c.numQoHeads, c.headDim], Number.NaN, { dtype: c.dtype ?? 'bfloat16', device });
  const lse = full([q.shape[0], c.numQoHeads], Number.NaN, { dtype: 'float32', device });
  const perHead = randomPerHead(device, c);
  const table = cache.pageTable(requests);
  const {
    kvLens: _k,
    qoLens: _q,
    layout: _l,
    kScale: _ks,
    vScale: _vs,
    policy,
    seed: _s,
    padding: _p,
    capacity: _c,
    ...variant
  } = c;
  const wrapper = c.qoLens
    ? await BatchPrefill.create({ ...variant, device, capacity, causal: c.causal ?? false })
    : await BatchDecode.create({ ...variant, device, capacity });
  if (wrapper instanceof BatchPrefill) {
    wrapper.plan(qoLens, table, { policy });
    wrapper.run(q, cache, { out, lse, ...perHead });
  } else {
    wrapper.plan(table, { policy });
    wrapper.run(q, cache, { out, lse, ...perHead });
  }
  const expected = await referenceOf(q, cache, table, wrapper.variant, qoLens, perHead);
  const outcome = { output: (await out.data()) as Float32Array, lse: (await lse.data()) as Float32Array, expected };
  for (const resource of [wrapper, out, lse, q, cache, ...Object.values(perHead)]) resource.dispose();
  return outcome;
}

/** Relative L2 error over the planned rows; 0 where both are zero, infinite where there is a NaN. */
export function outputError({ output, expected }: AttentionOutcome): number {
  let difference = 0;
  let norm = 0;
  for (let i = 0; i < expected.output.length; i++) {
    difference += (output[i] - expected.output[i]) ** 2;
    norm += expected.output[i] ** 2;
  }
  if (Number.isNaN(difference)) return Number.POSITIVE_INFINITY;
  return norm === 0 ? Math.sqrt(difference) : Math.sqrt(difference / norm);
}

/** Largest |error| / max(1, |LSE|) of the LSE; −∞ must be −∞ exactly, a NaN is infinitely wrong. */
export function lseError({ lse, expected }: AttentionOutcome): number {
  let worst = 0;
  for (let i = 0; i < expected.lse.length; i++) {
    const want = expected.lse[i];
    if (want === Number.NEGATIVE_INFINITY) {
      if (lse[i] !== want) return Number.POSITIVE_INFINITY;
      continue;
    }
    const error = Math.abs(lse[i] - want) / Math.max(1, Math.abs(want));
    // Kept out of the maximum, where a later number would hide it.
    if (Number.isNaN(error)) return Number.POSITIVE_INFINITY;
    worst = Math.max(worst, error);
  }
  return worst;
}
