/** A point in a stream's work: other streams wait for it, JavaScript awaits it, two of them measure time. */
import { WarpbookError } from '../errors';
import type { Handle } from './backend';
import { refuseInCapture } from './capture-guards';
import type { CaptureSession } from './capture-session';
import type { Device } from './device';
import type { DeviceState } from './state';

/** Where an event was recorded in a capture. */
export interface CapturedRecord {
  readonly session: CaptureSession;
  /** The nodes that a waiter comes after. */
  readonly nodes: readonly number[];
}

/** Made by `device.createEvent()` or `stream.record()`. Recording it again replaces the earlier record. */
export class Event {
  readonly device: Device;
  /** @internal */
  readonly handle: Handle;
  /** @internal What it was last recorded in. */
  latest: 'nothing' | 'stream' | CapturedRecord = 'nothing';
  private readonly state: DeviceState;
  private isDisposed = false;

  /** @internal */
  constructor(device: Device, state: DeviceState) {
    this.device = device;
    this.state = state;
    this.handle = state.newHandle();
    state.backend.createEvent(this.handle);
    state.releaseWhenCollected(this, 'event', this.handle);
  }

  /** Resolves when the latest record has been reached. Throws `INVALID_ARGUMENT` if it was never recorded. */
  async synchronize(): Promise<void> {
    this.requireRecord('event.synchronize');
    await this.state.watch(this.state.backend.eventTime(this.handle));
  }

  /** Nanoseconds from the latest record of `start`, an event of the same device, to this one's; waits for both. */
  async elapsedSinceNs(start: Event): Promise<number> {
    if (start.device !== this.device) {
      throw new WarpbookError(
        'DEVICE_MISMATCH',
        `Got event.elapsedSinceNs() between events of devices '${start.device.name}' and '${this.device.name}'; wanted ` +
          'two of the same device, whose clock they share.',
      );
    }
    start.requireRecord('event.elapsedSinceNs');
    this.requireRecord('event.elapsedSinceNs');
    const times = [start, this].map(({ handle }) => this.state.watch(this.state.backend.eventTime(handle)));
    const [from, to] = await Promise.all(times);
    return to - from;
  }

  dispose(): void {
    if (this.isDisposed || this.state.disposed) return;
    this.isDisposed = true;
    this.state.releasedByOwner(this);
    this.state.backend.destroyEvent(this.handle);
  }

  [Symbol.dispose](): void {
    this.dispose();
  }

  /** @internal */
  requireUsable(): void {
    this.state.requireUsable();
    if (this.isDisposed)
      throw new WarpbookError('DISPOSED', 'Got a use of an event after its dispose(); make another one.');
  }

  private requireRecord(call: 'event.synchronize' | 'event.elapsedSinceNs'): void {
    this.requireUsable();
    if (this.latest === 'nothing') {
      throw new WarpbookError(
        'INVALID_ARGUMENT',
        `Got ${call}() of an event that was never recorded; call stream.record(event) first.`,
      );
    }
    if (this.latest !== 'stream') refuseInCapture(call, 'for an event that was recorded in a capture');
  }
}
