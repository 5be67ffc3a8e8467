/** Every kernel of the strategies that is built ahead of time. */
import { attentionProgram, kernelVariants } from '../attention/kernel-variants';
import type { ProgramSource } from '../device/programs/program-source';
import { launcherProgram, mechanismPrograms, stepPrograms } from './step-programs';

/** For an architecture such as `sm_90a`. Launchers of other builds of attention are compiled when a strategy needs them. */
export function strategyPrograms(architecture: string): readonly ProgramSource[] {
  const lean = kernelVariants.filter(
    (kernel) =>
      kernel.dtype === 'bfloat16' && kernel.kvDtype === 'bfloat16' && kernel.headDim === 128 && !kernel.general,
  );
  const launchers = lean.map((kernel) => launcherProgram(attentionProgram(kernel, architecture)));
  return [...stepPrograms, ...Object.values(mechanismPrograms), ...launchers];
}
