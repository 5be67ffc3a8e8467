/** A captured graph: nodes and edges, to look at and to instantiate. Knows no attention. */
import type { GraphNodeDescription, Handle } from '../device/backend';
import type { CapturedGraph, CapturedNode, CaptureGuard } from '../device/capture-session';
import type { Device } from '../device/device';
import { WarpbookError } from '../errors';
import { GraphExec } from './graph-exec';
import { toDot } from './inspect';

/** Made by `capture()`. Independent of the execs made from it: they may be disposed in any order. */
export class Graph implements CapturedGraph {
  readonly device: Device;
  private isDisposed = false;

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

  /** An executable copy. It holds the buffers that the graph points to. */
  instantiate(): GraphExec {
    this.requireUsable('instantiate');
    const exec = this.device.state.newHandle();
    this.device.state.backend.instantiate(this.handle, exec);
    return new GraphExec(this.device, exec, this.captured, this.guards);
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
