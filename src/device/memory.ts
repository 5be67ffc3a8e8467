/** The byte budget of one device: who holds how much. Counts what the caller's side has asked for; frees nothing. */
import { WarpbookError } from '../errors';
import { formatBytes } from '../units';
import type { Handle } from './backend';

/** Bytes held under one label. */
export interface MemoryOwner {
  readonly label: string;
  readonly bytes: number;
  readonly buffers: number;
}

/** What `device.memory()` answers; all sizes in bytes. */
export interface MemoryReport {
  readonly limitBytes: number;
  readonly usedBytes: number;
  readonly peakBytes: number;
  readonly liveBuffers: number;
  /** Buffers that were garbage-collected without dispose() since the device was opened: each is a bug. */
  readonly collectedBuffers: number;
  /** Largest first. */
  readonly owners: readonly MemoryOwner[];
}

/** One live allocation, for leak reports. */
export interface AllocationRecord {
  readonly label: string;
  readonly byteLength: number;
  /** Stack of the allocation; only with WARPBOOK_TRACE_ALLOCATIONS=1 in the environment. */
  readonly site?: string;
}

const MAX_OWNERS_IN_MESSAGE = 5;

/** See the file head. */
export class MemoryAccount {
  private readonly live = new Map<Handle, AllocationRecord>();
  private usedBytes = 0;
  private peakBytes = 0;
  private collectedBuffers = 0;

  constructor(
    private readonly deviceName: string,
    private readonly limitBytes: number,
  ) {}

  /** Throws `OUT_OF_MEMORY` unless `byteLength` more fits into the limit. */
  requireRoom(byteLength: number, label: string): void {
    const freeBytes = this.limitBytes - this.usedBytes;
    if (byteLength <= freeBytes) return;
    const { owners, text } = this.largestOwners();
    throw new WarpbookError(
      'OUT_OF_MEMORY',
      `Got an allocation of ${formatBytes(byteLength)} for '${label}' on device '${this.deviceName}'; wanted at most ` +
        `${formatBytes(freeBytes)}, which is free of a limit of ${formatBytes(this.limitBytes)}. ` +
        `${text}. ` +
        'Dispose buffers, or open the device with a larger memoryLimitBytes.',
      { askedBytes: byteLength, freeBytes, limitBytes: this.limitBytes, owners },
    );
  }

  /** What the backend answered to an allocation that the limit allowed: with the largest owners if it has no room. */
  explain(error: unknown, byteLength: number, label: string): unknown {
    if (!(error instanceof WarpbookError) || error.code !== 'OUT_OF_MEMORY') return error;
    const { owners, text } = this.largestOwners();
    const details = { askedBytes: byteLength, limitBytes: this.limitBytes, owners };
    return new WarpbookError('OUT_OF_MEMORY', `For '${label}': ${error.message} ${text}.`, details, { cause: error });
  }

  private largestOwners(): { owners: readonly MemoryOwner[]; text: string } {
    const owners = this.report().owners.slice(0, MAX_OWNERS_IN_MESSAGE);
    const held = owners.map(({ label, bytes, buffers }) => `'${label}' ${formatBytes(bytes)} in ${buffers}`).join(', ');
    return { owners, text: owners.length === 0 ? 'Nothing else is allocated' : `Largest owners: ${held}` };
  }

  add(handle: Handle, byteLength: number, label: string): void {
    const site = process.env.WARPBOOK_TRACE_ALLOCATIONS === '1' ? allocationSite() : undefined;
    this.live.set(handle, site === undefined ? { label, byteLength } : { label, byteLength, site });
    this.usedBytes += byteLength;
    this.peakBytes = Math.max(this.peakBytes, this.usedBytes);
  }

  remove(handle: Handle, collected: boolean): void {
    const record = this.live.get(handle);
    if (!record) return;
    this.live.delete(handle);
    this.usedBytes -= record.byteLength;
    if (collected) this.collectedBuffers++;
  }

  report(): MemoryReport {
    const owners = new Map<string, { label: string; bytes: number; buffers: number }>();
    for (const { label, byteLength } of this.live.values()) {
      const owner = owners.get(label) ?? { label, bytes: 0, buffers: 0 };
      owner.bytes += byteLength;
      owner.buffers++;
      owners.set(label, owner);
    }
    return {
      limitBytes: this.limitBytes,
      usedBytes: this.usedBytes,
      peakBytes: this.peakBytes,
      liveBuffers: this.live.size,
      collectedBuffers: this.collectedBuffers,
      owners: [...owners.values()].sort((a, b) => b.bytes - a.bytes || (a.label < b.label ? -1 : 1)),
    };
  }

  allocations(): readonly AllocationRecord[] {
    return [...this.live.values()];
  }
}

/** The stack without the frames of this file and of the device layer's own allocate(). */
function allocationSite(): string {
  const frames = (new Error().stack ?? '').split('\n').slice(1);
  const first = frames.findIndex((frame) => !/[\\/]device[\\/](memory|device)\.[jt]s/.test(frame));
  return frames
    .slice(Math.max(first, 0))
    .map((frame) => frame.trim())
    .join('\n');
}
