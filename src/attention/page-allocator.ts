/**
 * Who owns which page of a KV pool: allocation, growth, reference counts for shared prefixes. Pure bookkeeping; it holds
 * no memory and copies nothing (it says what has to be copied).
 */
import { requireInteger, WarpbookError } from '../errors';
import { ceilDiv } from '../units';

/** A request's pages and length. */
interface Entry {
  pages: number[];
  kvLen: number;
}

/** A page whose contents a fork must copy: it is only partly shared. */
export interface PageCopy {
  source: number;
  target: number;
}

export class PageAllocator {
  readonly numPages: number;
  readonly pageSize: number;
  private readonly free: number[];
  /** Requests that hold each page. */
  private readonly references: Int32Array;
  private readonly entries = new Map<number, Entry>();
  private nextId = 0;

  constructor(numPages: number, pageSize: number) {
    requireInteger('numPages', numPages, 0, 2 ** 31 - 1);
    requireInteger('pageSize', pageSize, 1);
    this.numPages = numPages;
    this.pageSize = pageSize;
    this.references = new Int32Array(numPages);
    // A stack: the lowest page comes first, a page freed last is used again first.
    this.free = Array.from({ length: numPages }, (_, i) => numPages - 1 - i);
  }

  get numFreePages(): number {
    return this.free.length;
  }
  get numRequests(): number {
    return this.entries.size;
  }

  /** A new request of `kvLen` tokens; returns its id. @throws WarpbookError OUT_OF_PAGES */
  allocate(kvLen: number): number {
    requireInteger('kvLen', kvLen, 0, 2 ** 31 - 1);
    const pages = this.take(ceilDiv(kvLen, this.pageSize), 'a new request');
    const id = this.nextId++;
    this.entries.set(id, { pages, kvLen });
    return id;
  }

  /** Lengthens a request by `tokens`, adding pages as needed. @throws WarpbookError OUT_OF_PAGES; nothing changes then */
  grow(id: number, tokens: number): void {
    requireInteger('tokens', tokens, 0);
    const entry = this.entry(id);
    this.reserve(id, entry.kvLen + tokens);
    entry.kvLen += tokens;
  }

  /**
   * Lengthens several requests, all or none; one may occur more than once.
   * @returns where the new tokens of each entry start, [ids.length]
   * @throws WarpbookError OUT_OF_PAGES, INVALID_ARGUMENT; nothing changes then
   */
  growAll(ids: readonly number[], counts: readonly number[]): number[] {
    const lengths = new Map<number, number>();
    let missing = 0;
    for (const [i, id] of ids.entries()) {
      requireInteger(`counts[${i}]`, counts[i], 0);
      const before = lengths.get(id) ?? this.kvLen(id);
      const owned = Math.max(this.pages(id).length, ceilDiv(before, this.pageSize));
      missing += Math.max(0, ceilDiv(before + counts[i], this.pageSize) - owned);
      lengths.set(id, before + counts[i]);
    }
    this.requireFree(missing, 'append');
    return ids.map((id, i) => {
      const start = this.kvLen(id);
      this.grow(id, counts[i]);
      return start;
    });
  }

  /** Adds pages until `kvLen` tokens fit; the length stays. @throws WarpbookError OUT_OF_PAGES */
  reserve(id: number, kvLen: number): void {
    requireInteger('kvLen', kvLen, 0, 2 ** 31 - 1);
    const entry = this.entry(id);
    const missing = ceilDiv(kvLen, this.pageSize) - entry.pages.length;
    if (missing > 0) for (const page of this.take(missing, `request ${id}`)) entry.pages.push(page);
  }

  /**
   * A new request that shares the first `kvLen` tokens: whole pages by reference, a partly filled last one as a copy.
   * @returns the new id, and the copy that is to be made
   */
  fork(id: number, kvLen: number = this.entry(id).kvLen): { id: number; copy?: PageCopy } {
    const parent = this.entry(id);
    requireInteger('kvLen', kvLen, 0, parent.kvLen);
    const whole = Math.floor(kvLen / this.pageSize);
    const shared = parent.pages.slice(0, whole);
    const copy =
      kvLen % this.pageSize > 0 ? { source: parent.pages[whole], target: this.take(1, 'a fork')[0] } : undefined;
    for (const page of shared) this.references[page]++;
    const child = this.nextId++;
    this.entries.set(child, { pages: copy ? [...shared, copy.target] : shared, kvLen });
    return { id: child, copy };
  }

  /** Gives a request's pages back; a shared one stays until its last owner goes. */
  release(id: number): void {
    for (const page of this.entry(id).pages) {
      if (--this.references[page] === 0) this.free.push(page);
    }
    this.entries.delete(id);
  }

  kvLen(id: number): number {
    return this.entry(id).kvLen;
  }

  /** Page ids of a request in token order, reserved ones included. */
  pages(id: number): readonly number[] {
    return this.entry(id).pages;
  }

  /** Requests that hold a page. */
  referenceCount(page: number): number {
    return this.references[page];
  }

  private entry(id: number): Entry {
    const entry = this.entries.get(id);
    if (!entry)
      throw new WarpbookError(
        'INVALID_ARGUMENT',
        `The cache has no request ${id}; it was freed, or belongs to another cache.`,
      );
    return entry;
  }

  private requireFree(count: number, what: string): void {
    if (count > this.free.length) {
      throw new WarpbookError(
        'OUT_OF_PAGES',
        `${what} needs ${count} more pages of ${this.pageSize} tokens, ${this.free.length} of ${this.numPages} are free; ` +
          'free a request or create the cache with a larger numPages.',
        { asked: count, available: this.free.length, option: 'numPages' },
      );
    }
  }

  private take(count: number, what: string): number[] {
    this.requireFree(count, what);
    const pages: number[] = [];
    for (let i = 0; i < count; i++) {
      const page = this.free.pop() as number;
      this.references[page] = 1;
      pages.push(page);
    }
    return pages;
  }
}
