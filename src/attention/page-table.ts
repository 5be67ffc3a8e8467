/**
 * Page tables: which pages of a KV pool hold each request's tokens, in CSR form.
 *
 * Token j of request r lies in page pagedKvIndices[pagedKvIndptr[r] + floor(j / pageSize)], slot j mod pageSize. A request
 * may own more pages than its length fills (reserved ahead). Host-side values; the wrappers keep the device's copy.
 */
import type { Device } from '../device/device';
import { requireInteger, WarpbookError } from '../errors';
import { findSharedPrefixes, type SharedPrefix } from '../schedule/prefixes';
import { fromHost } from '../tensor/create';
import type { Tensor } from '../tensor/tensor';
import { ceilDiv } from '../units';

/** What {@link PageTable} takes: CSR arrays, and either lengths or last page lengths. */
export interface PageTableOptions {
  /** Page ranges of the requests; int32 [batchSize + 1], from 0, not decreasing. */
  pagedKvIndptr: ArrayLike<number>;
  /** Page ids; int32 [pagedKvIndptr[batchSize]]. */
  pagedKvIndices: ArrayLike<number>;
  /** Tokens in each request's last page; int32 [batchSize], 1 to pageSize (0 for a request without pages). */
  pagedKvLastPageLen?: ArrayLike<number>;
  /** Tokens of each request; instead of pagedKvLastPageLen where pages are reserved ahead. */
  kvLens?: ArrayLike<number>;
  /** Tokens per page. */
  pageSize: number;
  /** Pages in the pool, to check the ids against; default: unknown. */
  numPages?: number;
}

/** Which pages the requests of a batch own, and how many tokens each has. Host values; wrappers upload them. */
export class PageTable {
  readonly pageSize: number;
  /** int32 [batchSize + 1] */
  readonly pagedKvIndptr: Int32Array;
  /** int32 [pagedKvIndptr[batchSize]] */
  readonly pagedKvIndices: Int32Array;
  /** Tokens of each request; int32 [batchSize]. */
  readonly kvLens: Int32Array;
  /** The largest page id, −1 in an empty table: what a pool must hold. */
  readonly maxPage: number;
  /** pagedKvIndptr as bytes, and what they were when they were checked. */
  private checked: { readonly bytes: Uint8Array; readonly copy: Uint8Array } | undefined;

  /**
   * Checks the table. @throws WarpbookError INVALID_PAGE_TABLE for lengths that don't fit their pages, an index out of
   * range, or a page that one request uses twice
   */
  constructor(options: PageTableOptions) {
    const { pageSize } = options;
    requireInteger('pageSize', pageSize, 1);
    this.pageSize = pageSize;
    this.pagedKvIndptr = integers('pagedKvIndptr', options.pagedKvIndptr);
    this.pagedKvIndices = integers('pagedKvIndices', options.pagedKvIndices);
    checkIndptr(this.pagedKvIndptr, this.pagedKvIndices.length);
    this.kvLens = options.kvLens
      ? integers('kvLens', options.kvLens)
      : lengthsOf(this.pagedKvIndptr, options.pagedKvLastPageLen, pageSize);
    checkLengths(this.pagedKvIndptr, this.kvLens, pageSize);
    this.maxPage = checkIndices(this.pagedKvIndptr, this.pagedKvIndices, options.numPages);
  }

  get batchSize(): number {
    return this.kvLens.length;
  }

  /** Tokens in each request's last page, 0 for an empty request; int32 [batchSize]. */
  get pagedKvLastPageLen(): Int32Array {
    return this.kvLens.map((length) => (length === 0 ? 0 : ((length - 1) % this.pageSize) + 1));
  }

  /**
   * The same pages with other lengths, for a loop that grows into pages reserved ahead. Costs no check of the indices.
   * @param kvLens tokens, [batchSize]
   * @throws WarpbookError INVALID_PAGE_TABLE where a length doesn't fit its request's pages
   */
  withLengths(kvLens: ArrayLike<number>): PageTable {
    // The arrays are public: whoever wrote into them since is told here, not by the device.
    checkIndptr(this.pagedKvIndptr, this.pagedKvIndices.length);
    const lengths = integers('kvLens', kvLens);
    checkLengths(this.pagedKvIndptr, lengths, this.pageSize);
    const table = Object.create(PageTable.prototype) as { -readonly [K in keyof PageTable]: PageTable[K] };
    table.pageSize = this.pageSize;
    table.pagedKvIndptr = this.pagedKvIndptr;
    table.pagedKvIndices = this.pagedKvIndices;
    table.kvLens = lengths;
    table.maxPage = this.maxPage;
    return table as PageTable;
  }

  /**
   * @internal Whether nobody has written into pagedKvIndptr since this was asked first. Quicker than to check it anew at each step.
   * @throws WarpbookError INVALID_PAGE_TABLE the first time, as {@link withLengths}
   */
  isIntact(): boolean {
    if (this.checked) return Buffer.compare(this.checked.bytes, this.checked.copy) === 0;
    const { buffer, byteOffset, byteLength } = this.pagedKvIndptr;
    checkIndptr(this.pagedKvIndptr, this.pagedKvIndices.length);
    const bytes = new Uint8Array(buffer, byteOffset, byteLength);
    this.checked = { bytes, copy: bytes.slice() };
    return true;
  }

  /**
   * The three arrays as int32 tensors: pagedKvIndptr [batchSize + 1], pagedKvIndices [numIndices], pagedKvLastPageLen
   * [batchSize]. The caller disposes them.
   */
  toTensors(device?: Device): { pagedKvIndptr: Tensor; pagedKvIndices: Tensor; pagedKvLastPageLen: Tensor } {
    const tensor = (values: Int32Array, label: string): Tensor => fromHost(values, { dtype: 'int32', device, label });
    return {
      pagedKvIndptr: tensor(this.pagedKvIndptr, 'pagedKvIndptr'),
      pagedKvIndices: tensor(this.pagedKvIndices, 'pagedKvIndices'),
      pagedKvLastPageLen: tensor(this.pagedKvLastPageLen, 'pagedKvLastPageLen'),
    };
  }

  /** Prefixes that several requests share, in the same pages: what `policies.cascade` reads once. */
  sharedPrefixes(): SharedPrefix[] {
    return sharedPrefixes(this.pagedKvIndptr, this.pagedKvIndices, this.kvLens, this.pageSize);
  }

  toString(): string {
    let tokens = 0;
    for (const length of this.kvLens) tokens += length;
    return `PageTable(${this.batchSize} requests, ${tokens} tokens, ${this.pagedKvIndices.length} pages of ${this.pageSize})`;
  }
}

/** A copy as int32; refuses what isn't an integer in range instead of bending it. */
export function integers(name: string, values: ArrayLike<number>): Int32Array {
  // `from` would go through the array's iterator, at ten times the price.
  if (values instanceof Int32Array) return values.slice();
  const copy = Int32Array.from(values);
  for (let i = 0; i < copy.length; i++) {
    if (copy[i] !== values[i]) invalid(`${name}[${i}] is ${values[i]}; wanted an integer from 0 to 2147483647.`);
  }
  return copy;
}

/** Whether two requests have the same pages at places [first, first + count) of their page lists. */
export function samePages(
  indptr: ArrayLike<number>,
  pages: Int32Array,
  a: number,
  b: number,
  first: number,
  count: number,
): boolean {
  // Ragged keys and values have no page list: nothing is shared.
  if (pages.length === 0) return false;
  if (indptr[a] + first + count > indptr[a + 1] || indptr[b] + first + count > indptr[b + 1]) return false;
  for (let i = first; i < first + count; i++) if (pages[indptr[a] + i] !== pages[indptr[b] + i]) return false;
  return true;
}

/** The prefixes that requests share: full pages at the same places of their page lists, as long as they hold tokens. */
export function sharedPrefixes(
  indptr: ArrayLike<number>,
  pages: Int32Array,
  kvLens: Int32Array,
  pageSize: number,
): SharedPrefix[] {
  if (pages.length === 0) return [];
  return findSharedPrefixes({
    blockTokens: pageSize,
    numBlocks: kvLens.map((length) => Math.floor(length / pageSize)),
    blockAt: (request, index) => pages[indptr[request] + index],
  });
}

function invalid(message: string, details: Record<string, unknown> = {}): never {
  throw new WarpbookError('INVALID_PAGE_TABLE', message, details);
}

function checkIndptr(indptr: Int32Array, numIndices: number): void {
  if (indptr.length === 0) invalid('pagedKvIndptr is empty; wanted batchSize + 1 entries, [0] for an empty batch.');
  if (indptr[0] !== 0) invalid(`pagedKvIndptr starts with ${indptr[0]}; wanted 0.`);
  for (let r = 0; r + 1 < indptr.length; r++) {
    if (indptr[r + 1] < indptr[r])
      invalid(`pagedKvIndptr decreases at request ${r}: ${indptr[r]} → ${indptr[r + 1]}.`, { request: r });
  }
  const last = indptr[indptr.length - 1];
  if (last !== numIndices) invalid(`pagedKvIndptr ends with ${last}, but pagedKvIndices has ${numIndices} entries.`);
}

function lengthsOf(indptr: Int32Array, lastPageLen: ArrayLike<number> | undefined, pageSize: number): Int32Array {
  const batchSize = indptr.length - 1;
  if (!lastPageLen) invalid('A page table needs pagedKvLastPageLen or kvLens; got neither.');
  if (lastPageLen.length !== batchSize)
    invalid(`pagedKvLastPageLen has ${lastPageLen.length} entries for ${batchSize} requests.`);
  const lengths = new Int32Array(batchSize);
  for (let r = 0; r < batchSize; r++) {
    const pages = indptr[r + 1] - indptr[r];
    const last = lastPageLen[r];
    if (pages > 0 && !(last >= 1 && last <= pageSize)) {
      invalid(`pagedKvLastPageLen[${r}] is ${last}; wanted 1 to ${pageSize} tokens.`, { request: r });
    }
    if (pages === 0 && last !== 0)
      invalid(`pagedKvLastPageLen[${r}] is ${last}, but request ${r} has no page; wanted 0.`, { request: r });
    lengths[r] = pages === 0 ? 0 : (pages - 1) * pageSize + last;
  }
  return lengths;
}

function checkLengths(indptr: Int32Array, kvLens: Int32Array, pageSize: number): void {
  if (kvLens.length !== indptr.length - 1)
    invalid(`kvLens has ${kvLens.length} entries for ${indptr.length - 1} requests.`);
  for (let r = 0; r < kvLens.length; r++) {
    const pages = indptr[r + 1] - indptr[r];
    if (!(kvLens[r] >= 0) || kvLens[r] > pages * pageSize) {
      invalid(
        `Request ${r} has ${kvLens[r]} tokens, which need ${ceilDiv(kvLens[r], pageSize)} pages of ${pageSize}; its page table has ${pages}.`,
        { request: r, kvLen: kvLens[r], pages },
      );
    }
  }
}

/** Returns the largest page id. */
function checkIndices(indptr: Int32Array, indices: Int32Array, numPages: number | undefined): number {
  let largest = -1;
  const seen = new Set<number>();
  for (let r = 0; r + 1 < indptr.length; r++) {
    seen.clear();
    for (let i = indptr[r]; i < indptr[r + 1]; i++) {
      const page = indices[i];
      if (page < 0 || (numPages !== undefined && page >= numPages)) {
        const range = numPages === undefined ? 'at least 0' : `0 to ${numPages - 1}`;
        invalid(`pagedKvIndices[${i}] of request ${r} is ${page}; wanted ${range}.`, { request: r, page });
      }
      if (seen.has(page)) invalid(`Request ${r} uses page ${page} twice (pagedKvIndices[${i}]).`, { request: r, page });
      seen.add(page);
      if (page > largest) largest = page;
    }
  }
  return largest;
}
