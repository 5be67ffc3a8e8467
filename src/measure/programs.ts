/**
 * The device programs that a machine's roof is measured with: their names, parameter blocks and kernels. native/cpu/roof
 * implements them on the CPU device. Knows no device.
 */
import { defineParams, type ParamLayout } from '../device/params';
import type { ProgramSource } from '../device/programs/program-source';

/** Constants that native code shares, as `ROOF_…` in roof_params.h. */
export const ROOF = {
  /** Floating-point operations of one CTA of the CPU device in one iteration of `multiply_add`. */
  cpuFlopsPerIteration: 256,
  /** Matrix products that a warp of `multiply_add` keeps in flight, 4,096 operations each. */
  productsPerIteration: 8,
} as const;

const streamReadSpec = {
  src: ['address', '16-byte aligned'],
  sink: ['address', '16 bytes; written only where the bytes read add up to one value in 2^128'],
  num_bytes: ['i64', 'a multiple of 16'],
  bytes_per_cta: ['i64', 'a multiple of 16; CTA i reads [i, i + 1) of these'],
} as const;

const multiplyAddSpec = {
  sink: ['address', '16 bytes; written only where the result is one value in 2^32'],
  num_iterations: ['i64', ''],
} as const;

/** `stream_read`: reads memory once, in order, and keeps nothing. */
export const streamReadParams: ParamLayout<typeof streamReadSpec> = defineParams('StreamReadParams', streamReadSpec);
/** `multiply_add`: the arithmetic that attention kernels use, out of registers. */
export const multiplyAddParams: ParamLayout<typeof multiplyAddSpec> = defineParams(
  'MultiplyAddParams',
  multiplyAddSpec,
);

/** Every layout of this file, for the generated header. */
export const roofParamLayouts: readonly ParamLayout[] = [
  streamReadParams,
  multiplyAddParams,
] as readonly unknown[] as readonly ParamLayout[];

/** Threads of a CTA of both kernels. */
export const ROOF_THREADS = 256;

/** The CUDA kernels; the same for all architectures. */
export function roofPrograms(): readonly ProgramSource[] {
  return ['stream_read', 'multiply_add'].map((name) => ({
    name,
    file: `${name}.cu`,
    entry: name,
    defines: {},
    threads: ROOF_THREADS,
    sharedMemoryBytes: 0,
    options: { pdl: true },
  }));
}
