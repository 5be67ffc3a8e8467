/**
 * `warpbook bench plan`: what a step costs the host: a plan with its upload enqueued, a run enqueued, a replay enqueued. Batches
 * come from the trace: their lengths change from plan to plan, the page table stays.
 */
import { BatchDecode } from '../../attention/batch-decode';
import { PageTable } from '../../attention/page-table';
import { PagedKvCache } from '../../attention/paged-kv';
import { capture } from '../../graph/capture';
import { measure } from '../../measure/measure';
import { full } from '../../tensor/create';
import { normal } from '../../tensor/random';
import { ceilDiv } from '../../units';
import { loadTrace } from '../../workload/load-trace';
import { snapshots } from '../../workload/snapshot';
import { type BenchCase, policyByName } from './cases';
import type { BenchContext } from './context';
import { shapeOf, timesOf } from './decode';
import type { ResultRow } from './result-file';

/** Batches of lengths that plans take in turn. */
const NUM_BATCHES = 16;

/** Rows for one batch size and policy: plan, run, replay. */
export async function benchPlan(context: BenchContext, bench: BenchCase, policyName: string): Promise<ResultRow[]> {
  const { device, maxSeconds } = context;
  const { pageSize, numKvHeads, numQoHeads, headDim, dtype, kvDtype, layout } = bench;
  const batch = bench.kvLens.length;
  const policy = policyByName(policyName);
  const { lengths, trace } = await batchesOf(batch);
  const pagesEach = ceilDiv(Math.max(...lengths.map((of) => Math.max(...of))), pageSize);

  // All requests share one request's pages: what a plan costs doesn't depend on which ones they are.
  const cache = new PagedKvCache({
    numPages: pagesEach,
    pageSize,
    numKvHeads,
    headDim,
    dtype: kvDtype,
    layout,
    device,
  });
  const table = new PageTable({
    pagedKvIndptr: Int32Array.from({ length: batch + 1 }, (_, r) => r * pagesEach),
    pagedKvIndices: Int32Array.from({ length: batch * pagesEach }, (_, i) => i % pagesEach),
    kvLens: lengths[0],
    pageSize,
    numPages: pagesEach,
  });
  const q = normal([batch, numQoHeads, headDim], { seed: 1, dtype, device });
  const out = full([batch, numQoHeads, headDim], Number.NaN, { dtype, device });
  const lse = full([batch, numQoHeads], Number.NaN, { device });
  const capacity = { maxBatch: batch, maxPages: batch * pagesEach };
  const decode = await BatchDecode.create({
    numQoHeads,
    numKvHeads,
    headDim,
    dtype,
    kvDtype,
    pageSize,
    capacity,
    device,
  });
  try {
    for (const tensor of [cache.k, cache.v]) tensor.buffer.fill(Uint8Array.of(0, 0, 0x80, 0x3f));
    const { uploadedBytes } = decode.plan(table, { policy }).cost;
    const run = (): void => void decode.run(q, cache, { out, lse });
    run();
    const host = { device, mode: 'host', maxSeconds, maxSamples: 4000, precisionPct: 0.5 } as const;
    const plan = (i: number): void => void decode.plan(lengths[i], { policy });
    const planned = await measure(plan, { ...host, what: 'plan, upload enqueued', rotate: lengths.length });
    const launched = await measure(run, { ...host, what: 'run enqueued' });
    const graph = capture(device, run);
    const exec = graph.instantiate();
    const replayed = await measure(() => exec.replay(), { ...host, what: 'replay enqueued' });
    exec.dispose();
    graph.dispose();
    return [planned, launched, replayed].map((measured) => ({
      ...shapeOf({ ...bench, what: measured.what, kvLens: Array.from(lengths[0]) }),
      policy: policyName,
      trace,
      firstUploadBytes: uploadedBytes,
      uploadBytes: decode.currentPlan?.cost.uploadedBytes,
      ...timesOf(measured),
      floorUs: null,
      peers: {},
    }));
  } finally {
    for (const resource of [decode, cache, q, out, lse]) resource.dispose();
  }
}

/** Batches of exactly this many requests. */
async function batchesOf(batch: number): Promise<{ lengths: Int32Array[]; trace: string }> {
  const trace = await loadTrace();
  const drawn = snapshots(trace, { concurrency: batch, count: 4 * NUM_BATCHES, seed: 1 });
  const full = drawn.map(({ kvLens }) => Int32Array.from(kvLens)).filter(({ length }) => length === batch);
  return { lengths: full.slice(0, NUM_BATCHES), trace: trace.name };
}
