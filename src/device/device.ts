/**
 * The device as callers see it: allocation under a budget, streams, events. Checks what can be checked on this side;
 * `backend.ts` says what lies behind the seam.
 */
import { totalmem } from 'node:os';
import { requireInteger, WarpbookError } from '../errors';
import type { Backend, BackendDescription, ProgramInfo, ProgramOptions } from './backend';
import { Buffer } from './buffer';
import { CpuBackend } from './cpu';
import { CudaBackend } from './cuda';
import { Event } from './event';
import { type CompileOptions, compileKernel } from './kernel/compile-kernel';
import type { Kernel } from './kernel/kernel';
import type { AllocationRecord, MemoryReport } from './memory';
import { onScope } from './scope';
import { DeviceState } from './state';
import { Stream } from './stream';
import type { Telemetry } from './telemetry';

/** Options of {@link openDevice}. */
export interface DeviceOptions {
  /** CPU only: threads that play CTAs, 1 to 1024; default: the processors that this process may use. */
  threads?: number;
  /** CUDA only: which GPU, counted from 0 in the driver's order; default 0. */
  ordinal?: number;
  /** Byte budget of all buffers together; default: 80 % of the host's memory, or 90 % of what is free on the GPU. */
  memoryLimitBytes?: number;
  /** Shown in messages and displays; default: the kind. */
  name?: string;
}

const DEFAULT_MEMORY_FRACTION = 0.8;
const DEFAULT_GPU_MEMORY_FRACTION = 0.9;
const MAX_THREADS = 1024;
const MAX_ORDINAL = 1023;
const MAX_CLUSTER_SIZE = 16;

/** Bytes, streams and events of one device. Made by {@link openDevice} or {@link defaultDevice}. */
export class Device {
  readonly kind: 'cpu' | 'cuda';
  readonly name: string;
  readonly description: BackendDescription;
  /** The default stream: what calls without a `stream` option use. An ordinary stream otherwise. */
  readonly stream: Stream;
  /** @internal */
  readonly state: DeviceState;
  private leakedAllocations: readonly AllocationRecord[] = [];

  /** @internal */
  constructor(backend: Backend, name: string, memoryLimitBytes: number) {
    this.description = backend.describe();
    this.kind = this.description.kind;
    this.name = name;
    this.state = new DeviceState(backend, name, memoryLimitBytes);
    this.stream = this.createStream('default');
  }

  get disposed(): boolean {
    return this.state.disposed;
  }

  /** `label` names the stream in errors and pictures of graphs. */
  createStream(label?: string): Stream {
    this.state.requireUsable();
    return new Stream(this, this.state, label);
  }

  createEvent(): Event {
    this.state.requireUsable();
    return new Event(this, this.state);
  }

  /**
   * Makes a kernel of a compiled image launchable as program `name`. Throws `UNSUPPORTED` where the device can't run it,
   * and on the CPU device, whose programs are built in; `CAPTURE_FORBIDDEN` while any stream is being captured.
   */
  async loadProgram(name: string, image: Uint8Array, options: ProgramOptions): Promise<ProgramInfo> {
    this.state.requireUsable();
    this.state.requireNoCapture('device.loadProgram');
    requireInteger('threads', options.threads, 0, MAX_THREADS);
    requireInteger('sharedMemoryBytes', options.sharedMemoryBytes, 0);
    if (options.clusterSize !== undefined) requireInteger('clusterSize', options.clusterSize, 1, MAX_CLUSTER_SIZE);
    return this.state.watch(this.state.backend.loadProgram(name, image, options));
  }

  /**
   * Compiles kernel `options.name` of a CUDA C++ source for this device's GPU, off the main thread; what has been compiled
   * before comes out of the cache. The kernel may be a template, lie in a namespace, launch kernels, and include CUDA's
   * headers and warpbook's own (`native/kernels`).
   *
   * Throws `COMPILATION_FAILED` (a {@link CompilationError}: it shows the lines at fault), `UNSUPPORTED` on the CPU device,
   * and, saying what is missing, where there is no NVRTC, or no nvJitLink for a kernel that launches kernels;
   * `INVALID_ARGUMENT` for options that make no name; `CAPTURE_FORBIDDEN` while any stream is being captured.
   */
  async compile(source: string, options: CompileOptions): Promise<Kernel> {
    this.state.requireUsable();
    this.state.requireNoCapture('device.compile');
    return compileKernel(this, source, options);
  }

  /**
   * Uninitialised memory, 64-byte aligned. `label` names its owner in {@link memory} and in errors. Throws
   * `OUT_OF_MEMORY` over the budget, `CAPTURE_FORBIDDEN` while any stream of the device is being captured.
   */
  allocate(byteLength: number, options: { label?: string } = {}): Buffer {
    this.state.requireUsable();
    this.state.requireNoCapture('device.allocate');
    requireInteger('byteLength', byteLength, 0);
    const label = options.label ?? 'unlabelled';
    const { account, backend } = this.state;
    account.requireRoom(byteLength, label);
    const handle = this.state.newHandle();
    try {
      backend.allocate(handle, byteLength);
    } catch (error) {
      throw account.explain(error, byteLength, label);
    }
    account.add(handle, byteLength, label);
    const buffer = new Buffer(this, this.state, handle, byteLength, label);
    onScope(buffer);
    return buffer;
  }

  /** Limit, use and owners, largest first. Buffers count until their dispose(). */
  memory(): MemoryReport {
    return this.state.account.report();
  }

  /** Clocks, power and temperature of now, or `problem`: why there are none. Takes about a millisecond on a GPU. */
  async telemetry(): Promise<Telemetry> {
    this.state.requireUsable();
    return this.state.watch(this.state.backend.telemetry());
  }

  /** Resolves when everything enqueued on every stream so far has finished. */
  async synchronize(): Promise<void> {
    this.state.requireUsable();
    this.state.requireNoCapture('device.synchronize');
    const { state, stream } = this;
    const others = [...state.streams].filter((handle) => handle !== stream.handle);
    // The default stream keeps in mind how far it has come; of the others only handles are known here.
    await Promise.all([
      stream.synchronize(),
      ...others.map((handle) => state.watch(state.backend.synchronize(handle))),
    ]);
  }

  /** Buffers that were still alive when the device was disposed, oldest first; empty before. */
  get leaks(): readonly AllocationRecord[] {
    return this.leakedAllocations;
  }

  /**
   * Finishes all work (blocking) and releases everything; buffers that were not disposed are reported in
   * {@link leaks}. Idempotent.
   */
  dispose(): void {
    if (this.state.disposed) return;
    this.state.requireNoCapture('device.dispose');
    this.leakedAllocations = this.state.account.allocations();
    this.state.disposed = true;
    this.state.backend.close();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }
}

/**
 * Opens a device. Throws `INVALID_ARGUMENT` for options out of range, `UNSUPPORTED` for a kind that there isn't and,
 * saying what is missing, where there is no CUDA driver or no such GPU; `NATIVE` where the addon is missing.
 */
export async function openDevice(kind: 'cpu' | 'cuda', options: DeviceOptions = {}): Promise<Device> {
  if (kind === 'cpu') return openCpu(options);
  if (kind === 'cuda') return openCuda(options);
  throw new WarpbookError('UNSUPPORTED', `Got a device of kind '${String(kind)}'; wanted 'cpu' or 'cuda'.`);
}

let shared: Device | undefined;
/** What {@link setDefaultDevice} was given last. */
let chosen: Device | undefined;
/** Devices opened without a name, by kind: the first is 'cpu', the next 'cpu:2'. */
const numUnnamed = { cpu: 0, cuda: 0 };

/**
 * The device that calls without a `device` use: the one that was chosen with `useDevice()`, else the CPU device, made on
 * first use and again after it was disposed. Throws `DISPOSED` where the chosen one was disposed.
 */
export function defaultDevice(): Device {
  if (chosen?.disposed) {
    throw new WarpbookError(
      'DISPOSED',
      `Got a call without a device, and the one that was chosen, ${chosen.name}, was disposed; call useDevice() again.`,
    );
  }
  if (chosen) return chosen;
  if (!shared || shared.disposed) shared = openCpu({});
  return shared;
}

/** @internal Makes `device` the default one; undefined: the CPU device. Disposes nothing. See `useDevice`. */
export function setDefaultDevice(device: Device | undefined): void {
  chosen = device;
}

function openCpu(options: DeviceOptions): Device {
  refuseOption('cpu', 'ordinal', options.ordinal);
  const { threads, memoryLimitBytes = Math.floor(totalmem() * DEFAULT_MEMORY_FRACTION) } = options;
  if (threads !== undefined) requireInteger('threads', threads, 1, MAX_THREADS);
  requireInteger('memoryLimitBytes', memoryLimitBytes, 1);
  const backend = new CpuBackend({ threads });
  const name = options.name ?? nextName('cpu');
  return new Device(backend, name, memoryLimitBytes);
}

function openCuda(options: DeviceOptions): Device {
  refuseOption('cuda', 'threads', options.threads);
  const { ordinal = 0, memoryLimitBytes } = options;
  requireInteger('ordinal', ordinal, 0, MAX_ORDINAL);
  if (memoryLimitBytes !== undefined) requireInteger('memoryLimitBytes', memoryLimitBytes, 1);
  const backend = new CudaBackend({ ordinal });
  const name = options.name ?? nextName('cuda');
  return new Device(backend, name, memoryLimitBytes ?? Math.floor(backend.freeBytes * DEFAULT_GPU_MEMORY_FRACTION));
}

function nextName(kind: 'cpu' | 'cuda'): string {
  return ++numUnnamed[kind] === 1 ? kind : `${kind}:${numUnnamed[kind]}`;
}

function refuseOption(kind: string, option: string, value: unknown): void {
  if (value === undefined) return;
  throw new WarpbookError(
    'INVALID_ARGUMENT',
    `Got the option ${option} for a device of kind '${kind}', which has none; leave it out.`,
  );
}
