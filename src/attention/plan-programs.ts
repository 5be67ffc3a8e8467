/** The CUDA kernels behind the programs of plan-params.ts: the same names, parameter blocks and results as on the CPU device. */
import type { ProgramSource } from '../device/programs/program-source';
import { PLAN_RULES } from './plan-params';

/** Every program that rewrites plan data; the same for all architectures. */
export const planPrograms: readonly ProgramSource[] = [
  {
    name: 'plan_tiles',
    file: 'plan_tiles.cu',
    entry: 'plan_tiles',
    defines: {},
    threads: PLAN_RULES.maxItems,
    sharedMemoryBytes: 0,
    // It starts while the kernel before ends, and waits for it first of all.
    options: { pdl: true },
  },
  {
    name: 'scatter_words',
    file: 'scatter_words.cu',
    entry: 'scatter_words',
    defines: {},
    threads: 256,
    sharedMemoryBytes: 0,
  },
];
