/** A kernel of the user's own: compiled from a source in a cell, launched with tensors and numbers. */
import { WarpbookError } from '../../errors';
import type { CtaOverrides, ProgramInfo } from '../backend';
import type { Device } from '../device';
import type { KernelResources } from '../programs/resources';
import type { Launch, Stream } from '../stream';
import { type CtaShape, ctaOf, type Extent, gridOf, requireCluster } from './launch-shape';
import { type KernelArgument, packArguments, signatureText } from './pack-arguments';
import type { KernelParameter } from './signature';

/** Grid, CTAs and order of one launch. */
export interface KernelLaunch extends CtaShape {
  /** CTAs: at most 2³¹ − 1 in x, 65,535 in y and z. */
  grid: Extent;
  /** Default: the device's own. */
  stream?: Stream;
  /** All CTAs run at the same time and may wait for each other (cooperative groups' grid.sync()); default false. */
  cooperative?: boolean;
  /** Programmatic dependent launch: the launch may begin before the work ahead of it has ended; default false. */
  pdl?: boolean;
  /** CTAs of a cluster, neighbours in x, 1 to 16 (Hopper and newer); default 1. */
  clusterSize?: number;
}

/** How full an SM gets. */
export interface Occupancy {
  /** CTAs that fit on an SM at the same time. */
  readonly ctasPerSm: number;
  readonly threadsPerSm: number;
  /** Of the threads that an SM can hold, 0 to 1. */
  readonly share: number;
}

/** What compilation and loading made of a kernel. */
export interface KernelParts {
  /** As asked for, with template arguments: `scale<float>`. */
  readonly label: string;
  /** The program that stands for it on the device. */
  readonly program: string;
  readonly source: string;
  readonly parameters: readonly KernelParameter[];
  readonly info: ProgramInfo;
  readonly resources: KernelResources | undefined;
}

/** Made by `device.compile()`. It lives until `dispose()`, or as long as its device. */
export class Kernel {
  readonly device: Device;
  /** As asked for, with template arguments: `scale<float>`. */
  readonly name: string;
  readonly source: string;
  readonly parameters: readonly KernelParameter[];
  /** Registers, shared and local memory, the most threads of a CTA. */
  readonly info: ProgramInfo;
  /** What the compiler said of registers and spills; undefined where it said nothing (kernels that launch kernels). */
  readonly resources: KernelResources | undefined;
  private readonly program: string;
  private isDisposed = false;

  /** @internal */
  constructor(device: Device, parts: KernelParts) {
    this.device = device;
    this.name = parts.label;
    this.program = parts.program;
    this.source = parts.source;
    this.parameters = parts.parameters;
    this.info = parts.info;
    this.resources = parts.resources;
  }

  get disposed(): boolean {
    return this.isDisposed || this.device.disposed;
  }

  /** `scale<float>(float* x, float factor, int n)` */
  get signature(): string {
    return `${this.name}${signatureText(this.parameters)}`;
  }

  /**
   * Enqueues a launch; in a capture it becomes a node. Arguments are checked against the signature and packed at once.
   *
   * Throws `INVALID_ARGUMENT` for a grid, threads, shared memory or arguments that the kernel can't have, `DTYPE_MISMATCH` for
   * a tensor of another element type, `SHAPE_MISMATCH` for one that is not contiguous, `DISPOSED`, and `DEVICE_MISMATCH`.
   */
  launch(shape: KernelLaunch, ...args: readonly KernelArgument[]): void {
    const launch = this.bind(shape, ...args);
    (shape.stream ?? this.device.stream).launch(launch);
  }

  /** The same launch as an object, for `exec.updateNode(index, kernel.bind(…))`. Throws as {@link launch}. */
  bind(shape: KernelLaunch, ...args: readonly KernelArgument[]): Launch {
    this.requireUsable('launch');
    const checked = this.checked();
    const grid = gridOf(checked, shape.grid);
    const { cooperative, pdl, clusterSize } = shape;
    if (clusterSize !== undefined) requireCluster(checked, clusterSize, grid[0]);
    const cta: CtaOverrides = { ...ctaOf(checked, shape), cooperative, pdl, clusterSize };
    return { program: this.program, grid, ...cta, ...packArguments(this.name, this.parameters, args) };
  }

  /** How many CTAs of such a shape an SM holds at the same time. Throws `INVALID_ARGUMENT` as {@link launch}. */
  async occupancy(shape: CtaShape): Promise<Occupancy> {
    this.requireUsable('occupancy');
    const cta = ctaOf(this.checked(), shape);
    const ctasPerSm = await this.device.state.watch(this.device.state.backend.ctasPerSm(this.program, cta));
    const [x, y, z] = cta.threads;
    const threadsPerSm = ctasPerSm * x * y * z;
    return { ctasPerSm, threadsPerSm, share: threadsPerSm / (this.device.description.maxThreadsPerSm ?? threadsPerSm) };
  }

  /** Launches and graphs that were made before keep what they need. Idempotent. */
  dispose(): void {
    if (this.disposed) return;
    this.isDisposed = true;
    this.device.state.backend.unloadProgram(this.program);
  }

  [Symbol.dispose](): void {
    this.dispose();
  }

  private checked() {
    return { label: this.name, info: this.info, description: this.device.description };
  }

  private requireUsable(call: string): void {
    this.device.state.requireUsable();
    if (!this.isDisposed) return;
    throw new WarpbookError('DISPOSED', `Got ${call} of kernel '${this.name}' after its dispose(); compile it again.`);
  }
}
