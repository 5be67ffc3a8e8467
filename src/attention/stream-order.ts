/**
 * Orders a wrapper's plans, runs and replays among streams. They share one workspace, so work on one stream has to wait
 * for the work before it on another. On the same stream, the usual case, it costs nothing.
 */
import type { Device } from '../device/device';
import type { Event } from '../device/event';
import type { Stream } from '../device/stream';
import { WarpbookError } from '../errors';

export class StreamOrder {
  private readonly device: Device;
  /** At first the device's own: there the workspace was cleared. */
  private last: Stream;
  /** Behind the last work on a stream other than the device's own, which may be disposed before the next comes. */
  private event: Event | undefined;

  constructor(device: Device) {
    this.device = device;
    this.last = device.stream;
  }

  /** The stream that was worked on last; before that the device's own. */
  get stream(): Stream {
    return this.last.disposed ? this.device.stream : this.last;
  }

  /**
   * To be called before work is enqueued on `stream`.
   * @throws WarpbookError CAPTURE_FORBIDDEN where the work before it lies on a stream that is being captured
   */
  enter(stream: Stream): void {
    const { last, device } = this;
    if (last === stream) return;
    if (last === device.stream) {
      if (last.capturing) {
        throw new WarpbookError(
          'CAPTURE_FORBIDDEN',
          `Got work on stream '${stream.label}' while '${last.label}', where this wrapper worked before, is being captured; ` +
            'use the wrapper on one stream, or enqueue before the capture.',
        );
      }
      this.event = last.record(this.event);
    }
    if (this.event) stream.wait(this.event);
  }

  /** To be called after work was enqueued on `stream`. */
  leave(stream: Stream): void {
    this.last = stream;
    if (stream !== this.device.stream) this.event = stream.record(this.event);
  }

  dispose(): void {
    this.event?.dispose();
  }
}
