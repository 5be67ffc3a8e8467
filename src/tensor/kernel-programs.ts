/** The CUDA kernels behind the programs of programs.ts: the same names, parameter blocks and results as on the CPU device. */
import type { ProgramSource } from '../device/programs/program-source';

const tensorProgram = (name: string, options?: ProgramSource['options']): ProgramSource => ({
  name,
  file: `${name}.cu`,
  entry: name,
  defines: {},
  threads: 256,
  sharedMemoryBytes: 0,
  options,
});

/** Every program of tensors; the same for all architectures. */
export function tensorPrograms(_architecture: string): readonly ProgramSource[] {
  return [
    tensorProgram('tensor_arange'),
    tensorProgram('tensor_compare'),
    tensorProgram('tensor_copy'),
    // Waits for the kernel before it first of all: loops on the device grow lengths by it at each step.
    tensorProgram('tensor_fill', { pdl: true }),
    // A fused multiply and add would give other bits than the CPU device; see philox.h.
    tensorProgram('tensor_random', { compilerOptions: ['--fmad=false'] }),
  ];
}
