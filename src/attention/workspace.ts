/**
 * A wrapper's device memory: the workspace image, partial states, merge counters and the trace, and the staging through
 * which plans reach them. Its page list is in page-list.ts.
 *
 * `upload` never allocates and never waits: it packs into a free slot of the staging ring and enqueues copies; the ring
 * throws PLAN_QUEUE_FULL when the device has not caught up. All buffers keep their place for life, so captured launches
 * stay right.
 */
import type { Buffer } from '../device/buffer';
import type { Device } from '../device/device';
import { StagingRing, type StagingSlot } from '../device/staging';
import type { Stream } from '../device/stream';
import { type WorkspaceLayout, workspaceLayout } from '../schedule/layout';
import { checkCapacity, packSchedule } from '../schedule/pack';
import type { Policy, Schedule } from '../schedule/schedule';
import { TRACE_RECORD_WORDS } from '../timeline/trace-record';
import type { WrapperCapacity } from './capacity';
import type { HostPlanner } from './host-planner';
import { PageList } from './page-list';

/** Where a batch's keys are, on the host's side. */
export interface BatchPages {
  /** Place of each request's first page (or, ragged, of its first token) in CSR form, [batchSize + 1]. */
  readonly indptr: Int32Array;
  /** Page ids; empty where ragged. */
  readonly indices: Int32Array;
  /** The arrays are those of the plan before, and nobody wrote into them. */
  readonly unchanged: boolean;
}

/** What {@link Workspace.uploadFrom} did. */
export interface SentPlan {
  /** When the image was written and its copy not yet enqueued, by `performance.now()`. */
  readonly writtenMs: number;
  readonly uploadedBytes: number;
}

/** Plans that may be in flight. */
const STAGING_SLOTS = 8;
/** Queue heads after the merge counters. */
const QUEUE_COUNTERS = 4;

export class Workspace {
  readonly layout: WorkspaceLayout;
  /** Entries of the page list. */
  readonly maxPages: number;
  readonly image: Buffer;
  /** Undefined where K and V are ragged. */
  readonly pageList: PageList | undefined;
  readonly partialO: Buffer;
  readonly partialLse: Buffer;
  readonly counters: Buffer;
  /** Undefined where the wrapper isn't traced. */
  readonly trace: Buffer | undefined;
  private readonly device: Device;
  private readonly imageRing: StagingRing;
  /** Each staging slot as words, made when it is first used. */
  private readonly images: Int32Array[] = [];

  constructor(
    device: Device,
    capacity: WrapperCapacity,
    headDim: number,
    options: { paged: boolean; trace: boolean; label: string },
  ) {
    this.device = device;
    this.layout = workspaceLayout(capacity);
    this.maxPages = capacity.maxPages;
    const made: { dispose(): void }[] = [];
    const keep = <T extends { dispose(): void }>(resource: T): T => {
      made.push(resource);
      return resource;
    };
    const buffer = (bytes: number, what: string): Buffer =>
      keep(device.allocate(Math.max(bytes, 16), { label: `${options.label} ${what}` }));
    try {
      this.image = buffer(this.layout.totalWords * 4, 'workspace');
      this.partialO = buffer(capacity.maxPartialRows * headDim * 4, 'partial output');
      this.partialLse = buffer(capacity.maxPartialRows * 4, 'partial LSE');
      this.counters = buffer((capacity.maxMergeGroups + QUEUE_COUNTERS) * 4, 'merge counters');
      this.trace = options.trace
        ? buffer((capacity.maxTiles + capacity.maxMergeGroups) * TRACE_RECORD_WORDS * 4, 'trace')
        : undefined;
      this.imageRing = keep(new StagingRing(device, this.layout.totalWords * 4, STAGING_SLOTS));
      const { maxPages, maxBatch } = capacity;
      const { label } = options;
      this.pageList = options.paged
        ? keep(new PageList(device, { maxPages, maxBatch, stagingSlots: STAGING_SLOTS, label }))
        : undefined;
    } catch (error) {
      for (const resource of made) resource.dispose();
      throw error;
    }
    const zero = new Uint8Array(4);
    for (const target of [this.image, this.counters, this.trace]) target?.fill(zero);
    // What the CUDA kernels take for a state that nobody has written yet, and leave behind.
    const unwritten = new Uint8Array(4).fill(0xff);
    for (const target of [this.partialO, this.partialLse]) target.fill(unwritten);
  }

  /** Everything a launch points to. */
  get buffers(): Buffer[] {
    const own = [this.image, this.partialO, this.partialLse, this.counters];
    return [...own, ...(this.pageList?.buffers ?? []), ...(this.trace ? [this.trace] : [])];
  }

  /**
   * Packs a schedule and enqueues its copy; sends what changed of the page list.
   * @returns bytes of the copies
   * @throws WarpbookError CAPACITY_EXCEEDED or PLAN_QUEUE_FULL; the device's plan is as before then
   */
  upload(schedule: Schedule, pages: BatchPages, planId: number, stream: Stream): number {
    checkCapacity(schedule, this.layout.capacity);
    stream.requireEager('staging.submit', this.device);
    const slot = this.imageRing.acquire();
    let uploaded = 0;
    try {
      if (this.pageList && !pages.unchanged) uploaded = this.pageList.send(pages.indptr, pages.indices, stream);
    } catch (error) {
      this.imageRing.release(slot);
      throw error;
    }
    const image = this.imageIn(slot);
    const used = packSchedule(schedule, this.layout, image, this.pageList?.starts ?? pages.indptr, planId) * 4;
    this.imageRing.submit(slot, used, stream, this.image, 0);
    return uploaded + used;
  }

  /**
   * Lets native code write a plan of the pages that were sent last, and enqueues its copy.
   * @returns what that took; undefined where the plan has to come from `upload`, with whatever error that has, and nothing is
   * enqueued then
   */
  uploadFrom(
    planner: HostPlanner,
    policy: Policy,
    kvLens: Int32Array,
    planId: number,
    stream: Stream,
  ): SentPlan | undefined {
    stream.requireEager('staging.submit', this.device);
    const slot = this.pageList && this.imageRing.tryAcquire();
    if (!slot || !this.pageList) return undefined;
    const words = planner.write(policy, kvLens, this.pageList.sentRanges, this.imageIn(slot), planId);
    if (words === undefined) {
      this.imageRing.release(slot);
      return undefined;
    }
    const writtenMs = performance.now();
    this.imageRing.submit(slot, words * 4, stream, this.image, 0);
    return { writtenMs, uploadedBytes: words * 4 };
  }

  private imageIn(slot: StagingSlot): Int32Array {
    this.images[slot.index] ??= new Int32Array(slot.bytes.buffer, slot.bytes.byteOffset, this.layout.totalWords);
    return this.images[slot.index];
  }

  /** Resolves when a staging slot of each ring is free. */
  async ready(): Promise<void> {
    await this.imageRing.ready();
    await this.pageList?.ready();
  }

  dispose(): void {
    for (const buffer of this.buffers) buffer.dispose();
    this.imageRing.dispose();
    this.pageList?.dispose();
  }
}
