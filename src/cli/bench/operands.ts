/**
 * Operands that leave nothing in a cache: one pool of pages with random contents, and as many decode wrappers as it takes to
 * read enough bytes before a page comes round again, each planned on random pages of its own.
 */
import { BatchDecode } from '../../attention/batch-decode';
import { PageTable } from '../../attention/page-table';
import { PagedKvCache } from '../../attention/paged-kv';
import type { Device } from '../../device/device';
import { requiredCapacity } from '../../schedule/pack';
import type { Policy } from '../../schedule/schedule';
import { full } from '../../tensor/create';
import { itemSize } from '../../tensor/dtype';
import { normal } from '../../tensor/random';
import type { Tensor } from '../../tensor/tensor';
import { ceilDiv } from '../../units';
import type { BenchCase } from './cases';

/** How much is rotated; see {@link makeOperands}. */
export interface RotationOptions {
  /** Bytes that calls read before they come round again. */
  readonly rotatedBytes: number;
  /** Tokens that pages are drawn from, or as many as the rotation needs. */
  readonly spreadTokens: number;
  /** More sets cost memory and time to make. */
  readonly maxSets: number;
}

/** Everything that rows of a case read and write; dispose() frees it. */
export interface DecodeOperands {
  readonly q: Tensor;
  readonly out: Tensor;
  readonly lse: Tensor;
  readonly cache: PagedKvCache;
  /** One for each operand set. */
  readonly wrappers: readonly BatchDecode[];
  /** Page table of each, for further plans. */
  readonly tables: readonly PageTable[];
  /** Keys and values that a call reads. */
  readonly bytes: number;
  dispose(): void;
}

/** Elements of the random block that fills a pool: far more than a page, so that no two pages of a call are alike. */
const RANDOM_BLOCK = 2 ** 24;

/** @throws WarpbookError OUT_OF_MEMORY where the pool doesn't fit; as BatchDecode */
export async function makeOperands(
  device: Device,
  bench: BenchCase,
  policy: Policy | undefined,
  rotation: RotationOptions,
  options: { trace?: boolean } = {},
): Promise<DecodeOperands> {
  const { kvLens, pageSize, numKvHeads, numQoHeads, headDim, dtype, kvDtype, layout, qoLen } = bench;
  const pagesOfCase = kvLens.reduce((sum, length) => sum + ceilDiv(length, pageSize), 0);
  const tokens = kvLens.reduce((sum, length) => sum + length, 0);
  const bytes = 2 * tokens * numKvHeads * headDim * itemSize(kvDtype);
  const wanted = Math.max(1, Math.min(rotation.maxSets, ceilDiv(rotation.rotatedBytes, bytes)));
  const cacheBytes = (pages: number): number => 2 * pages * pageSize * numKvHeads * headDim * itemSize(kvDtype);
  // Where memory is short, sets share pages rather than not being there.
  const { limitBytes, usedBytes } = device.memory();
  const room = Math.floor((limitBytes - usedBytes) * 0.9);
  const numPages = Math.max(
    pagesOfCase,
    Math.min(
      Math.max(wanted * pagesOfCase, ceilDiv(rotation.spreadTokens, pageSize)),
      Math.floor(room / cacheBytes(1)),
    ),
  );

  const made: { dispose(): void }[] = [];
  const keep = <T extends { dispose(): void }>(resource: T): T => {
    made.push(resource);
    return resource;
  };
  const dispose = (): void => {
    for (const resource of made.reverse()) resource.dispose();
    made.length = 0;
  };
  try {
    const cache = keep(new PagedKvCache({ numPages, pageSize, numKvHeads, headDim, dtype: kvDtype, layout, device }));
    fillRandomly(cache.k, 2);
    fillRandomly(cache.v, 3);
    const qoTokens = kvLens.length * qoLen;
    const shape = [qoTokens, numQoHeads, headDim];
    const q = keep(normal(shape, { seed: 1, dtype, device }));
    // What no kernel wrote shows.
    const out = keep(full(shape, Number.NaN, { dtype, device }));
    const lse = keep(full([qoTokens, numQoHeads], Number.NaN, { device }));

    const draw = pageDrawer(numPages, 7);
    const wrappers: BatchDecode[] = [];
    const tables: PageTable[] = [];
    let capacity = { maxBatch: kvLens.length, maxQoTokens: qoTokens, maxPages: pagesOfCase };
    for (let set = 0; set < wanted; set++) {
      const table = tableOf(bench, draw(pagesOfCase), numPages);
      const wrapper = keep(
        await BatchDecode.create({
          numQoHeads,
          numKvHeads,
          headDim,
          dtype,
          kvDtype,
          causal: bench.causal,
          pageSize,
          capacity,
          device,
          trace: options.trace,
        }),
      );
      const plan = wrapper.plan(table, { policy, qoLens: kvLens.map(() => qoLen) });
      wrapper.run(q, cache, { out, lse });
      // The first one had room for anything; the others need no more than this.
      if (set === 0) capacity = { ...requiredCapacity(plan.schedule), ...capacity };
      wrappers.push(wrapper);
      tables.push(table);
    }
    await device.synchronize();
    return { q, out, lse, cache, wrappers, tables, bytes, dispose };
  } catch (error) {
    dispose();
    throw error;
  }
}

/** Values of a normal distribution, a block of them over and over. */
function fillRandomly(pool: Tensor, seed: number): void {
  const { device, buffer, dtype } = pool;
  const block = normal([Math.min(RANDOM_BLOCK, pool.numel)], { seed, dtype: dtype as 'bfloat16', device });
  buffer.copyFrom(block.buffer, { byteLength: block.nbytes });
  for (let filled = block.nbytes; filled < pool.nbytes; ) {
    const byteLength = Math.min(filled, pool.nbytes - filled);
    buffer.copyFrom(buffer, { byteOffset: filled, byteLength });
    filled += byteLength;
  }
  block.dispose();
}

/** Deals pages of a shuffled pool, and shuffles again when it has run out; no page twice in one hand. */
function pageDrawer(numPages: number, seed: number): (count: number) => Int32Array {
  const order = Int32Array.from({ length: numPages }, (_, page) => page);
  let state = seed;
  let next = numPages;
  return (count) => {
    if (next + count > numPages) {
      for (let i = numPages - 1; i > 0; i--) {
        state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
        const j = Math.floor((state / 2 ** 32) * (i + 1));
        [order[i], order[j]] = [order[j], order[i]];
      }
      next = 0;
    }
    next += count;
    return order.slice(next - count, next);
  };
}

function tableOf(bench: BenchCase, pagedKvIndices: Int32Array, numPages: number): PageTable {
  const { kvLens, pageSize } = bench;
  const pagedKvIndptr = new Int32Array(kvLens.length + 1);
  for (const [r, length] of kvLens.entries()) pagedKvIndptr[r + 1] = pagedKvIndptr[r] + ceilDiv(length, pageSize);
  return new PageTable({ pagedKvIndptr, pagedKvIndices, kvLens, pageSize, numPages });
}
