/**
 * What a device's buffers, streams and events share: the backend, handles, the budget, captures in progress and the
 * sticky failure. Internal to `src/device` and `src/graph`.
 */
import { WarpbookError } from '../errors';
import type { Backend, Handle } from './backend';
import { type GuardedCall, refuseInCapture } from './capture-guards';
import type { CaptureSession } from './capture-session';
import { MemoryAccount } from './memory';

type CollectableKind = 'buffer' | 'stream' | 'event' | 'graph' | 'exec' | 'staging';

interface Collectable {
  readonly kind: CollectableKind;
  readonly handle: Handle;
}

/** See the file head. */
export class DeviceState {
  readonly captures: Set<CaptureSession> = new Set();
  /** Handles of the streams that take work. */
  readonly streams: Set<Handle> = new Set();
  readonly account: MemoryAccount;
  disposed = false;
  /** Grows with every disposed buffer, so that replays look at their buffers only when something has changed. */
  numDisposals = 0;
  private failure: WarpbookError | undefined;
  private lastHandle: Handle = 0;
  private readonly registry: FinalizationRegistry<Collectable>;

  constructor(
    readonly backend: Backend,
    readonly name: string,
    limitBytes: number,
  ) {
    this.account = new MemoryAccount(name, limitBytes);
    this.registry = new FinalizationRegistry((held) => this.collect(held));
  }

  newHandle(): Handle {
    return ++this.lastHandle;
  }

  /** Throws where the device can take no more work: disposed, or failed as far as this side knows. */
  requireUsable(): void {
    if (this.disposed) {
      throw new WarpbookError('DISPOSED', `Device '${this.name}' has been disposed; open another one.`);
    }
    if (this.failure) throw new WarpbookError('DEVICE_LOST', this.failure.message, {}, { cause: this.failure });
  }

  /** Throws `CAPTURE_FORBIDDEN` while any stream of the device is being captured. */
  requireNoCapture(call: GuardedCall): void {
    for (const session of this.captures)
      refuseInCapture(call, `while stream '${session.origin.label}' is being captured`, session);
  }

  /** Passes a wait on, and remembers a sticky failure so that later calls throw at once. */
  async watch<T>(wait: Promise<T>): Promise<T> {
    try {
      return await wait;
    } catch (error) {
      if (error instanceof WarpbookError && error.code === 'DEVICE_LOST') this.failure ??= error;
      throw error;
    }
  }

  /**
   * Releases what `handle` stands for when `owner` is garbage-collected without having been disposed: a safety net,
   * since memory must never wait for the collector. Buffers caught by it are counted in the memory report.
   */
  releaseWhenCollected(owner: object, kind: CollectableKind, handle: Handle): void {
    this.registry.register(owner, { kind, handle }, owner);
  }

  /** The owner disposes itself. */
  releasedByOwner(owner: object): void {
    this.registry.unregister(owner);
  }

  private collect({ kind, handle }: Collectable): void {
    if (this.disposed) return;
    if (kind === 'buffer') {
      this.account.remove(handle, true);
      this.backend.free(handle);
    } else if (kind === 'stream') {
      this.streams.delete(handle);
      this.backend.destroyStream(handle);
    } else if (kind === 'event') this.backend.destroyEvent(handle);
    else if (kind === 'graph') this.backend.destroyGraph(handle);
    else if (kind === 'exec') this.backend.destroyExec(handle);
    else this.backend.destroyStaging(handle);
  }
}
