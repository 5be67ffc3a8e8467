/**
 * The device's copy of a wrapper's page table, kept up to date by deltas: 128 requests of 100,000 tokens are 3 MB, too much
 * to send at each plan.
 *
 * Each request's pages have a place of their own with room behind them, so that a list grows without moving the others. What
 * changed is sent as one range, or, where that is less, as (index, value) pairs that the `scatter_words` program applies.
 * Knows page ids as numbers: neither lengths nor schedules.
 */
import type { Buffer } from '../device/buffer';
import type { Device } from '../device/device';
import type { Address } from '../device/params';
import { StagingRing } from '../device/staging';
import type { Stream } from '../device/stream';
import { scatterWordsParams } from './plan-params';

/** Pairs of a delta at most; more are sent as a range. */
const MAX_PAIRS = 4096;
const PAIR_BYTES = 8;
/** What the extra launch of a scatter costs, as bytes that could be sent meanwhile. */
const SCATTER_BYTES = 16 * 1024;
const SCATTER_THREADS = 256;
/** Pages of room behind a request's list, where there is enough for all: it moves to a new place after as many. */
const ROOM_PAGES = 32;

export interface PageListOptions {
  maxPages: number;
  maxBatch: number;
  stagingSlots: number;
  label: string;
}

export class PageList {
  /** int32: {first page, pages} of each of `maxBatch` requests, then page ids. */
  readonly buffer: Buffer;
  /** Place of each request's first page in the list that {@link pages} points to; int32 [maxBatch]. */
  readonly starts: Int32Array;
  /** {first page, pages} of each of `maxBatch` requests as the device has them; int32 [maxBatch, 2]. */
  readonly sentRanges: Int32Array;
  private readonly maxPages: number;
  private readonly firstPageWord: number;
  private readonly ring: StagingRing;
  /** Pairs on their way to the program. */
  private readonly delta: Buffer;
  /** What the device's list holds. */
  private readonly shadow: Int32Array;
  private readonly rooms: Int32Array;
  /** Requests that have a place. */
  private numPlaced = 0;
  private numListed = 0;
  private end = 0;

  constructor(device: Device, options: PageListOptions) {
    const { maxPages, maxBatch, stagingSlots, label } = options;
    this.maxPages = maxPages;
    // Multiples of 16 bytes.
    this.firstPageWord = Math.ceil((2 * maxBatch) / 4) * 4;
    const words = this.firstPageWord + maxPages;
    this.buffer = device.allocate(words * 4, { label: `${label} page list` });
    try {
      this.delta = device.allocate(MAX_PAIRS * PAIR_BYTES, { label: `${label} page delta` });
    } catch (error) {
      this.buffer.dispose();
      throw error;
    }
    try {
      this.ring = new StagingRing(device, Math.max(words * 4, MAX_PAIRS * PAIR_BYTES), stagingSlots);
    } catch (error) {
      this.buffer.dispose();
      this.delta.dispose();
      throw error;
    }
    this.shadow = new Int32Array(words);
    this.sentRanges = this.shadow.subarray(0, 2 * maxBatch);
    this.starts = new Int32Array(maxBatch);
    this.rooms = new Int32Array(maxBatch);
    this.buffer.fill(new Uint8Array(4));
  }

  /** Requests of the table that was sent last. */
  get numRequests(): number {
    return this.numListed;
  }
  get buffers(): Buffer[] {
    return [this.buffer, this.delta];
  }
  /** Where launches find page ids. */
  pages(): Address {
    return this.buffer.address(this.firstPageWord * 4);
  }
  /** Where a planner on the device finds {first page, pages} of each request. */
  ranges(): Address {
    return this.buffer.address(0);
  }

  /**
   * Makes the device's list that of a page table, which fits `maxPages` and `maxBatch`; afterwards `starts` holds its places.
   * @returns bytes of the copies; 0 where nothing changed
   * @throws WarpbookError PLAN_QUEUE_FULL; nothing has changed then
   */
  send(indptr: Int32Array, pages: Int32Array, stream: Stream): number {
    const slot = this.ring.acquire();
    let sent = 0;
    try {
      this.place(indptr);
      const words = new Int32Array(slot.bytes.buffer, slot.bytes.byteOffset, slot.bytes.byteLength / 4);
      const change = this.apply(indptr, pages, words);
      if (change.numChanged === 0) return 0;
      const rangeBytes = (change.last - change.first + 1) * 4;
      if (change.numChanged <= MAX_PAIRS && change.numChanged * PAIR_BYTES + SCATTER_BYTES < rangeBytes) {
        sent = change.numChanged * PAIR_BYTES;
        this.ring.submit(slot, sent, stream, this.delta, 0);
        this.scatter(change.numChanged, stream);
      } else {
        sent = rangeBytes;
        words.set(this.shadow.subarray(change.first, change.last + 1));
        this.ring.submit(slot, sent, stream, this.buffer, change.first * 4);
      }
      return sent;
    } finally {
      if (sent === 0) this.ring.release(slot);
    }
  }

  /** Resolves when a staging slot is free. */
  ready(): Promise<void> {
    return this.ring.ready();
  }

  dispose(): void {
    this.buffer.dispose();
    this.delta.dispose();
    this.ring.dispose();
  }

  /** Gives every request a place with room for its pages: where it is, behind all others, or all of them anew. */
  private place(indptr: Int32Array): void {
    const batch = indptr.length - 1;
    for (let r = 0; r < batch; r++) {
      const count = indptr[r + 1] - indptr[r];
      if (r < this.numPlaced && count <= this.rooms[r]) continue;
      const room = count + ROOM_PAGES;
      if (r > this.numPlaced || this.end + room > this.maxPages) {
        this.placeAll(indptr);
        return;
      }
      this.starts[r] = this.end;
      this.rooms[r] = room;
      this.end += room;
      this.numPlaced = Math.max(this.numPlaced, r + 1);
    }
  }

  private placeAll(indptr: Int32Array): void {
    const batch = indptr.length - 1;
    const spare = Math.min(ROOM_PAGES, Math.floor((this.maxPages - indptr[batch]) / Math.max(1, batch)));
    this.end = 0;
    for (let r = 0; r < batch; r++) {
      this.starts[r] = this.end;
      this.rooms[r] = indptr[r + 1] - indptr[r] + spare;
      this.end += this.rooms[r];
    }
    this.numPlaced = batch;
  }

  /** Brings the shadow up to date, and writes what changed to `pairs` as far as {@link MAX_PAIRS}. */
  private apply(
    indptr: Int32Array,
    pages: Int32Array,
    pairs: Int32Array,
  ): { numChanged: number; first: number; last: number } {
    const { shadow, starts, firstPageWord } = this;
    let numChanged = 0;
    let first = shadow.length;
    let last = -1;
    const set = (at: number, value: number): void => {
      shadow[at] = value;
      if (numChanged < MAX_PAIRS) {
        pairs[2 * numChanged] = at;
        pairs[2 * numChanged + 1] = value;
      }
      numChanged++;
      if (at < first) first = at;
      if (at > last) last = at;
    };
    const batch = indptr.length - 1;
    for (let r = 0; r < batch; r++) {
      const count = indptr[r + 1] - indptr[r];
      if (shadow[2 * r] !== starts[r]) set(2 * r, starts[r]);
      if (shadow[2 * r + 1] !== count) set(2 * r + 1, count);
      const from = indptr[r];
      const to = firstPageWord + starts[r];
      for (let i = 0; i < count; i++) if (shadow[to + i] !== pages[from + i]) set(to + i, pages[from + i]);
    }
    this.numListed = batch;
    return { numChanged, first, last };
  }

  private scatter(numPairs: number, stream: Stream): void {
    stream.launch({
      program: 'scatter_words',
      grid: [Math.ceil(numPairs / SCATTER_THREADS), 1, 1],
      params: scatterWordsParams.pack({
        target: this.buffer.address(),
        pairs: this.delta.address(),
        num_pairs: numPairs,
        num_words: this.shadow.length,
      }),
      buffers: this.buffers,
    });
  }
}
