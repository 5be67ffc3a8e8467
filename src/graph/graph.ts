/** A captured graph: nodes and edges, to look at and to instantiate. Knows no attention. */
import type { GraphNodeDescription, Handle } from '../device/backend';
import type { Buffer } from '../device/buffer';
import type { CapturedGraph, CapturedNode, CaptureGuard } from '../device/capture-session';
import type { Device } from '../device/device';
import type { Stream } from '../device/stream';
import { requireInteger, WarpbookError } from '../errors';
import { GraphExec, requireHandlePlace } from './graph-exec';
import { toDot } from './inspect';

/** Options of {@link Graph.instantiate}. */
export interface InstantiateOptions {
  /**
   * Kernels may launch it (`exec.writeHandle()` tells them how); default false. On the GPU alone. It may hold launches, copies,
   * fills and graphs, but no conditional node and no kernel that launches kernels.
   */
  readonly deviceLaunch?: boolean;
}

/** Made by `capture()`. Independent of the execs made from it: they may be disposed in any order. */
export class Graph implements CapturedGraph {
  readonly device: Device;
  private isDisposed = false;
  private numExecs = 0;

  /** @internal */
  constructor(
    device: Device,
    private readonly handle: Handle,
    private readonly captured: readonly CapturedNode[],
    private readonly guards: readonly CaptureGuard[],
  ) {
    this.device = device;
    device.state.releaseWhenCollected(this, 'graph', handle);
  }

  /** Number of nodes. */
  get size(): number {
    return this.captured.length;
  }

  get disposed(): boolean {
    return this.isDisposed || this.device.disposed;
  }

  /** The nodes in the order of capture, with the indices of those that each depends on. */
  async nodes(): Promise<readonly GraphNodeDescription[]> {
    this.requireUsable('nodes');
    return this.device.state.backend.describeGraph(this.handle);
  }

  /**
   * An executable copy. It holds the buffers that the graph points to. Throws `INVALID_ARGUMENT` for a second one of a graph with
   * launches that kernels may update: CUDA allows one.
   */
  instantiate(options: InstantiateOptions = {}): GraphExec {
    this.requireUsable('instantiate');
    if (this.numExecs > 0 && this.captured.some(({ deviceUpdatable }) => deviceUpdatable)) {
      throw new WarpbookError(
        'INVALID_ARGUMENT',
        'Got instantiate() for the second time of a graph with a launch that kernels may update; CUDA allows one instance of it. ' +
          'Capture it again.',
      );
    }
    const exec = this.device.state.newHandle();
    this.device.state.backend.instantiate(this.handle, exec, options.deviceLaunch ?? false);
    this.numExecs++;
    return new GraphExec(this.device, exec, this.captured, this.guards);
  }

  /**
   * Enqueues the writing of what kernels know node `index` by, 8 bytes: a `cudaGraphConditionalHandle` of a conditional node, a
   * `cudaGraphDeviceNode_t` of a launch with `deviceUpdatable`. Throws `INVALID_ARGUMENT` for a node that is neither, and
   * `UNSUPPORTED` on the CPU device.
   */
  writeHandle(index: number, buffer: Buffer, byteOffset: number = 0, stream: Stream = this.device.stream): void {
    this.requireUsable('writeHandle');
    requireInteger('node index', index, 0, this.captured.length - 1);
    requireHandlePlace(buffer, byteOffset);
    stream.requireEager('buffer.write', buffer.device);
    const node = this.captured[index];
    if (!node.deviceUpdatable && node.what !== 'conditional node') {
      throw new WarpbookError(
        'INVALID_ARGUMENT',
        `Got writeHandle() of node ${index}; wanted a conditional node, or a launch with deviceUpdatable.`,
      );
    }
    this.device.state.backend.writeNodeHandle(stream.handle, buffer.handle, byteOffset, this.handle, index);
    stream.countOperation();
  }

  /** @internal For who takes the graph up: a capture, or an exec that is updated by it. */
  contents(call: string): ReturnType<CapturedGraph['contents']> {
    this.requireUsable(call);
    return { handle: this.handle, captured: this.captured, guards: this.guards };
  }

  /** The graph in Graphviz' DOT language. */
  async toDot(): Promise<string> {
    return toDot(await this.nodes());
  }

  /** Idempotent. */
  dispose(): void {
    if (this.disposed) return;
    this.isDisposed = true;
    this.device.state.releasedByOwner(this);
    this.device.state.backend.destroyGraph(this.handle);
  }

  [Symbol.dispose](): void {
    this.dispose();
  }

  private requireUsable(call: string): void {
    this.device.state.requireUsable();
    if (this.isDisposed) {
      throw new WarpbookError('DISPOSED', `Got ${call} of a graph after its dispose(); capture it again.`);
    }
  }
}
