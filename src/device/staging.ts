/**
 * A ring of staging slots: host memory that plans are packed into and that the device reads in its own time. A slot
 * is handed out again only when the copy from it has finished.
 *
 * Whoever waits for the stream now and then has told so already. Only where slots become scarce does an event of its own stand
 * behind a copy, for `ready()` to wait for: recording it takes the host about as long as a small plan.
 */
import { requireInteger, WarpbookError } from '../errors';
import { formatBytes, roundUp } from '../units';
import type { Handle } from './backend';
import type { Buffer } from './buffer';
import type { Device } from './device';
import type { Event } from './event';
import type { Stream } from './stream';

const SLOT_ALIGNMENT = 64;

/** One slot, handed out by {@link StagingRing.acquire}; to be given back by `submit` or `release`. */
export interface StagingSlot {
  readonly index: number;
  /** Its memory; the content is whatever was there before. */
  readonly bytes: Uint8Array;
}

interface SlotState {
  readonly slot: StagingSlot;
  readonly event: Event;
  /** Whether the event was recorded behind the copy. */
  marked: boolean;
  status: 'free' | 'acquired' | 'submitted';
  /** Stream and number of the operation behind which the slot is free again. */
  stream: Stream | undefined;
  operation: number;
}

/** Allocates in its constructor only, and never waits but in `ready()`. */
export class StagingRing {
  readonly slotBytes: number;
  private readonly stride: number;
  private readonly handle: Handle;
  private readonly states: readonly SlotState[];
  private next = 0;
  private isDisposed = false;

  /** `slotBytes` each, for `slots` plans in flight. */
  constructor(
    private readonly device: Device,
    slotBytes: number,
    slots = 4,
  ) {
    requireInteger('slotBytes', slotBytes, 1);
    requireInteger('slots', slots, 1, 1024);
    this.slotBytes = slotBytes;
    this.stride = roundUp(slotBytes, SLOT_ALIGNMENT);
    const { state } = device;
    state.requireUsable();
    this.handle = state.newHandle();
    const memory = state.backend.createStaging(this.handle, this.stride * slots);
    state.releaseWhenCollected(this, 'staging', this.handle);
    this.states = Array.from({ length: slots }, (_, index) => ({
      slot: { index, bytes: memory.subarray(index * this.stride, index * this.stride + slotBytes) },
      event: device.createEvent(),
      marked: false,
      status: 'free',
      stream: undefined,
      operation: 0,
    }));
  }

  /** A slot that nothing reads any more. Throws `PLAN_QUEUE_FULL` where there is none: await {@link ready} then. */
  acquire(): StagingSlot {
    const slot = this.tryAcquire();
    if (!slot) {
      throw new WarpbookError(
        'PLAN_QUEUE_FULL',
        `Got a plan while all ${this.states.length} staging slots are still being read; wanted a free one. ` +
          'Await ready() first (of the plan or its wrapper), then plan again.',
        { slots: this.states.length },
      );
    }
    return slot;
  }

  /** As {@link acquire}, but undefined where no slot is free. */
  tryAcquire(): StagingSlot | undefined {
    this.requireUsable('acquire');
    const free = this.findFree();
    if (!free) return undefined;
    free.status = 'acquired';
    free.stream = undefined;
    return free.slot;
  }

  /**
   * Enqueues the copy of the slot's first `usedBytes` to `byteOffset` of `buffer`; the slot is free again when it has
   * finished. Throws `CAPTURE_FORBIDDEN` while the stream is being captured.
   */
  submit(slot: StagingSlot, usedBytes: number, stream: Stream, buffer: Buffer, byteOffset = 0): void {
    this.requireUsable('submit');
    const state = this.acquired(slot, 'submit');
    requireInteger('usedBytes', usedBytes, 0, this.slotBytes);
    requireInteger('byteOffset', byteOffset, 0, Math.max(0, buffer.byteLength - usedBytes));
    buffer.requireUsable('staging.submit');
    buffer.requireDevice(this.device, 'staging.submit');
    stream.requireEager('staging.submit', this.device);
    const { backend } = this.device.state;
    const stagingOffset = slot.index * this.stride;
    backend.writeFromStaging(stream.handle, buffer.handle, byteOffset, this.handle, stagingOffset, usedBytes);
    state.operation = stream.countOperation();
    state.stream = stream;
    state.status = 'submitted';
    state.marked = !this.hasKnownFree(this.states.length / 2);
    if (state.marked) stream.record(state.event);
  }

  /** Gives an acquired slot back unused. */
  release(slot: StagingSlot): void {
    this.acquired(slot, 'release').status = 'free';
  }

  /** Resolves when a slot is free. */
  async ready(): Promise<void> {
    this.requireUsable('ready');
    if (this.states.some((state) => isFree(state))) return;
    const submitted = this.states.filter(({ status }) => status === 'submitted');
    if (submitted.length === 0) {
      throw new WarpbookError(
        'INVALID_ARGUMENT',
        `Got ready() of a ring whose ${this.states.length} slots are all acquired and none submitted; submit or release one.`,
      );
    }
    const marked = submitted.filter((state) => state.marked);
    // None where slots were acquired after the copies.
    if (marked.length === 0) marked.push(mark(submitted[0]));
    await Promise.race(
      marked.map(async (state) => {
        const { stream, operation } = state;
        await state.event.synchronize();
        for (const each of this.states) {
          if (each.status === 'submitted' && each.stream === stream && each.operation <= operation)
            each.status = 'free';
        }
      }),
    );
  }

  /** Frees the memory when nothing reads it any more; every slot's `bytes` become empty at once. Idempotent. */
  dispose(): void {
    if (this.isDisposed || this.device.disposed) return;
    this.isDisposed = true;
    this.device.state.releasedByOwner(this);
    for (const { event } of this.states) event.dispose();
    this.device.state.backend.destroyStaging(this.handle);
  }

  [Symbol.dispose](): void {
    this.dispose();
  }

  /**
   * Of those that are known to be free the one that was handed out last, whose memory is still in the nearest cache; otherwise
   * the one that was handed out longest ago, if it is free: asking how far a stream has come is a call of the driver's.
   */
  private findFree(): SlotState | undefined {
    const { states, next } = this;
    const { length } = states;
    let found = findLast(states, next, isKnownFree);
    for (let i = 0; i < length && !found; i++) {
      const state = states[(next + i) % length];
      if (isFree(state)) found = state;
    }
    if (found) this.next = (found.slot.index + 1) % length;
    return found;
  }

  private hasKnownFree(wanted: number): boolean {
    let count = 0;
    for (let i = 0; i < this.states.length && count < wanted; i++) if (isKnownFree(this.states[i])) count++;
    return count >= wanted;
  }

  private acquired(slot: StagingSlot, call: string): SlotState {
    const state = this.states[slot.index];
    if (state?.slot === slot && state.status === 'acquired') return state;
    throw new WarpbookError(
      'INVALID_ARGUMENT',
      `Got staging.${call}() of a slot that is not acquired; wanted one from acquire(), once.`,
    );
  }

  private requireUsable(call: string): void {
    this.device.state.requireUsable();
    if (!this.isDisposed) return;
    throw new WarpbookError(
      'DISPOSED',
      `Got ${call} of a staging ring of ${formatBytes(this.slotBytes)} slots after its dispose(); make another one.`,
    );
  }
}

/** Records the event of a slot that is being read, behind all that its stream has by now. */
function mark(state: SlotState): SlotState {
  state.stream?.record(state.event);
  state.marked = true;
  return state;
}

/** The last before `end`, going round, for which `test` holds. */
function findLast<T>(items: readonly T[], end: number, test: (item: T) => boolean): T | undefined {
  for (let i = 1; i <= items.length; i++) {
    const item = items[(end + items.length - i) % items.length];
    if (test(item)) return item;
  }
  return undefined;
}

function isKnownFree({ status, stream, operation }: SlotState): boolean {
  return status === 'free' || (status === 'submitted' && stream?.isKnownCompleted(operation) === true);
}

function isFree(state: SlotState): boolean {
  if (state.status === 'submitted' && state.stream?.hasCompleted(state.operation)) state.status = 'free';
  return state.status === 'free';
}
