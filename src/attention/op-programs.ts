/** The CUDA kernels beside attention itself: append and merge of states. The same names and parameters as on the CPU device. */
import type { ProgramSource } from '../device/programs/program-source';

/** Each waits for the kernel before it first of all, and lets the next one begin when it has ended: see pdl.cuh. */
const opProgram = (name: string): ProgramSource => ({
  name,
  file: `${name}.cu`,
  entry: name,
  defines: {},
  threads: 256,
  sharedMemoryBytes: 0,
  options: { pdl: true },
});

export const opPrograms: readonly ProgramSource[] = [opProgram('append_kv'), opProgram('merge_states')];
