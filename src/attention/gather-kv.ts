/** Reads a batch's keys and values out of a paged cache back to the host: for references and for looking at. */
import type { Tensor } from '../tensor/tensor';
import { ceilDiv } from '../units';
import type { PageTable } from './page-table';
import type { PagedKvCache } from './paged-kv';

/** Bounds the host memory of one read. */
const MAX_PAGES_PER_READ = 256;

/** Dense, dequantised keys and values, requests one after the other. */
export interface GatheredKv {
  /** [numKvTokens, numKvHeads, headDim] */
  k: Float32Array;
  /** As k. */
  v: Float32Array;
  /** [batchSize + 1] */
  kvIndptr: Int32Array;
}

/** Reads the pages that hold the table's tokens, and no others. */
export async function gatherKv(cache: PagedKvCache, table: PageTable): Promise<GatheredKv> {
  const kvIndptr = new Int32Array(table.batchSize + 1);
  for (let r = 0; r < table.batchSize; r++) kvIndptr[r + 1] = kvIndptr[r] + table.kvLens[r];
  const [k, v] = await Promise.all([
    gatherPool(cache, cache.k, cache.kScale, table, kvIndptr),
    gatherPool(cache, cache.v, cache.vScale, table, kvIndptr),
  ]);
  return { k, v, kvIndptr };
}

async function gatherPool(
  cache: PagedKvCache,
  pool: Tensor,
  scale: number,
  table: PageTable,
  kvIndptr: Int32Array,
): Promise<Float32Array> {
  const { pageSize } = cache;
  const rowElements = cache.numKvHeads * cache.headDim;
  const dense = new Float32Array(kvIndptr[table.batchSize] * rowElements);
  for (let r = 0; r < table.batchSize; r++) {
    const pages = table.pagedKvIndices.subarray(table.pagedKvIndptr[r]);
    const usedPages = ceilDiv(table.kvLens[r], pageSize);
    for (let p = 0; p < usedPages; ) {
      const count = runOfPages(pages, p, usedPages);
      const values = (await pool.slice(0, pages[p], pages[p] + count).data()) as Float32Array;
      const tokens = Math.min(table.kvLens[r] - p * pageSize, count * pageSize);
      const to = (kvIndptr[r] + p * pageSize) * rowElements;
      copyTokens(cache, values, dense.subarray(to, to + tokens * rowElements), scale);
      p += count;
    }
  }
  return dense;
}

/** Pages from `first` on that lie in a row in the pool, so that one read takes them all. */
function runOfPages(pages: Int32Array, first: number, end: number): number {
  let count = 1;
  while (count < MAX_PAGES_PER_READ && first + count < end && pages[first + count] === pages[first] + count) count++;
  return count;
}

/** Tokens of consecutive pages, in the pool's layout, to rows of [numKvHeads, headDim]. */
function copyTokens(cache: PagedKvCache, pages: Float32Array, dense: Float32Array, scale: number): void {
  const { pageSize, strides, numKvHeads, headDim } = cache;
  const tokens = dense.length / (numKvHeads * headDim);
  let to = 0;
  for (let j = 0; j < tokens; j++) {
    const token = Math.floor(j / pageSize) * strides.page + (j % pageSize) * strides.token;
    for (let h = 0; h < numKvHeads; h++) {
      const from = token + h * strides.head;
      for (let d = 0; d < headDim; d++) dense[to++] = pages[from + d] * scale;
    }
  }
}
