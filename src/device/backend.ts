/**
 * The seam between warpbook and whatever executes: bytes, handles, integers.
 *
 * What a backend does not know: shapes, dtypes, schedules, attention. A launch is (program, grid, packed
 * parameter bytes); parameters that point into device memory are *relocations*, patched by the backend when the
 * call is enqueued or captured. So a capture freezes addresses exactly as CUDA does.
 *
 * The seam is remotable: the caller's side chooses every handle, enqueueing returns nothing, and whatever has to
 * wait or to ask is a Promise. Argument checks, byte budgets and capture guards live on the caller's side
 * (`device.ts`), so that they answer at once wherever the backend runs. A failure behind the seam is sticky: it
 * rejects the next wait.
 */

import type { Telemetry } from './telemetry';

/** Chosen by the caller, unique among live handles of its kind for the backend's lifetime. */
export type Handle = number;

/** A parameter field that holds a device address: `params[offset..offset+8) = address(buffer) + byteOffset`. */
export interface Relocation {
  /** Byte offset of the 8-byte field in the parameter block. */
  offset: number;
  buffer: Handle;
  /** Added to the buffer's address, bytes. */
  byteOffset: number;
}

/**
 * How the CTAs of one launch differ from what its program was loaded with. The CPU device has no threads, no shared memory
 * and nothing that begins early: there all of it means nothing.
 */
export interface CtaOverrides {
  /** Threads of a CTA in x, y, z. */
  threads?: readonly [number, number, number];
  /** Dynamic shared memory of a CTA, bytes. */
  sharedMemoryBytes?: number;
  /** See {@link ProgramOptions.cooperative}. */
  cooperative?: boolean;
  /** See {@link ProgramOptions.pdl}; false makes this launch wait for all that is ahead of it. */
  pdl?: boolean;
  /** See {@link ProgramOptions.clusterSize}. */
  clusterSize?: number;
  /**
   * In a capture on a CUDA device: kernels of the same graph may change the node's grid and parameters or switch it off, once
   * they know its handle ({@link Backend.writeNodeHandle}). Needs CUDA 12.4. Such a graph is instantiated once at most.
   */
  deviceUpdatable?: boolean;
}

/** One launch of a named program. */
export interface LaunchDescription extends CtaOverrides {
  /** Name of a program that the backend knows, such as `attention` or `fill`. */
  program: string;
  /** Number of CTAs in x, y, z. */
  grid: readonly [number, number, number];
  /** Packed parameters, little-endian; the layout is the program's own. Copied at once. */
  params: Uint8Array;
  relocations: readonly Relocation[];
}

/** How a program of a CUDA device is launched; see {@link Backend.loadProgram}. */
export interface ProgramOptions {
  /** The kernel's name in the image: mangled, unless it is `extern "C"`. */
  entry: string;
  /** Threads of a CTA; 0: every launch says it. */
  threads: number;
  /** Dynamic shared memory of a CTA, bytes. */
  sharedMemoryBytes: number;
  /** All CTAs of a launch run at the same time and may wait for each other; default false. */
  cooperative?: boolean;
  /** Programmatic dependent launch: a launch may begin before the work ahead of it has ended; default false. */
  pdl?: boolean;
  /** CTAs of a cluster, neighbours in x, 1 to 16; the grid's x must be a multiple. Default 1: no clusters. */
  clusterSize?: number;
  /** What errors and pictures call it; default: the program's name. */
  label?: string;
  /**
   * Where each of the kernel's parameters begins in a launch's parameter bytes; default: one parameter, at 0. Asked for
   * only where {@link ProgramInfo.parameters} is unknown.
   */
  parameterOffsets?: readonly number[];
  /** Kernels of the same image that this one launches, where they need more than 48 KiB of dynamic shared memory. */
  children?: readonly ChildKernel[];
}

/** A kernel that another kernel launches: the device itself can't raise the limit of its shared memory. */
export interface ChildKernel {
  /** Its name in the image. */
  readonly entry: string;
  /** Dynamic shared memory of a CTA at most, bytes. */
  readonly sharedMemoryBytes: number;
}

/** Conditional nodes of CUDA: what runs is decided by a value that a kernel sets. */
export type ConditionKind = 'if' | 'while' | 'switch';

/** Where a kernel's parameter lies in the bytes of a launch. */
export interface ParameterPlace {
  offset: number;
  byteLength: number;
}

/** What the device made of a program. */
export interface ProgramInfo {
  /** Registers of a thread. */
  registers: number;
  /** Static and dynamic shared memory of a CTA, bytes. */
  sharedMemoryBytes: number;
  /** Local memory of a thread (spills, stack), bytes. */
  localBytes: number;
  /** Of that, what the kernel itself declares. */
  staticSharedMemoryBytes: number;
  /** Threads that a CTA may have, by registers and launch bounds. */
  maxThreads: number;
  /** CTAs that fit on a processor at the same time; 0 where every launch says its threads. */
  maxCtasPerSm: number;
  /** Clusters that fit on the device at the same time; only with {@link ProgramOptions.clusterSize}. */
  maxClusters?: number;
  /** The kernel's parameters; undefined where the driver can't tell (before CUDA 12.4). */
  parameters?: readonly ParameterPlace[];
}

/** What a node of a captured graph does, as reported by {@link Backend.describeGraph}. */
export interface GraphNodeDescription {
  /** Position in the order of capture; also the handle for {@link Backend.updateNode}. */
  index: number;
  kind: 'kernel' | 'copy' | 'fill' | 'empty' | 'graph' | 'conditional';
  /** Program name for kernels; a few words for the others. */
  label: string;
  grid?: readonly [number, number, number];
  byteLength?: number;
  /** Of a child graph: its own nodes, with indices and dependencies of their own. */
  nodes?: readonly GraphNodeDescription[];
  /** Of a conditional node: the nodes of each body. */
  bodies?: readonly (readonly GraphNodeDescription[])[];
  /** Indices of the nodes that must finish first. */
  dependencies: readonly number[];
}

/** What the device is; answers to {@link Backend.describe}. */
export interface BackendDescription {
  kind: 'cpu' | 'cuda';
  name: string;
  /** Hardware threads or SMs that run CTAs at the same time. */
  numProcessors: number;
  /** Widest instruction set that the programs were dispatched to, such as `avx512`. */
  instructionSet: string;
  totalMemoryBytes: number;
  /** CUDA only: the architecture that programs are compiled for, such as `sm_90a`. */
  architecture?: string;
  /** CUDA only: the largest CUDA version that the driver knows, such as 13000 for 13.0. */
  driverVersion?: number;
  /** CUDA only: largest dynamic shared memory of a CTA, bytes. */
  maxSharedMemoryBytes?: number;
  /** CUDA only: threads that an SM holds at the same time. */
  maxThreadsPerSm?: number;
}

export interface Backend {
  describe(): BackendDescription;
  /** Clocks, power and temperature of now; never rejects for what the device doesn't tell. */
  telemetry(): Promise<Telemetry>;

  /**
   * Makes the kernel `options.entry` of a compiled image (a cubin) launchable as program `name`; loading the same name
   * again replaces it for later launches. Warpbook's own kernels take one parameter, the program's struct, by value;
   * others any number, packed as a C struct would have them. Rejects with `UNSUPPORTED` where the device can't run it, and on devices whose programs are built in. Not allowed in capture.
   */
  loadProgram(name: string, image: Uint8Array, options: ProgramOptions): Promise<ProgramInfo>;

  /** Forgets a program; launches and graphs that were made before keep it. */
  unloadProgram(name: string): void;
  /** CTAs that fit on a processor at the same time when they look as `cta` says. */
  ctasPerSm(name: string, cta: CtaOverrides): Promise<number>;

  // --- memory -------------------------------------------------------------------------------------------------
  allocate(buffer: Handle, byteLength: number): void;
  /** Frees after all work enqueued so far on every stream has finished. */
  free(buffer: Handle): void;
  /**
   * Host-visible staging memory that copies to the device may read. The caller must not write a range that an
   * enqueued {@link writeFromStaging} still reads.
   */
  createStaging(staging: Handle, byteLength: number): Uint8Array;
  destroyStaging(staging: Handle): void;

  // --- streams and events ---------------------------------------------------------------------------------------
  createStream(stream: Handle): void;
  destroyStream(stream: Handle): void;
  /**
   * Number of operations that the stream has finished since it was made. The caller counts what it enqueues
   * (recordEvent, waitEvent, read and every other enqueueing call below is one operation; synchronize is none; in
   * capture nothing is), so this answers "is it done?" without waiting.
   */
  completed(stream: Handle): number;
  /** Resolves when everything enqueued on the stream so far has finished; rejects with the sticky error. */
  synchronize(stream: Handle): Promise<void>;
  createEvent(event: Handle): void;
  destroyEvent(event: Handle): void;
  recordEvent(event: Handle, stream: Handle): void;
  waitEvent(stream: Handle, event: Handle): void;
  /** Resolves when the event's latest record has been reached, with its time in nanoseconds (steady clock). */
  eventTime(event: Handle): Promise<number>;

  // --- work -----------------------------------------------------------------------------------------------------
  /** Copies `bytes` at once (the caller may reuse them) and enqueues their transfer. Not allowed in capture. */
  write(stream: Handle, buffer: Handle, byteOffset: number, bytes: Uint8Array): void;
  /** Not allowed in capture: a replay would read staging that has been reused. */
  writeFromStaging(
    stream: Handle,
    buffer: Handle,
    byteOffset: number,
    staging: Handle,
    stagingOffset: number,
    byteLength: number,
  ): void;
  copy(
    stream: Handle,
    target: Handle,
    targetOffset: number,
    source: Handle,
    sourceOffset: number,
    byteLength: number,
  ): void;
  /** Repeats a pattern of 1, 2, 4 or 8 bytes. */
  fill(stream: Handle, buffer: Handle, byteOffset: number, byteLength: number, pattern: Uint8Array): void;
  launch(stream: Handle, launch: LaunchDescription): void;
  /** Reads after everything enqueued on the stream so far. */
  read(stream: Handle, buffer: Handle, byteOffset: number, byteLength: number): Promise<Uint8Array>;

  // --- graphs ---------------------------------------------------------------------------------------------------
  /** From here on, work enqueued on the stream (and on streams that wait for its events) becomes graph nodes. */
  beginCapture(stream: Handle): void;
  endCapture(stream: Handle, graph: Handle): void;
  /** Ends the capture and drops what was recorded. */
  abortCapture(stream: Handle): void;
  /** In a capture: one node that does all of `graph`, as it is now. */
  addChildGraph(stream: Handle, graph: Handle): void;
  /**
   * In a capture: a node that runs bodies, as they are now, by its value: an `if` its first body unless that is 0 (else its second
   * one, where there is one), a `while` its body until it is 0, a `switch` the body of that number, or none. The value is
   * `defaultValue` when a replay starts. Throws `UNSUPPORTED` where the device has no such nodes.
   */
  addConditional(stream: Handle, kind: ConditionKind, bodies: readonly Handle[], defaultValue: number): void;
  /**
   * Enqueues the writing of what kernels know a conditional node, or a launch that may be updated, by: 8 bytes. Not allowed in
   * capture. Throws `UNSUPPORTED` where the device has no such thing.
   */
  writeNodeHandle(stream: Handle, buffer: Handle, byteOffset: number, graph: Handle, nodeIndex: number): void;
  /** As {@link writeNodeHandle}, of an exec that kernels may launch. */
  writeExecHandle(stream: Handle, buffer: Handle, byteOffset: number, exec: Handle): void;
  destroyGraph(graph: Handle): void;
  describeGraph(graph: Handle): Promise<readonly GraphNodeDescription[]>;
  /** `deviceLaunch`: kernels may launch it. Throws `UNSUPPORTED` then where the device can't. */
  instantiate(graph: Handle, exec: Handle, deviceLaunch: boolean): void;
  destroyExec(exec: Handle): void;
  /** Replaces grid and parameters of one kernel node; takes effect with the next replay that is enqueued. */
  updateNode(exec: Handle, nodeIndex: number, launch: LaunchDescription): void;
  /**
   * Replaces what every node does by what the nodes of `graph` do, from the next replay on; disabled nodes stay so.
   * Answers with the reason where the device refuses, and has changed nothing then.
   */
  updateExec(exec: Handle, graph: Handle): Promise<string | undefined>;
  /** A disabled node does nothing, from the next replay on. */
  setNodeEnabled(exec: Handle, nodeIndex: number, enabled: boolean): void;
  /** Bytes of the device that the exec takes for itself. */
  execBytes(exec: Handle): Promise<number>;
  /** Enqueues what a first replay would do besides its work. */
  upload(exec: Handle, stream: Handle): void;
  replay(exec: Handle, stream: Handle): void;

  /** Finishes all work and releases everything. Idempotent. */
  close(): void;
}
