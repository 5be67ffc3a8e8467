/** An executable graph: replayed as one operation, its kernel nodes updatable. Refuses to replay what has gone stale. */
import type { Handle } from '../device/backend';
import type { Buffer } from '../device/buffer';
import type { CapturedNode, CaptureGuard } from '../device/capture-session';
import type { Device } from '../device/device';
import { type Launch, type Stream, toDescription } from '../device/stream';
import { requireInteger, WarpbookError } from '../errors';

/** Made by `Graph.instantiate()`. */
export class GraphExec {
  readonly device: Device;
  /** What each node points to, by index; updates replace an entry. */
  private readonly nodeBuffers: (readonly Buffer[])[];
  /** Disposals on the device up to which no buffer of ours is gone. */
  private checkedDisposals = -1;
  private isDisposed = false;

  /** @internal */
  constructor(
    device: Device,
    private readonly handle: Handle,
    private readonly captured: readonly CapturedNode[],
    private readonly guards: readonly CaptureGuard[],
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
    const { program } = this.captured[index];
    if (program !== launch.program) {
      throw new WarpbookError(
        'INVALID_ARGUMENT',
        `Got an update of node ${index} to '${launch.program}'; wanted ` +
          `${program === undefined ? 'a kernel node: this one is a copy or a fill' : `'${program}', as captured`}.`,
      );
    }
    this.device.stream.checkLaunch(launch);
    this.device.state.backend.updateNode(this.handle, index, toDescription(launch));
    this.nodeBuffers[index] = launch.buffers;
    this.checkedDisposals = -1;
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
