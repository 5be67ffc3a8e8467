/** The CUDA kernels behind the programs of plan-params.ts: the same names, parameter blocks and results as on the CPU device. */
import type { ProgramSource } from '../device/programs/program-source';
import { PLAN_RULES } from './plan-params';

/** Each waits for the kernel before it first of all, and lets the next one begin when it has ended: see pdl.cuh. */
const planProgram = (name: string, threads: number): ProgramSource => ({
  name,
  file: `${name}.cu`,
  entry: name,
  defines: {},
  threads,
  sharedMemoryBytes: 0,
  options: { pdl: true },
});

export const planPrograms: readonly ProgramSource[] = [
  planProgram('plan_tiles', PLAN_RULES.plannerThreads),
  planProgram('scatter_words', 256),
];
