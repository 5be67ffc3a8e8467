/**
 * Keys and values for timing many batches in a row: pools are filled once, with random values, and each batch gets windows of
 * them that no cache holds, on pages in random order. Knows no schedule.
 */
import { PageTable } from '../attention/page-table';
import { PagedKvCache } from '../attention/paged-kv';
import type { Device } from '../device/device';
import { WarpbookError } from '../errors';
import { full } from '../tensor/create';
import { normal } from '../tensor/random';
import type { Tensor } from '../tensor/tensor';
import { ceilDiv, formatBytes } from '../units';

export interface ColdPoolOptions {
  readonly numKvHeads: number;
  readonly headDim: number;
  readonly pageSize: number;
  /** Bytes of all pools; default: 28 GB, or 0.4 of what is free, on the CPU device at most 1 GB. */
  readonly bytes?: number;
}

/** Operand sets of a batch, and its page table, which serves them all. */
export interface ColdSets {
  readonly sets: readonly PagedKvCache[];
  readonly table: PageTable;
}

export interface QueryOperands {
  readonly q: Tensor;
  readonly out: Tensor;
  readonly lse: Tensor;
}

/** Pools keep below this many elements each, so that 32-bit strides reach everything. */
const MAX_ELEMENTS = 2 ** 31 - 2 ** 24;
const GPU_BYTES = 28e9;
const CPU_BYTES = 0.4e9;
/** Share of the free memory that is taken at most. */
const FREE_SHARE = 0.4;
/** Elements of the random block that fills a pool. */
const RANDOM_BLOCK = 2 ** 24;
/** Bytes that are read before a set comes round again: many times the last cache. */
const ROTATED_GPU = 1.5e9;
/** A CPU's last cache may be larger than any batch: there a batch is timed as it is run again and again, from its caches. */
const ROTATED_CPU = 1;
const MAX_SETS = 160;

export class ColdPool {
  private readonly pools: PagedKvCache[] = [];
  private readonly operands = new Map<string, QueryOperands>();
  private readonly pageBytes: number;
  private readonly rotated: number;
  private seed = 12345;

  /** @throws WarpbookError OUT_OF_MEMORY */
  constructor(
    readonly device: Device,
    private readonly options: ColdPoolOptions,
  ) {
    const { numKvHeads, headDim, pageSize } = options;
    const isGpu = device.kind === 'cuda';
    const { limitBytes, usedBytes } = device.memory();
    const bytes = options.bytes ?? Math.min(isGpu ? GPU_BYTES : CPU_BYTES, (limitBytes - usedBytes) * FREE_SHARE);
    this.rotated = isGpu ? ROTATED_GPU : ROTATED_CPU;
    this.pageBytes = 2 * pageSize * numKvHeads * headDim * 2;
    const numPages = Math.floor(bytes / this.pageBytes);
    const most = Math.floor(MAX_ELEMENTS / (pageSize * numKvHeads * headDim));
    const numPools = Math.max(1, ceilDiv(numPages, most));
    for (let i = 0; i < numPools; i++) {
      const pool = new PagedKvCache({
        numPages: Math.floor(numPages / numPools),
        pageSize,
        numKvHeads,
        headDim,
        dtype: 'bfloat16',
        device,
      });
      this.pools.push(pool);
      fillRandomly(pool.k, 2 * i + 1);
      fillRandomly(pool.v, 2 * i + 2);
    }
  }

  /** Pages of the longest batch that fits. */
  get maxPages(): number {
    return this.pools[0].numPages;
  }

  /**
   * Windows for a batch.
   * @param sharedTokens whole pages at the start that all requests have in common; default 0
   * @throws WarpbookError OUT_OF_PAGES for a batch that doesn't fit
   */
  sets(kvLens: readonly number[], sharedTokens: number = 0): ColdSets {
    const { pageSize } = this.options;
    const indptr = [0];
    for (const length of kvLens) indptr.push(indptr[indptr.length - 1] + ceilDiv(length, pageSize));
    const pages = Math.max(1, indptr[kvLens.length]);
    if (pages > this.maxPages) {
      throw new WarpbookError(
        'OUT_OF_PAGES',
        `The batch has ${pages} pages; there is room for ${this.maxPages} (${formatBytes(this.maxPages * this.pageBytes)}).`,
      );
    }
    const wanted = Math.max(
      this.device.kind === 'cuda' ? 2 : 1,
      Math.min(MAX_SETS, ceilDiv(this.rotated, pages * this.pageBytes)),
    );
    const perPool = Math.max(1, Math.min(ceilDiv(wanted, this.pools.length), Math.floor(this.maxPages / pages)));
    const windowPages = Math.floor(this.maxPages / perPool);
    const sets: PagedKvCache[] = [];
    for (let i = 0; i < perPool; i++)
      for (const pool of this.pools) sets.push(pool.window(i * windowPages, windowPages));
    const indices = this.shuffled(windowPages).slice(0, pages);
    for (let r = 1; r < kvLens.length; r++) {
      for (let page = 0; page < Math.floor(sharedTokens / pageSize); page++) {
        indices[indptr[r] + page] = indices[page];
      }
    }
    const table = new PageTable({
      pagedKvIndptr: indptr,
      pagedKvIndices: indices.slice(0, indptr[kvLens.length]),
      kvLens,
      pageSize,
      numPages: windowPages,
    });
    return { sets, table };
  }

  /** Queries, outputs and LSEs with room for `tokens`; made once for each power of two. Outputs start as NaN. */
  queries(tokens: number, numQoHeads: number): QueryOperands {
    const rows = 2 ** Math.ceil(Math.log2(Math.max(1, tokens)));
    const key = `${rows}x${numQoHeads}`;
    let operands = this.operands.get(key);
    if (!operands) {
      const { device } = this;
      const shape = [rows, numQoHeads, this.options.headDim];
      operands = {
        q: normal(shape, { seed: 1, dtype: 'bfloat16', device }),
        out: full(shape, Number.NaN, { dtype: 'bfloat16', device }),
        lse: full([rows, numQoHeads], Number.NaN, { device }),
      };
      this.operands.set(key, operands);
    }
    return operands;
  }

  private shuffled(count: number): Int32Array {
    const order = Int32Array.from({ length: count }, (_, page) => page);
    for (let i = count - 1; i > 0; i--) {
      this.seed = (Math.imul(this.seed, 1664525) + 1013904223) >>> 0;
      const j = Math.floor((this.seed / 2 ** 32) * (i + 1));
      [order[i], order[j]] = [order[j], order[i]];
    }
    return order;
  }

  dispose(): void {
    for (const { q, out, lse } of this.operands.values()) for (const tensor of [q, out, lse]) tensor.dispose();
    for (const pool of this.pools) pool.dispose();
    this.operands.clear();
    this.pools.length = 0;
  }
}

/** Values of a normal distribution, a block of them over and over. */
function fillRandomly(pool: Tensor, seed: number): void {
  const { device, buffer } = pool;
  const block = normal([Math.min(RANDOM_BLOCK, pool.numel)], { seed, dtype: 'bfloat16', device });
  buffer.copyFrom(block.buffer, { byteLength: block.nbytes });
  for (let filled = block.nbytes; filled < pool.nbytes; ) {
    const byteLength = Math.min(filled, pool.nbytes - filled);
    buffer.copyFrom(buffer, { byteOffset: filled, byteLength });
    filled += byteLength;
  }
  block.dispose();
}
