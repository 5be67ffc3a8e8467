/**
 * One capture in progress, as the caller's side sees it: which streams take part, what each one's next node would
 * depend on, and which buffers every node points to. The backend records the same DAG; this copy answers at once.
 */
import type { Handle } from './backend';
import type { Buffer } from './buffer';
import type { Device } from './device';
import type { Stream } from './stream';

/** What a user of graphs has to say at each replay of a graph that holds its work. */
export interface CaptureGuard {
  /** A string is the reason why the graph must not be replayed any more. */
  check(): string | undefined;
  /** Enqueues what the replay has to come after. */
  beforeReplay?(stream: Stream): void;
  afterReplay?(stream: Stream): void;
}

/** A node as the caller's side knows it. */
export interface CapturedNode {
  /** What the node points to; of a child graph, what all of its nodes point to. */
  readonly buffers: readonly Buffer[];
  /** The launched program; undefined for everything else. */
  readonly program: string | undefined;
  /** The nodes of a child graph, or of all bodies of a conditional node. */
  readonly children?: readonly CapturedNode[];
  /** What has children; default: a child graph. */
  readonly what?: string;
  /** A launch that kernels may update. */
  readonly deviceUpdatable?: boolean;
  readonly dependencies: readonly number[];
}

/** A graph, as one that takes it up as a child sees it; `Graph` is one. */
export interface CapturedGraph {
  readonly device: Device;
  /** Throws `DISPOSED` for `call` where the graph is. */
  contents(call: string): {
    readonly handle: Handle;
    readonly captured: readonly CapturedNode[];
    readonly guards: readonly CaptureGuard[];
  };
}

/** See the file head. */
export class CaptureSession {
  readonly guards: CaptureGuard[] = [];
  /** The first refusal that a caller can overlook, because it came as a rejected promise. */
  overlooked: Error | undefined;
  /** In the order of capture. */
  readonly nodes: CapturedNode[] = [];
  private readonly frontiers = new Map<Stream, readonly number[]>();
  private open = true;

  constructor(readonly origin: Stream) {
    this.frontiers.set(origin, []);
  }

  /** Ended or aborted: its events are good for nothing until they are recorded again. */
  get ended(): boolean {
    return !this.open;
  }

  /** Nodes that the stream's next one depends on. */
  frontier(stream: Stream): readonly number[] {
    return this.frontiers.get(stream) ?? [];
  }

  addNode(stream: Stream, buffers: readonly Buffer[], program: string | undefined, deviceUpdatable?: boolean): void {
    this.push(stream, { buffers, program, dependencies: this.frontier(stream), deviceUpdatable });
  }

  /** A graph as one node: this one is as stale as that one is. */
  addChild(stream: Stream, children: readonly CapturedNode[], guards: readonly CaptureGuard[], what?: string): void {
    const buffers = [...new Set(children.flatMap((node) => node.buffers))];
    this.push(stream, { buffers, program: undefined, children, what, dependencies: this.frontier(stream) });
    this.guards.push(...guards);
  }

  private push(stream: Stream, node: CapturedNode): void {
    this.nodes.push(node);
    this.frontiers.set(stream, [this.nodes.length - 1]);
  }

  /** The stream takes part from here on; its next node comes after `nodes` too. */
  join(stream: Stream, nodes: readonly number[]): void {
    this.frontiers.set(stream, [...new Set([...this.frontier(stream), ...nodes])]);
  }

  /** A stream with work that the origin does not wait for. */
  unjoined(): Stream | undefined {
    const reached = new Set(this.frontier(this.origin));
    for (let index = this.nodes.length - 1; index >= 0; index--) {
      if (!reached.has(index)) continue;
      for (const dependency of this.nodes[index].dependencies) reached.add(dependency);
    }
    for (const [stream, frontier] of this.frontiers) {
      if (!frontier.every((index) => reached.has(index))) return stream;
    }
    return undefined;
  }

  /** Every stream that takes part leaves the capture. */
  end(): readonly Stream[] {
    this.open = false;
    return [...this.frontiers.keys()];
  }
}
