/** `warpbook bench prefill`: 16k tokens in all, paged or ragged, causal or not, as TFLOP/s beside the peers. */
import { BatchPrefill } from '../../attention/batch-prefill';
import type { RaggedKv } from '../../attention/kv-operand';
import { PageTable } from '../../attention/page-table';
import { PagedKvCache } from '../../attention/paged-kv';
import { measure } from '../../measure/measure';
import type { Policy } from '../../schedule/schedule';
import { full } from '../../tensor/create';
import { normal } from '../../tensor/random';
import type { Tensor } from '../../tensor/tensor';
import { ceilDiv } from '../../units';
import type { BenchCase } from './cases';
import type { BenchContext } from './context';
import { round, shapeOf, timesOf } from './decode';
import { prefillPeers } from './peers';
import type { ResultRow } from './result-file';

export interface PrefillBenchOptions {
  readonly kv: 'paged' | 'ragged';
  readonly policy: Policy | undefined;
  readonly policyName: string;
  /** Idle time before each batch of samples, ms: prefill back to back draws more power than a GPU may. */
  readonly pauseMs: number;
}

/** Length of a sample, µs: short, so that a burst ends before the clocks fall. */
const SAMPLE_US = 2000;

/** Measures one row; `bench.kvLens` are the prompts. */
export async function benchPrefill(
  context: BenchContext,
  bench: BenchCase,
  options: PrefillBenchOptions,
): Promise<ResultRow> {
  const { device, roof, maxSeconds } = context;
  const { kvLens, numQoHeads, numKvHeads, headDim, pageSize, layout, dtype, causal } = bench;
  const tokens = kvLens.reduce((sum, length) => sum + length, 0);
  const flops = kvLens.reduce(
    (sum, length) => sum + 4 * length * length * headDim * numQoHeads * (causal ? 0.5 : 1),
    0,
  );
  const made: { dispose(): void }[] = [];
  const keep = <T extends { dispose(): void }>(resource: T): T => {
    made.push(resource);
    return resource;
  };
  try {
    const q = keep(normal([tokens, numQoHeads, headDim], { seed: 1, dtype, device }));
    const out = keep(full([tokens, numQoHeads, headDim], Number.NaN, { dtype, device }));
    const lse = keep(full([tokens, numQoHeads], Number.NaN, { device }));
    const pages = kvLens.map((length) => ceilDiv(length, pageSize));
    const numPages = pages.reduce((sum, count) => sum + count, 0);
    const capacity = { maxBatch: kvLens.length, maxQoTokens: tokens, maxPages: options.kv === 'paged' ? numPages : 0 };
    const shape = { numQoHeads, numKvHeads, headDim, dtype, pageSize, causal, capacity, device, kv: options.kv };
    const prefill = keep(await BatchPrefill.create(shape));
    let kv: PagedKvCache | RaggedKv;
    if (options.kv === 'paged') {
      kv = keep(new PagedKvCache({ numPages, pageSize, numKvHeads, headDim, dtype, layout, device }));
      prefill.plan(kvLens, pageTable(bench, pages, numPages), { policy: options.policy });
    } else {
      const ragged = [2, 3].map((): Tensor => keep(full([tokens, numKvHeads, headDim], 0, { dtype, device })));
      kv = { k: ragged[0], v: ragged[1] };
      prefill.plan(kvLens, kvLens, { policy: options.policy });
    }
    for (const [tensor, seed] of [
      [kv.k, 2],
      [kv.v, 3],
    ] as const) {
      const values = normal([...tensor.shape], { seed, dtype, device });
      tensor.copyFrom(values);
      values.dispose();
    }
    const what = `${bench.what} ${causal ? 'causal' : 'full'}`;
    const measured = await measure(() => void prefill.run(q, kv, { out, lse }), {
      device,
      what,
      flops,
      roof,
      maxSeconds,
      pauseMs: options.pauseMs,
      sampleUs: SAMPLE_US,
    });
    const known = Object.entries(prefillPeers(context.peers, { ...bench, what }));
    const sameRun = await context.torch?.time({
      op: 'prefill',
      batch: kvLens.length,
      kvLen: kvLens[0],
      numQoHeads,
      numKvHeads,
      headDim,
      dtype,
      causal,
      rotatedBytes: 0,
    });
    return {
      ...shapeOf({ ...bench, what, pageSize: options.kv === 'paged' ? pageSize : 1 }),
      kv: options.kv,
      policy: options.policyName,
      ...timesOf(measured),
      tflops: round(measured.tflops as number),
      floorUs: round(flops / roof.tflops / 1e6),
      peers: { ...Object.fromEntries(known.map(([name, tflops]) => [name, round(flops / tflops / 1e6)])), ...sameRun },
      peersOfThisRun: Object.keys(sameRun ?? {}),
    };
  } finally {
    for (const resource of made.reverse()) resource.dispose();
  }
}

/** Pages in an order that is nobody's: every request takes every k-th page of the pool. */
function pageTable(bench: BenchCase, pages: readonly number[], numPages: number): PageTable {
  const stride = 7919; // a prime: no pool that has fewer pages than it, or isn't a multiple of it, is walked in order
  const pagedKvIndptr = new Int32Array(pages.length + 1);
  for (const [r, count] of pages.entries()) pagedKvIndptr[r + 1] = pagedKvIndptr[r] + count;
  const step = numPages % stride === 0 ? 1 : stride;
  const pagedKvIndices = Int32Array.from({ length: numPages }, (_, i) => (i * step) % numPages);
  return new PageTable({ pagedKvIndptr, pagedKvIndices, kvLens: bench.kvLens, pageSize: bench.pageSize, numPages });
}
