/**
 * Operands that leave nothing in a cache: keys and values of as many layers as it takes to read enough bytes before one comes
 * round again, random values on random pages. As in an engine, all layers follow one plan, unless told otherwise.
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
  /** Bytes of keys and values that calls read before they come round again. */
  readonly rotatedBytes: number;
  /** Bytes of all layers together, where the rotation needs less: pages are drawn from far more memory than is read. */
  readonly spreadBytes: number;
  /** More sets cost time to make. */
  readonly maxSets: number;
  /** `kv`: one wrapper and plan for all sets; `all`: one for each, so that schedule and page list are cold too. */
  readonly cold: 'kv' | 'all';
}

/** Everything that rows of a case read and write; dispose() frees it. */
export interface DecodeOperands {
  readonly q: Tensor;
  readonly out: Tensor;
  readonly lse: Tensor;
  /** Operand sets: keys and values of a layer, and the wrapper that reads them. */
  readonly sets: readonly { readonly cache: PagedKvCache; readonly wrapper: BatchDecode }[];
  /** Keys and values that a call reads. */
  readonly bytes: number;
  dispose(): void;
}

/** Elements of the random block that fills a pool: far more than a page, so that no two pages of a call are alike. */
const RANDOM_BLOCK = 2 ** 24;
/** Of the memory that is free, what the layers may take. */
const USABLE_MEMORY = 0.9;

/** @throws WarpbookError OUT_OF_MEMORY where one layer doesn't fit; as BatchDecode */
export async function makeOperands(
  device: Device,
  bench: BenchCase,
  policy: Policy | undefined,
  rotation: RotationOptions,
  options: { trace?: boolean } = {},
): Promise<DecodeOperands> {
  const { kvLens, pageSize, numKvHeads, numQoHeads, headDim, dtype, kvDtype, layout, qoLen } = bench;
  const pagesOfCase = kvLens.reduce((sum, length) => sum + ceilDiv(length, pageSize), 0);
  const tokenBytes = 2 * numKvHeads * headDim * itemSize(kvDtype);
  const bytes = kvLens.reduce((sum, length) => sum + length, 0) * tokenBytes;
  const { limitBytes, usedBytes } = device.memory();
  const layerBytes = pagesOfCase * pageSize * tokenBytes;
  const room = (limitBytes - usedBytes) * USABLE_MEMORY;
  const affordable = Math.floor(room / layerBytes);
  const numSets = Math.max(1, Math.min(rotation.maxSets, ceilDiv(rotation.rotatedBytes, bytes), affordable));
  const spreadPages = Math.floor(Math.min(rotation.spreadBytes, room) / numSets / (pageSize * tokenBytes));
  const numPages = Math.max(pagesOfCase, spreadPages);

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
    const qoTokens = kvLens.length * qoLen;
    const shape = [qoTokens, numQoHeads, headDim];
    const q = keep(normal(shape, { seed: 1, dtype, device }));
    // What no kernel wrote shows.
    const out = keep(full(shape, Number.NaN, { dtype, device }));
    const lse = keep(full([qoTokens, numQoHeads], Number.NaN, { device }));
    const caches = Array.from({ length: numSets }, (_, layer) => {
      const cache = keep(new PagedKvCache({ numPages, pageSize, numKvHeads, headDim, dtype: kvDtype, layout, device }));
      fillRandomly(cache.k, 2 * layer + 2);
      fillRandomly(cache.v, 2 * layer + 3);
      return cache;
    });

    const draw = pageDrawer(numPages, 7);
    const wrapperOptions = { numQoHeads, numKvHeads, headDim, dtype, kvDtype, causal: bench.causal, pageSize, device };
    let capacity = { maxBatch: kvLens.length, maxQoTokens: qoTokens, maxPages: pagesOfCase };
    const wrappers: BatchDecode[] = [];
    for (let i = 0; i < (rotation.cold === 'all' ? numSets : 1); i++) {
      const wrapper = keep(await BatchDecode.create({ ...wrapperOptions, capacity, trace: options.trace }));
      const table = tableOf(bench, draw(pagesOfCase), numPages);
      const plan = wrapper.plan(table, { policy, qoLens: kvLens.map(() => qoLen) });
      // The first one had room for anything; the others need no more than this.
      if (i === 0) capacity = { ...requiredCapacity(plan.schedule), ...capacity };
      wrappers.push(wrapper);
    }
    const sets = caches.map((cache, i) => ({ cache, wrapper: wrappers[i % wrappers.length] }));
    for (const { cache, wrapper } of sets) wrapper.run(q, cache, { out, lse });
    await device.synchronize();
    return { q, out, lse, sets, bytes, dispose };
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

/** Deals pages of a shuffled pool, and shuffles again when too few are left; no page twice in one hand. */
function pageDrawer(numPages: number, seed: number): (count: number) => Int32Array {
  const order = Int32Array.from({ length: numPages }, (_, page) => page);
  let state = seed;
  let next: number = numPages;
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
