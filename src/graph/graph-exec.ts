/** An executable graph: replayed as one operation, its kernel nodes updatable. Refuses to replay what has gone stale. */
import type { Handle } from '../device/backend';
import type { Buffer } from '../device/buffer';
import type { CapturedNode, CaptureGuard } from '../device/capture-session';
import type { Device } from '../device/device';
import { type Launch, type Stream, toDescription } from '../device/stream';
import { requireInteger, WarpbookError } from '../errors';
import { findDifference } from './compare-nodes';
import type { Graph } from './graph';

/** What an instance of a graph takes, bytes. */
export interface GraphMemory {
  /**
   * Its own memory: on a GPU what free memory shrank by when it was made (in steps of the driver's, often 2 MiB or nothing;
   * what other processes took at that moment counts too), on the CPU device its list of nodes.
   */
  readonly ownBytes: number;
  /** Of the buffers that it points to, each counted once. */
  readonly bufferBytes: number;
  readonly numBuffers: number;
}

/** Made by `Graph.instantiate()`. */
export class GraphExec {
  readonly device: Device;
  /** What each node points to, by index; updates replace an entry. */
  private nodeBuffers: (readonly Buffer[])[];
  /** Disposals on the device up to which no buffer of ours is gone. */
  private checkedDisposals = -1;
  private isDisposed = false;

  /** @internal */
  constructor(
    device: Device,
    private readonly handle: Handle,
    private captured: readonly CapturedNode[],
    private guards: readonly CaptureGuard[],
  ) {
    this.device = device;
    this.nodeBuffers = captured.map(({ buffers }) => buffers);
    device.state.releaseWhenCollected(this, 'exec', handle);
  }

  get disposed(): boolean {
    return this.isDisposed || this.device.disposed;
  }

  /**
   * Enqueues all nodes, in an order that respects the edges, as one operation of `stream` (default: the device's
   * own). Throws `GRAPH_STALE` where a buffer that the graph points to has been disposed or a guard objects.
   */
  replay(stream: Stream = this.device.stream): void {
    this.requireUsable('replay');
    stream.requireEager('exec.replay', this.device);
    this.requireBuffers();
    for (const guard of this.guards) {
      const reason = guard.check();
      if (reason !== undefined) throw new WarpbookError('GRAPH_STALE', reason);
    }
    for (const guard of this.guards) guard.beforeReplay?.(stream);
    this.device.state.backend.replay(this.handle, stream.handle);
    stream.countOperation();
    for (const guard of this.guards) guard.afterReplay?.(stream);
  }

  /**
   * Replaces grid, parameters and addresses of one kernel node, from the next replay on; `launch` is checked as
   * `stream.launch()` checks it. Throws `INVALID_ARGUMENT` unless the node is a launch of the same program.
   */
  updateNode(index: number, launch: Launch): void {
    this.requireUsable('updateNode');
    requireInteger('node index', index, 0, this.captured.length - 1);
    const { program, children, what } = this.captured[index];
    if (program !== launch.program) {
      throw new WarpbookError(
        'INVALID_ARGUMENT',
        `Got an update of node ${index} to '${launch.program}'; wanted ` +
          `${program === undefined ? `a kernel node: this one is a ${children ? (what ?? 'child graph') : 'copy or a fill'}` : `'${program}', as captured`}.`,
      );
    }
    this.device.stream.checkLaunch(launch);
    this.device.state.backend.updateNode(this.handle, index, toDescription(launch));
    this.nodeBuffers[index] = launch.buffers;
    this.checkedDisposals = -1;
  }

  /**
   * Replaces what every node does (grids, parameters, addresses, copies, fills, kernels too) by what the nodes of `graph` do,
   * from the next replay on; await it before that. Nodes that are disabled stay so. Cheaper than a new instance; `graph` may be disposed afterwards.
   *
   * Throws `GRAPH_MISMATCH` with the reason where nodes or edges differ, or where the device refuses; nothing has changed then.
   */
  async update(graph: Graph): Promise<void> {
    this.requireUsable('update');
    if (graph.device !== this.device) {
      throw new WarpbookError(
        'DEVICE_MISMATCH',
        `Got update() by a graph of device '${graph.device.name}' for an instance on device '${this.device.name}'; wanted a ` +
          'graph of the same device.',
      );
    }
    const { handle, captured, guards } = graph.contents('update');
    const { state } = this.device;
    const reason =
      findDifference(this.captured, captured) ?? (await state.watch(state.backend.updateExec(this.handle, handle)));
    if (reason !== undefined) {
      throw new WarpbookError(
        'GRAPH_MISMATCH',
        `Got update() by a graph that the instance can't take on: ${reason}. Nothing has changed; instantiate that graph ` +
          'instead.',
        { reason },
      );
    }
    this.captured = captured;
    this.guards = guards;
    this.nodeBuffers = captured.map(({ buffers }) => buffers);
    this.checkedDisposals = -1;
  }

  /**
   * Whether node `index` does its work, from the next replay on; a disabled one is passed over. Throws `INVALID_ARGUMENT` for
   * a child graph, which has no such switch.
   */
  setEnabled(index: number, enabled: boolean): void {
    this.requireUsable('setEnabled');
    requireInteger('node index', index, 0, this.captured.length - 1);
    if (this.captured[index].children) {
      throw new WarpbookError(
        'INVALID_ARGUMENT',
        `Got setEnabled() of node ${index}, a ${this.captured[index].what ?? 'child graph'}; wanted a launch, a copy or a fill.`,
      );
    }
    this.device.state.backend.setNodeEnabled(this.handle, index, enabled);
  }

  /**
   * Enqueues, as one operation of `stream` (default: the device's own), what the first replay after an update would do besides
   * its work. `instantiate()` has done it once. Throws `CAPTURE_FORBIDDEN` while the stream is being captured.
   */
  upload(stream: Stream = this.device.stream): void {
    this.requireUsable('upload');
    stream.requireEager('exec.upload', this.device);
    this.device.state.backend.upload(this.handle, stream.handle);
    stream.countOperation();
  }

  /**
   * Enqueues the writing of what kernels know the instance by, a `cudaGraphExec_t` of 8 bytes; the graph was instantiated with
   * `deviceLaunch`. Throws `UNSUPPORTED` on the CPU device.
   */
  writeHandle(buffer: Buffer, byteOffset: number = 0, stream: Stream = this.device.stream): void {
    this.requireUsable('writeHandle');
    requireHandlePlace(buffer, byteOffset);
    stream.requireEager('buffer.write', buffer.device);
    this.device.state.backend.writeExecHandle(stream.handle, buffer.handle, byteOffset, this.handle);
    stream.countOperation();
  }

  /** What the instance takes; see {@link GraphMemory}. */
  async memory(): Promise<GraphMemory> {
    this.requireUsable('memory');
    const buffers = new Set(this.nodeBuffers.flat());
    const bufferBytes = [...buffers].reduce((sum, { byteLength }) => sum + byteLength, 0);
    const { state } = this.device;
    const ownBytes = await state.watch(state.backend.execBytes(this.handle));
    return { ownBytes, bufferBytes, numBuffers: buffers.size };
  }

  /** Idempotent; replays that are enqueued still run. */
  dispose(): void {
    if (this.disposed) return;
    this.isDisposed = true;
    this.device.state.releasedByOwner(this);
    this.device.state.backend.destroyExec(this.handle);
  }

  [Symbol.dispose](): void {
    this.dispose();
  }

  private requireUsable(call: string): void {
    this.device.state.requireUsable();
    if (this.isDisposed) {
      throw new WarpbookError(
        'DISPOSED',
        `Got ${call} of a graph exec after its dispose(); instantiate the graph again.`,
      );
    }
  }

  private requireBuffers(): void {
    const { numDisposals } = this.device.state;
    if (this.checkedDisposals === numDisposals) return;
    for (const [index, buffers] of this.nodeBuffers.entries()) {
      const gone = buffers.find((buffer) => buffer.disposed);
      if (!gone) continue;
      throw new WarpbookError(
        'GRAPH_STALE',
        `Got a replay of a graph whose node ${index} points to buffer '${gone.label}', which has been disposed; keep it ` +
          'alive as long as the graph is replayed, or capture again.',
        { label: gone.label, node: index },
      );
    }
    this.checkedDisposals = numDisposals;
  }
}

const HANDLE_BYTES = 8;

/** Throws `INVALID_ARGUMENT` unless a handle fits there. */
export function requireHandlePlace(buffer: Buffer, byteOffset: number): void {
  buffer.requireUsable('writeHandle');
  requireInteger('writeHandle: byteOffset', byteOffset, 0, buffer.byteLength - HANDLE_BYTES);
  if (byteOffset % HANDLE_BYTES === 0) return;
  throw new WarpbookError('INVALID_ARGUMENT', `writeHandle: byteOffset is ${byteOffset}; wanted a multiple of 8.`);
}
