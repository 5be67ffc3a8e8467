/** Bytes on a device. Knows no dtypes and no shapes; ordering is the stream's business. */
import { requireInteger, WarpbookError } from '../errors';
import type { Handle } from './backend';
import type { Device } from './device';
import type { Address } from './params';
import type { DeviceState } from './state';
import type { Stream } from './stream';

/** Options of calls that touch a range of a buffer. */
export interface RangeOptions {
  /** Default 0. */
  byteOffset?: number;
  /** Default: up to the buffer's end. */
  byteLength?: number;
  /** The stream that orders the call; default: the device's own. */
  stream?: Stream;
}

/**
 * An allocation on a device, made by `device.allocate()`. It lives until `dispose()`; every other use after that
 * throws `DISPOSED`.
 */
export class Buffer {
  readonly device: Device;
  readonly byteLength: number;
  /** Who owns it, as named in memory reports and errors. */
  readonly label: string;
  /** What stands for it behind the seam. */
  readonly handle: Handle;
  private readonly state: DeviceState;
  private isDisposed = false;

  /** @internal */
  constructor(device: Device, state: DeviceState, handle: Handle, byteLength: number, label: string) {
    this.device = device;
    this.state = state;
    this.handle = handle;
    this.byteLength = byteLength;
    this.label = label;
    state.releaseWhenCollected(this, 'buffer', handle);
  }

  get disposed(): boolean {
    return this.isDisposed || this.state.disposed;
  }

  /**
   * Enqueues a write of host bytes at `byteOffset` (default 0); they are copied at once. Throws `INVALID_ARGUMENT`
   * for a range outside of the buffer, `CAPTURE_FORBIDDEN` while the stream is being captured.
   */
  write(bytes: Uint8Array, options: { byteOffset?: number; stream?: Stream } = {}): void {
    const { byteOffset = 0, stream = this.device.stream } = options;
    this.requireUsable('write');
    this.requireRange('write', byteOffset, bytes.byteLength);
    stream.requireEager('buffer.write', this.device);
    this.state.backend.write(stream.handle, this.handle, byteOffset, bytes);
    stream.countOperation();
  }

  /** Resolves with a copy of the bytes as they are after everything enqueued on the stream so far. */
  async read(options: RangeOptions = {}): Promise<Uint8Array> {
    const { byteOffset = 0, byteLength = this.byteLength - byteOffset, stream = this.device.stream } = options;
    this.requireUsable('read');
    this.requireRange('read', byteOffset, byteLength);
    stream.requireEager('buffer.read', this.device);
    const read = this.state.backend.read(stream.handle, this.handle, byteOffset, byteLength);
    const operation = stream.countOperation();
    const bytes = await this.state.watch(read);
    stream.noteCompleted(operation);
    return bytes;
  }

  /** Enqueues a fill with a repeated pattern of 1, 2, 4 or 8 bytes, which must divide the range's length. */
  fill(pattern: Uint8Array, options: RangeOptions = {}): void {
    const { byteOffset = 0, byteLength = this.byteLength - byteOffset, stream = this.device.stream } = options;
    this.requireUsable('fill');
    this.requireRange('fill', byteOffset, byteLength);
    if (![1, 2, 4, 8].includes(pattern.byteLength) || byteLength % pattern.byteLength !== 0) {
      throw new WarpbookError(
        'INVALID_ARGUMENT',
        `Got a fill of ${byteLength} bytes of buffer '${this.label}' with a pattern of ${pattern.byteLength} bytes; ` +
          'wanted a pattern of 1, 2, 4 or 8 bytes that divides the length.',
      );
    }
    stream.requireWorkable('fill', this.device);
    this.state.backend.fill(stream.handle, this.handle, byteOffset, byteLength, pattern);
    stream.addWork([this]);
  }

  /**
   * Enqueues a copy of `byteLength` bytes (default: the rest of the source) from `sourceOffset` of `source` to
   * `byteOffset`. Both buffers must be of this device.
   */
  copyFrom(source: Buffer, options: RangeOptions & { sourceOffset?: number } = {}): void {
    const { byteOffset = 0, sourceOffset = 0, stream = this.device.stream } = options;
    const byteLength = options.byteLength ?? source.byteLength - sourceOffset;
    this.requireUsable('copyFrom');
    source.requireUsable('copyFrom');
    source.requireDevice(this.device, 'copyFrom');
    this.requireRange('copyFrom', byteOffset, byteLength);
    source.requireRange('copyFrom', sourceOffset, byteLength);
    stream.requireWorkable('copyFrom', this.device);
    this.state.backend.copy(stream.handle, this.handle, byteOffset, source.handle, sourceOffset, byteLength);
    stream.addWork([this, source]);
  }

  /** Where a launch's `address` parameter points: `byteOffset` bytes into the buffer; its end is legal. */
  address(byteOffset = 0): Address {
    this.requireUsable('address');
    this.requireRange('address', byteOffset, 0);
    return { handle: this.handle, byteOffset };
  }

  /**
   * Gives the memory back after everything enqueued so far has finished. Idempotent. Graphs that point to the buffer
   * are stale from here on.
   */
  dispose(): void {
    if (this.disposed) return;
    this.isDisposed = true;
    this.state.releasedByOwner(this);
    this.state.account.remove(this.handle, false);
    this.state.numDisposals++;
    this.state.backend.free(this.handle);
  }

  [Symbol.dispose](): void {
    this.dispose();
  }

  /** @internal Throws unless the buffer and its device can be used. */
  requireUsable(call: string): void {
    if (this.isDisposed) {
      throw new WarpbookError(
        'DISPOSED',
        `Got ${call} of buffer '${this.label}' after its dispose(); allocate a new one.`,
        {
          label: this.label,
        },
      );
    }
    this.state.requireUsable();
  }

  /** @internal */
  requireDevice(device: Device, call: string): void {
    if (this.device === device) return;
    throw new WarpbookError(
      'DEVICE_MISMATCH',
      `Got buffer '${this.label}' of device '${this.device.name}' in ${call} on device '${device.name}'; wanted a buffer ` +
        'of that device. Copy it through the host with read() and write().',
    );
  }

  private requireRange(call: string, byteOffset: number, byteLength: number): void {
    requireInteger('byteOffset', byteOffset, 0);
    if (Number.isInteger(byteLength) && byteLength >= 0 && byteOffset + byteLength <= this.byteLength) return;
    throw new WarpbookError(
      'INVALID_ARGUMENT',
      `Got ${call} of bytes [${byteOffset}, ${byteOffset + byteLength}) of buffer '${this.label}'; wanted a range within ` +
        `its ${this.byteLength} bytes.`,
      { byteOffset, byteLength, bufferByteLength: this.byteLength },
    );
  }
}
