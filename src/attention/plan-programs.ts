/** The CUDA kernels behind the programs of plan-params.ts: the same names, parameter blocks and results as on the CPU device. */
import type { ProgramSource } from '../device/programs/program-source';
import { PLAN_RULES } from './plan-params';

/**
 * Neither lets the next kernel begin before it has ended: attention reads its list and page ids before it waits. Nor does
 * either begin early itself: its waiting CTAs would be in the way of the last ones of the attention before it.
 */
const planProgram = (name: string, threads: number): ProgramSource => ({
  name,
  file: `${name}.cu`,
  entry: name,
  defines: {},
  threads,
  sharedMemoryBytes: 0,
});

export const planPrograms: readonly ProgramSource[] = [
  planProgram('plan_tiles', PLAN_RULES.plannerThreads),
  planProgram('scatter_words', 256),
];
