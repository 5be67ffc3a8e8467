/**
 * A wrapper's device memory: the workspace image, the page list, partial states, merge counters and the trace, and the
 * staging through which plans reach them.
 *
 * `upload` never allocates and never waits: it packs into a free slot of the staging ring and enqueues copies; the ring
 * throws PLAN_QUEUE_FULL when the device has not caught up. All buffers keep their place for life, so captured launches
 * stay right.
 */
import type { Buffer } from '../device/buffer';
import type { Device } from '../device/device';
import { StagingRing } from '../device/staging';
import type { Stream } from '../device/stream';
import { type WorkspaceLayout, workspaceLayout } from '../schedule/layout';
import { checkCapacity, packSchedule } from '../schedule/pack';
import type { Schedule } from '../schedule/schedule';
import { TRACE_RECORD_WORDS } from '../timeline/trace-record';
import type { WrapperCapacity } from './capacity';

/** Plans that may be in flight. */
const STAGING_SLOTS = 8;
/** Queue heads after the merge counters. */
const QUEUE_COUNTERS = 4;

export class Workspace {
  readonly layout: WorkspaceLayout;
  readonly image: Buffer;
  /** int32 [maxPages]; undefined where K and V are ragged. */
  readonly kvIndices: Buffer | undefined;
  readonly partialO: Buffer;
  readonly partialLse: Buffer;
  readonly counters: Buffer;
  /** Undefined where the wrapper isn't traced. */
  readonly trace: Buffer | undefined;
  private readonly device: Device;
  private readonly imageRing: StagingRing;
  private readonly pageRing: StagingRing | undefined;
  /** What the device's page list holds. */
  private readonly pageShadow: Int32Array;
  private pageShadowLength = 0;

  constructor(
    device: Device,
    capacity: WrapperCapacity,
    headDim: number,
    options: { paged: boolean; trace: boolean; label: string },
  ) {
    this.device = device;
    this.layout = workspaceLayout(capacity);
    const made: { dispose(): void }[] = [];
    const keep = <T extends { dispose(): void }>(resource: T): T => {
      made.push(resource);
      return resource;
    };
    const buffer = (bytes: number, what: string): Buffer =>
      keep(device.allocate(Math.max(bytes, 16), { label: `${options.label} ${what}` }));
    try {
      this.image = buffer(this.layout.totalWords * 4, 'workspace');
      this.kvIndices = options.paged ? buffer(capacity.maxPages * 4, 'page list') : undefined;
      this.partialO = buffer(capacity.maxPartialRows * headDim * 4, 'partial output');
      this.partialLse = buffer(capacity.maxPartialRows * 4, 'partial LSE');
      this.counters = buffer((capacity.maxMergeGroups + QUEUE_COUNTERS) * 4, 'merge counters');
      this.trace = options.trace
        ? buffer((capacity.maxTiles + capacity.maxMergeGroups) * TRACE_RECORD_WORDS * 4, 'trace')
        : undefined;
      this.imageRing = keep(new StagingRing(device, this.layout.totalWords * 4, STAGING_SLOTS));
      this.pageRing = options.paged
        ? keep(new StagingRing(device, Math.max(capacity.maxPages * 4, 16), STAGING_SLOTS))
        : undefined;
    } catch (error) {
      for (const resource of made) resource.dispose();
      throw error;
    }
    this.pageShadow = new Int32Array(options.paged ? capacity.maxPages : 0);
    const zero = new Uint8Array(4);
    for (const target of [this.image, this.counters, this.trace]) target?.fill(zero);
    // What the CUDA kernels take for a state that nobody has written yet, and leave behind.
    const unwritten = new Uint8Array(4).fill(0xff);
    for (const target of [this.partialO, this.partialLse]) target.fill(unwritten);
  }

  /** Everything a launch points to. */
  get buffers(): Buffer[] {
    return [this.image, this.kvIndices, this.partialO, this.partialLse, this.counters, this.trace].filter(
      (b) => b !== undefined,
    );
  }

  /**
   * Packs a schedule and enqueues its copy; sends what changed of the page list.
   * @returns bytes of the copies
   * @throws WarpbookError CAPACITY_EXCEEDED or PLAN_QUEUE_FULL; the device's plan is as before then
   */
  upload(schedule: Schedule, pageStarts: ArrayLike<number>, pages: Int32Array, planId: number, stream: Stream): number {
    checkCapacity(schedule, this.layout.capacity);
    stream.requireEager('staging.submit', this.device);
    const slot = this.imageRing.acquire();
    let uploaded = 0;
    try {
      uploaded = this.uploadPages(pages, stream);
    } catch (error) {
      this.imageRing.release(slot);
      throw error;
    }
    const image = new Int32Array(slot.bytes.buffer, slot.bytes.byteOffset, this.layout.totalWords);
    const used = packSchedule(schedule, this.layout, image, pageStarts, planId) * 4;
    this.imageRing.submit(slot, used, stream, this.image, 0);
    return uploaded + used;
  }

  /** Sends the range of the page list that differs from what the device holds. */
  private uploadPages(pages: Int32Array, stream: Stream): number {
    if (!this.pageRing || !this.kvIndices) return 0;
    const shadow = this.pageShadow;
    let start = 0;
    const known = Math.min(pages.length, this.pageShadowLength);
    while (start < known && shadow[start] === pages[start]) start++;
    let end = pages.length;
    if (end <= this.pageShadowLength) while (end > start && shadow[end - 1] === pages[end - 1]) end--;
    if (end <= start) return 0;
    const slot = this.pageRing.acquire();
    new Int32Array(slot.bytes.buffer, slot.bytes.byteOffset, end - start).set(pages.subarray(start, end));
    this.pageRing.submit(slot, (end - start) * 4, stream, this.kvIndices, start * 4);
    shadow.set(pages.subarray(start, end), start);
    this.pageShadowLength = Math.max(this.pageShadowLength, pages.length);
    return (end - start) * 4;
  }

  /** Resolves when a staging slot of each ring is free. */
  async ready(): Promise<void> {
    await this.imageRing.ready();
    await this.pageRing?.ready();
  }

  dispose(): void {
    for (const buffer of this.buffers) buffer.dispose();
    this.imageRing.dispose();
    this.pageRing?.dispose();
  }
}
