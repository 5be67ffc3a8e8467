/** An in-order queue of work that runs beside JavaScript. Every call here enqueues and returns. */
import { requireInteger, WarpbookError } from '../errors';
import type { ConditionKind, CtaOverrides, Handle, LaunchDescription } from './backend';
import type { Buffer } from './buffer';
import { type GuardedCall, refuseInCapture } from './capture-guards';
import { type CapturedGraph, CaptureSession } from './capture-session';
import type { Device } from './device';
import type { Event } from './event';
import type { PackedParams } from './params';
import type { DeviceState } from './state';

/** One launch of a program that the device knows; as the program was loaded, unless it says otherwise. */
export interface Launch extends CtaOverrides {
  readonly program: string;
  /** Number of CTAs in x, y and z. */
  readonly grid: readonly [number, number, number];
  /** From `ParamLayout.pack()`. */
  readonly params: PackedParams;
  /** Every buffer that the parameters point to; a captured graph holds them. */
  readonly buffers: readonly Buffer[];
}

/** @internal A launch as it goes through the seam. */
export function toDescription(launch: Launch): LaunchDescription {
  const { program, grid, params, threads, sharedMemoryBytes, cooperative, pdl, clusterSize } = launch;
  const { deviceUpdatable } = launch;
  const cta = { threads, sharedMemoryBytes, cooperative, pdl, clusterSize, deviceUpdatable };
  return { program, grid, params: params.params, relocations: params.relocations, ...cta };
}

/** Made by `device.createStream()`; `device.stream` is the default one. */
export class Stream {
  readonly device: Device;
  readonly label: string;
  /** @internal */
  readonly handle: Handle;
  /** @internal The capture that the stream takes part in. */
  session: CaptureSession | undefined;
  private readonly state: DeviceState;
  private numEnqueued = 0;
  /** Operations that are known to have finished: asking anew is a call of the driver's. */
  private numKnownCompleted = 0;
  private isDisposed = false;
  /** Disposed, and everything that was enqueued has finished. */
  private isDrained = false;

  /** @internal */
  constructor(device: Device, state: DeviceState, label?: string) {
    this.device = device;
    this.state = state;
    this.handle = state.newHandle();
    this.label = label ?? `stream ${this.handle}`;
    state.backend.createStream(this.handle);
    state.streams.add(this.handle);
    state.releaseWhenCollected(this, 'stream', this.handle);
  }

  get disposed(): boolean {
    return this.isDisposed || this.state.disposed;
  }

  /** Whether work that is enqueued now becomes graph nodes. */
  get capturing(): boolean {
    return this.session !== undefined;
  }

  /**
   * Enqueues a launch; parameters and addresses are taken as they are now. Throws `INVALID_ARGUMENT` where a
   * parameter points to a buffer that isn't listed, `NATIVE` for an unknown program or parameters of another size.
   */
  launch(launch: Launch): void {
    this.requireWorkable('launch', this.device);
    this.checkLaunch(launch);
    this.state.backend.launch(this.handle, toDescription(launch));
    this.addWork(launch.buffers, launch.program, launch.deviceUpdatable);
  }

  /**
   * In a capture: puts all of `graph`, as it is now, into the graph that is being captured, as one node. Throws
   * `INVALID_ARGUMENT` outside of a capture, where a graph is instantiated and replayed.
   */
  launchGraph(graph: CapturedGraph): void {
    this.requireWorkable('launchGraph', graph.device);
    const { session } = this;
    if (!session) {
      throw new WarpbookError(
        'INVALID_ARGUMENT',
        `Got launchGraph() on stream '${this.label}', which is not being captured; wanted a capture. Outside of one, ` +
          'instantiate the graph and replay it.',
      );
    }
    const { handle, captured, guards } = graph.contents('launchGraph');
    this.state.backend.addChildGraph(this.handle, handle);
    session.addChild(this, captured, guards);
  }

  /**
   * In a capture on a CUDA device: a node that runs `bodies`, as they are now, by a value that a kernel sets (`graph.writeHandle()`
   * tells kernels which): an `if` its first body unless the value is 0, else its second one where there is one; a `while` its
   * body until the value is 0; a `switch` the body of that number, or none. A replay starts with `defaultValue`.
   *
   * Bodies may hold launches, copies, fills, graphs and conditional nodes, but no kernel that launches kernels. Throws
   * `INVALID_ARGUMENT` outside of a capture and for a number of bodies that the kind can't have, `UNSUPPORTED` on the CPU device
   * and where the driver is too old (CUDA 12.3; 12.8 for `switch` and a second body).
   */
  launchConditional(kind: ConditionKind, bodies: readonly CapturedGraph[], defaultValue: number = 0): void {
    for (const { device } of bodies) this.requireWorkable('launchConditional', device);
    const { session } = this;
    if (!session) {
      throw new WarpbookError(
        'INVALID_ARGUMENT',
        `Got launchConditional() on stream '${this.label}', which is not being captured; wanted a capture, as only graphs have ` +
          'conditional nodes.',
      );
    }
    const most = { if: 2, while: 1, switch: Number.MAX_SAFE_INTEGER }[kind];
    requireInteger(`launchConditional: bodies of '${kind}'`, bodies.length, 1, most);
    requireInteger('launchConditional: defaultValue', defaultValue, 0, 2 ** 32 - 1);
    const contents = bodies.map((body) => body.contents('launchConditional'));
    const handles = contents.map(({ handle }) => handle);
    this.state.backend.addConditional(this.handle, kind, handles, defaultValue);
    session.addChild(
      this,
      contents.flatMap(({ captured }) => captured),
      contents.flatMap(({ guards }) => guards),
      'conditional node',
    );
  }

  /** Records `event` (or a new one) behind everything enqueued so far. In a capture it becomes an edge of the graph. */
  record(event: Event = this.device.createEvent()): Event {
    this.requireWorkable('record', event.device);
    event.requireUsable();
    this.state.backend.recordEvent(event.handle, this.handle);
    if (this.session) {
      event.latest = { session: this.session, nodes: this.session.frontier(this) };
    } else {
      event.latest = 'stream';
      this.countOperation();
    }
    return event;
  }

  /**
   * Everything enqueued from here on runs after the event's latest record. Waiting for an event of a capture makes
   * the stream part of that capture, until it ends. An event that was never recorded is no wait.
   */
  wait(event: Event): void {
    this.requireWorkable('wait', event.device);
    event.requireUsable();
    const { latest } = event;
    if (typeof latest === 'string') {
      if (this.session) refuseInCapture('stream.wait', `in a capture for an event recorded outside of it`);
      this.state.backend.waitEvent(this.handle, event.handle);
      this.countOperation();
      return;
    }
    if (latest.session.ended) {
      throw new WarpbookError(
        'INVALID_ARGUMENT',
        'Got stream.wait() for an event that was recorded in a capture which has ended; record it again.',
      );
    }
    if (this.session && this.session !== latest.session) {
      refuseInCapture('stream.wait', 'in a capture for an event of another capture');
    }
    this.state.backend.waitEvent(this.handle, event.handle);
    latest.session.join(this, latest.nodes);
    this.session = latest.session;
  }

  /** Resolves when everything enqueued so far has finished; rejects with `DEVICE_LOST` if the device has failed. */
  async synchronize(): Promise<void> {
    this.requireEager('stream.synchronize', this.device);
    const { numEnqueued } = this;
    await this.state.watch(this.state.backend.synchronize(this.handle));
    this.noteCompleted(numEnqueued);
  }

  /** Operations that are enqueued and not finished. */
  pending(): number {
    this.requireEager('stream.pending', this.device);
    return this.numEnqueued - this.state.backend.completed(this.handle);
  }

  /** What is enqueued still runs; nothing more can be. Idempotent. */
  dispose(): void {
    if (this.isDisposed || this.state.disposed) return;
    if (this.session) refuseInCapture('stream.dispose', `while stream '${this.label}' is being captured`);
    if (this === this.device.stream) {
      throw new WarpbookError(
        'INVALID_ARGUMENT',
        'Got dispose() of the default stream, which lives as long as its device; dispose the device.',
      );
    }
    this.isDisposed = true;
    this.state.releasedByOwner(this);
    this.state.streams.delete(this.handle);
    const drained = (): void => {
      this.isDrained = true;
    };
    this.state.backend.synchronize(this.handle).then(drained, drained);
    this.state.backend.destroyStream(this.handle);
  }

  [Symbol.dispose](): void {
    this.dispose();
  }

  /** @internal From here on, work on this stream becomes nodes; use `capture()` of `src/graph`. */
  beginCapture(): CaptureSession {
    this.requireEager('stream.beginCapture', this.device);
    this.state.backend.beginCapture(this.handle);
    const session = new CaptureSession(this);
    this.session = session;
    this.state.captures.add(session);
    return session;
  }

  /** @internal Throws `CAPTURE_INVALID`, and drops the capture, where a stream was not joined back. */
  endCapture(session: CaptureSession, graph: Handle): void {
    const unjoined = session.unjoined();
    if (unjoined) {
      this.abortCapture(session);
      throw new WarpbookError(
        'CAPTURE_INVALID',
        `Got the end of the capture of stream '${this.label}' with work on stream '${unjoined.label}' that it does not ` +
          `wait for; wanted every stream joined back. End the capture with ` +
          `'${this.label}'.wait('${unjoined.label}'.record()). The capture was dropped.`,
        { stream: unjoined.label },
      );
    }
    this.state.backend.endCapture(this.handle, graph);
    this.leaveCapture(session);
  }

  /** @internal Drops what was recorded; every stream that took part is usable again. */
  abortCapture(session: CaptureSession): void {
    this.state.backend.abortCapture(this.handle);
    this.leaveCapture(session);
  }

  /** @internal Counts an operation that the backend has accepted, and answers with its number. */
  countOperation(): number {
    return ++this.numEnqueued;
  }

  /** @internal Tells that operation `number` has finished: somebody waited for it, or for what came behind. */
  noteCompleted(number: number): void {
    this.numKnownCompleted = Math.max(this.numKnownCompleted, number);
  }

  /** @internal Whether operation `number`, and so everything before it, has finished. */
  hasCompleted(number: number): boolean {
    if (this.isKnownCompleted(number)) return true;
    if (this.isDisposed) return this.isDrained;
    this.numKnownCompleted = this.state.backend.completed(this.handle);
    return this.isKnownCompleted(number);
  }

  /** @internal Whether that is known without asking the driver. */
  isKnownCompleted(number: number): boolean {
    return number <= this.numKnownCompleted;
  }

  /** @internal Counts work that the backend has accepted: a node in a capture, an operation otherwise. */
  addWork(buffers: readonly Buffer[], program?: string, deviceUpdatable?: boolean): void {
    if (this.session) this.session.addNode(this, buffers, program, deviceUpdatable);
    else this.numEnqueued++;
  }

  /** @internal Throws unless work for `device` may be enqueued here. */
  requireWorkable(call: string, device: Device): void {
    this.state.requireUsable();
    if (this.isDisposed) {
      throw new WarpbookError(
        'DISPOSED',
        `Got ${call} on stream '${this.label}' after its dispose(); make another one.`,
      );
    }
    if (device !== this.device) {
      throw new WarpbookError(
        'DEVICE_MISMATCH',
        `Got ${call} for device '${device.name}' on stream '${this.label}' of device '${this.device.name}'; wanted a stream of the same device.`,
      );
    }
  }

  /** @internal As {@link requireWorkable}, and refuses `call` while the stream is being captured. */
  requireEager(call: GuardedCall, device: Device): void {
    this.requireWorkable(call, device);
    const { session } = this;
    if (session) refuseInCapture(call, `while stream '${this.label}' is being captured`, session);
  }

  /** @internal Throws unless the launch's buffers are usable, of this device, and all that its parameters point to. */
  checkLaunch({ program, params, buffers }: Launch): void {
    for (const buffer of buffers) {
      buffer.requireUsable(`a launch of '${program}'`);
      buffer.requireDevice(this.device, `a launch of '${program}'`);
    }
    for (const { buffer: handle, offset } of params.relocations) {
      if (buffers.some((buffer) => buffer.handle === handle)) continue;
      throw new WarpbookError(
        'INVALID_ARGUMENT',
        `Got a launch of '${program}' whose parameter at offset ${offset} points to a buffer that is not listed in ` +
          'launch.buffers; wanted every buffer listed, so that a graph can hold it.',
      );
    }
  }

  private leaveCapture(session: CaptureSession): void {
    for (const stream of session.end()) stream.session = undefined;
    this.state.captures.delete(session);
  }
}
