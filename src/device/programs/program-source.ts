/** A kernel to compile: which file, with which definitions, and how it is launched. Knows neither compiler nor device. */

import type { ChildKernel } from '../backend';

/** See the file head. Everything but `name` and the launch options takes part in the cache's key. */
export interface ProgramSource {
  /** What launches call it, such as `attention`; unique among the programs of a device. */
  readonly name: string;
  /** Path of the CUDA C++ file, relative to `native/kernels`, such as `decode.cu`. */
  readonly file: string;
  /** Name of the kernel in it: `extern "C" __global__`, one struct by value as its only parameter. */
  readonly entry: string;
  /** Preprocessor definitions. */
  readonly defines: Readonly<Record<string, string | number>>;
  /** Threads of a CTA. */
  readonly threads: number;
  /** Dynamic shared memory of a CTA, bytes. */
  readonly sharedMemoryBytes: number;
  readonly options?: ProgramSourceOptions;
}

export interface ProgramSourceOptions {
  /** Default false. See `ProgramOptions` of the seam. */
  readonly cooperative?: boolean;
  /** Default false. See `ProgramOptions` of the seam. */
  readonly pdl?: boolean;
  /** Default 1. See `ProgramOptions` of the seam. */
  readonly clusterSize?: number;
  /** Further options of NVRTC, such as `--maxrregcount=128`. */
  readonly compilerOptions?: readonly string[];
  /** Kernels that this one launches; it is then linked with CUDA's device runtime. See `ProgramOptions` of the seam. */
  readonly children?: readonly ChildKernel[];
  /** The kernel calls the device runtime: it is linked with it. Default: whether it has children. */
  readonly linksDeviceRuntime?: boolean;
  /** Spilled bytes of a thread that are justified; default 0. `warpbook build-kernels` fails above. */
  readonly maxSpillBytes?: number;
}
