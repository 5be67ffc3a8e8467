/**
 * The paged KV cache: a pool of pages on a device, a page allocator, and the page tables that kernels are planned with.
 *
 * Layout NHD keeps a page as [pageSize, numKvHeads, headDim], HND as [numKvHeads, pageSize, headDim]. Keys and values live
 * in two tensors. float8 pools hold value / scale; kernels multiply by the scale again.
 */
import { type Device, defaultDevice } from '../device/device';
import { offScope, onScope } from '../device/scope';
import type { Stream } from '../device/stream';
import { requireInteger, WarpbookError } from '../errors';
import { empty } from '../tensor/create';
import { itemSize } from '../tensor/dtype';
import type { Tensor } from '../tensor/tensor';
import { type AppendOptions, type AppendPlaces, checkNewTokens, launchAppend, launchAppendAt } from './append-kv';
import { requireScale } from './kv-operand';
import { PageAllocator } from './page-allocator';
import { PageTable } from './page-table';
import { type KvDType, requireKvDType } from './variant';

/** Order of a page's dimensions: tokens outside (NHD) or KV heads outside (HND). */
export type KvLayout = 'NHD' | 'HND';

/** Options of {@link PagedKvCache}. */
export interface PagedKvCacheOptions {
  /** Pages in the pool. */
  numPages: number;
  /** Tokens per page; default 16. */
  pageSize?: number;
  numKvHeads: number;
  headDim: number;
  /** Default bfloat16. */
  dtype?: KvDType;
  /** Default NHD. */
  layout?: KvLayout;
  device?: Device;
  /** Dequantisation scales of keys and values; default 1. */
  kScale?: number;
  vScale?: number;
  /** Owner in `device.memory()`; default 'PagedKvCache'. */
  label?: string;
}

/** Strides of a pool in elements. */
export interface PoolStrides {
  page: number;
  token: number;
  head: number;
}

/** A pool of pages of keys and values on a device, and the requests that own them. Any page size, NHD or HND. */
export class PagedKvCache {
  readonly device: Device;
  readonly numPages: number;
  readonly pageSize: number;
  readonly numKvHeads: number;
  readonly headDim: number;
  readonly dtype: KvDType;
  readonly layout: KvLayout;
  readonly kScale: number;
  readonly vScale: number;
  /** Keys: [numPages, pageSize, numKvHeads, headDim] (NHD) or [numPages, numKvHeads, pageSize, headDim] (HND). */
  readonly k: Tensor;
  /** Values, laid out as the keys. */
  readonly v: Tensor;
  readonly strides: PoolStrides;
  private readonly allocator: PageAllocator;

  /** @throws WarpbookError INVALID_ARGUMENT, OUT_OF_MEMORY */
  constructor(options: PagedKvCacheOptions) {
    const {
      numPages,
      pageSize = 16,
      numKvHeads,
      headDim,
      dtype = 'bfloat16',
      layout = 'NHD',
      label = 'PagedKvCache',
    } = options;
    requireInteger('numKvHeads', numKvHeads, 1);
    requireInteger('headDim', headDim, 8, 512);
    if (headDim % 8 !== 0) {
      throw new WarpbookError('INVALID_ARGUMENT', `headDim is ${headDim}; wanted a multiple of 8.`);
    }
    requireKvDType(dtype);
    for (const name of ['kScale', 'vScale'] as const) {
      requireScale(name, options[name] ?? 1);
    }
    if (layout !== 'NHD' && layout !== 'HND')
      throw new WarpbookError('INVALID_ARGUMENT', `layout is ${String(layout)}; wanted NHD or HND.`);
    requireInteger('numPages', numPages, 0, 2 ** 31 - 1);
    requireInteger('pageSize', pageSize, 1);
    this.device = options.device ?? defaultDevice();
    this.numPages = numPages;
    this.pageSize = pageSize;
    this.numKvHeads = numKvHeads;
    this.headDim = headDim;
    this.dtype = dtype;
    this.layout = layout;
    this.kScale = options.kScale ?? 1;
    this.vScale = options.vScale ?? 1;
    const shape =
      layout === 'NHD' ? [numPages, pageSize, numKvHeads, headDim] : [numPages, numKvHeads, pageSize, headDim];
    this.k = empty(shape, { dtype, device: this.device, label });
    try {
      this.v = empty(shape, { dtype, device: this.device, label });
      // Behind the pools, whose size the device's budget bounds: a list of pages that nobody can have would exhaust the host.
      this.allocator = new PageAllocator(numPages, pageSize);
    } catch (error) {
      this.k.dispose();
      throw error;
    }
    // The cache, not its tensors, is what a scope disposes or hands out.
    offScope(this.k);
    offScope(this.v);
    onScope(this);
    this.strides =
      layout === 'NHD'
        ? { page: pageSize * numKvHeads * headDim, token: numKvHeads * headDim, head: headDim }
        : { page: pageSize * numKvHeads * headDim, token: headDim, head: pageSize * headDim };
  }

  /**
   * Some of the pages as a cache of its own, with page ids from 0: a view that owns no memory, so that many operand sets can
   * lie in one pool. It has its own requests; whoever uses both keeps them apart.
   * @throws WarpbookError INVALID_ARGUMENT for a range that the pool doesn't have
   */
  window(firstPage: number, numPages: number): PagedKvCache {
    this.requireUsable('window');
    requireInteger('firstPage', firstPage, 0, this.numPages - 1);
    requireInteger('numPages', numPages, 1, this.numPages - firstPage);
    const pages = (pool: Tensor): Tensor => pool.slice(0, firstPage, firstPage + numPages);
    const own = { numPages, k: pages(this.k), v: pages(this.v), allocator: new PageAllocator(numPages, this.pageSize) };
    return Object.assign(Object.create(PagedKvCache.prototype) as PagedKvCache, this, own);
  }

  get numFreePages(): number {
    return this.allocator.numFreePages;
  }
  get numUsedPages(): number {
    return this.numPages - this.allocator.numFreePages;
  }
  get numRequests(): number {
    return this.allocator.numRequests;
  }
  /** Bytes of both pools. */
  get byteLength(): number {
    return 2 * this.numPages * this.strides.page * itemSize(this.dtype);
  }

  /**
   * A new request of `kvLen` tokens whose contents are whatever the pages hold; `append` writes.
   * @returns the request's id in this cache
   * @throws WarpbookError OUT_OF_PAGES
   */
  allocate(kvLen: number = 0): number {
    this.requireUsable('allocate');
    return this.allocator.allocate(kvLen);
  }

  /** Lengthens a request by `tokens` without writing. @throws WarpbookError OUT_OF_PAGES */
  grow(request: number, tokens: number): void {
    this.allocator.grow(request, tokens);
  }

  /** Takes pages ahead so that `kvLen` tokens will fit. @throws WarpbookError OUT_OF_PAGES */
  reserve(request: number, kvLen: number): void {
    this.allocator.reserve(request, kvLen);
  }

  /** Gives a request's pages back. */
  free(request: number): void {
    this.allocator.release(request);
  }

  /** A new request that shares the first `kvLen` tokens (default: all) with `request`. @throws WarpbookError OUT_OF_PAGES */
  fork(request: number, kvLen?: number): number {
    this.requireUsable('fork');
    if (this.device.stream.capturing) {
      throw new WarpbookError(
        'CAPTURE_FORBIDDEN',
        'Got fork() in a capture: the copy of its last page would run at each replay, and not before. Fork before the capture.',
      );
    }
    const { id, copy } = this.allocator.fork(request, kvLen);
    if (copy) {
      for (const pool of [this.k, this.v]) pool.select(0, copy.target).copyFrom(pool.select(0, copy.source));
    }
    return id;
  }

  kvLen(request: number): number {
    return this.allocator.kvLen(request);
  }

  /** Page ids of a request in token order, reserved ones included. */
  pages(request: number): readonly number[] {
    return this.allocator.pages(request);
  }

  /** The page table of a batch, in the order of `requests`. */
  pageTable(requests: readonly number[]): PageTable {
    this.requireUsable('pageTable');
    const indptr = [0];
    const indices: number[] = [];
    for (const request of requests) {
      for (const page of this.allocator.pages(request)) indices.push(page);
      indptr.push(indices.length);
    }
    const kvLens = requests.map((request) => this.allocator.kvLen(request));
    return new PageTable({
      pagedKvIndptr: indptr,
      pagedKvIndices: indices,
      kvLens,
      pageSize: this.pageSize,
      numPages: this.numPages,
    });
  }

  /**
   * Appends new tokens to requests: grows them and writes their keys and values.
   * @param requests ids in this cache, [batchSize]
   * @param k [numTokens, numKvHeads, headDim] on this device, any float dtype; requests one after the other
   * @param v as k
   * @param counts tokens of each request, [batchSize]; default: the same number each
   * @throws WarpbookError SHAPE_MISMATCH, DEVICE_MISMATCH, OUT_OF_PAGES; nothing is written then
   */
  append(requests: readonly number[], k: Tensor, v: Tensor, counts?: ArrayLike<number>): void {
    this.requireUsable('append');
    checkNewTokens(this, k, v);
    const numTokens = k.shape[0];
    const perRequest = counts ? Array.from(counts) : requests.map(() => numTokens / Math.max(1, requests.length));
    const total = perRequest.reduce((sum, count) => sum + count, 0);
    if (
      perRequest.length !== requests.length ||
      total !== numTokens ||
      perRequest.some((count) => !Number.isInteger(count))
    ) {
      throw new WarpbookError(
        'SHAPE_MISMATCH',
        `append: k has ${numTokens} tokens for ${requests.length} requests with counts [${perRequest.join(', ')}]; they must add up.`,
      );
    }
    // All that may refuse comes before the first length changes.
    this.device.stream.requireEager('device.allocate', this.device);
    const slotTensor = empty([numTokens], { dtype: 'int64', device: this.device, label: 'append slots' });
    try {
      slotTensor.buffer.write(this.takeSlots(requests, perRequest, numTokens));
      launchAppend(this, slotTensor, k, v);
    } finally {
      slotTensor.dispose();
    }
  }

  /** Grows the requests and returns the slots of their new tokens, int64 [numTokens], as bytes. */
  private takeSlots(requests: readonly number[], counts: readonly number[], numTokens: number): Uint8Array {
    const starts = this.allocator.growAll(requests, counts);
    const slots = new BigInt64Array(numTokens);
    let token = 0;
    for (const [i, request] of requests.entries()) {
      const pages = this.allocator.pages(request);
      for (let j = starts[i]; j < starts[i] + counts[i]; j++) {
        slots[token++] =
          BigInt(pages[Math.floor(j / this.pageSize)]) * BigInt(this.pageSize) + BigInt(j % this.pageSize);
      }
    }
    return new Uint8Array(slots.buffer);
  }

  /**
   * Writes keys and values to given slots; lengths and page ownership are the caller's affair. May be captured.
   * @param slots int64 [numTokens]: page · pageSize + token within the page; negative or out of range: skipped
   * @param k [numTokens, numKvHeads, headDim] on this device, any float dtype
   * @param v as k
   * @throws WarpbookError SHAPE_MISMATCH, DTYPE_MISMATCH, DEVICE_MISMATCH, DISPOSED
   */
  appendToSlots(slots: Tensor, k: Tensor, v: Tensor, options: { stream?: Stream } = {}): void {
    this.requireUsable('appendToSlots');
    checkNewTokens(this, k, v);
    launchAppend(this, slots, k, v, options.stream);
  }

  /**
   * Writes keys and values to requests and positions that are in device memory: the device looks up each token's page. For
   * loops without the host; the cache's own lengths don't change, and pages have to be reserved before. May be captured.
   * @param places request and position of each token, and the page table; see {@link AppendPlaces}
   * @param k [numTokens, numKvHeads, headDim] on this device: float32, float16 or bfloat16
   * @param v as k
   * @throws WarpbookError SHAPE_MISMATCH, DTYPE_MISMATCH, DEVICE_MISMATCH, DISPOSED
   */
  appendAt(places: AppendPlaces, k: Tensor, v: Tensor, options: AppendOptions = {}): void {
    this.requireUsable('appendAt');
    checkNewTokens(this, k, v);
    launchAppendAt(this, places, k, v, options);
  }

  private requireUsable(call: string): void {
    if (!this.k.disposed) return;
    throw new WarpbookError('DISPOSED', `Got ${call}() of a PagedKvCache after its dispose(); make another one.`);
  }

  /** Frees both pools. Idempotent. */
  dispose(): void {
    this.k.dispose();
    this.v.dispose();
  }
  [Symbol.dispose](): void {
    this.dispose();
  }

  toString(): string {
    return (
      `PagedKvCache(${this.numRequests} requests, ${this.numUsedPages} of ${this.numPages} pages of ${this.pageSize} used, ` +
      `${this.numKvHeads} × ${this.headDim} ${this.dtype}, ${this.layout})`
    );
  }
}
