/** The CUDA kernels behind the programs of step-params.ts, and those by which a GPU launches work for itself. */
import type { ProgramSource } from '../device/programs/program-source';

const stepProgram = (name: string, options: Partial<ProgramSource> = {}): ProgramSource => ({
  name,
  file: `strategy/${name}.cu`,
  entry: name,
  defines: {},
  threads: 256,
  sharedMemoryBytes: 0,
  ...options,
});

/** What every step needs; on the CPU device they are built in. None lets the next kernel begin before it has ended. */
export const stepPrograms: readonly ProgramSource[] = [
  stepProgram('advance_step'),
  stepProgram('chunk_tiles'),
  stepProgram('hold_stream', { threads: 1 }),
  // Behind attention's end: CTAs that begin early pile up on the SMs that are free first, and cost 4 µs a layer on an H100.
  stepProgram('project_heads', { threads: 128 }),
];

/** What calls the device runtime is linked with it. */
const linked = { linksDeviceRuntime: true };

type Mechanism = 'chooseGraph' | 'chooseBody' | 'loopCondition' | 'updateNodes' | 'mergePartials';

/** Kernels that choose among graphs and bodies, change nodes and go round loops. */
export const mechanismPrograms: Readonly<Record<Mechanism, ProgramSource>> = {
  chooseGraph: stepProgram('choose_graph', { threads: 1, options: linked }),
  chooseBody: stepProgram('choose_body', { threads: 1, options: linked }),
  loopCondition: stepProgram('loop_condition', { threads: 1, options: linked }),
  updateNodes: stepProgram('update_nodes', { options: linked }),
  mergePartials: stepProgram('merge_partials', { threads: 128 }),
};

/** A launcher of attention: `attention` is the program of the wrapper, whose kernel becomes the launcher's child. */
export function launcherProgram(attention: ProgramSource): ProgramSource {
  return stepProgram(`launch_${attention.name}`, {
    file: 'strategy/launch_attention.cu',
    entry: 'launch_attention',
    defines: attention.defines,
    threads: 32,
    options: {
      compilerOptions: attention.options?.compilerOptions,
      children: [{ entry: attention.entry, sharedMemoryBytes: attention.sharedMemoryBytes }],
    },
  });
}
