/** Programs onto a CUDA device: compiled or out of the cache, then loaded under their names. */
import { WarpbookError } from '../../errors';
import type { ProgramInfo } from '../backend';
import type { Device } from '../device';
import { type CompileProgress, Compiler, type CompilerOptions, compilerFor } from './compile';
import type { ProgramSource } from './program-source';

/**
 * Makes `sources` launchable on `device`, and answers with what the device made of each, by name. What is in the cache is
 * loaded within milliseconds; the rest is compiled, several at a time, off the main thread.
 *
 * Throws `COMPILATION_FAILED` for a source that does not compile, `UNSUPPORTED` on the CPU device, where there is neither
 * a built kernel nor a compiler, and for a program that the GPU can't run.
 */
export async function loadPrograms(
  device: Device,
  sources: readonly ProgramSource[],
  options: Omit<CompilerOptions, 'driverVersion'> & { onProgress?: (progress: CompileProgress) => void } = {},
): Promise<ReadonlyMap<string, ProgramInfo>> {
  const { architecture, driverVersion } = device.description;
  if (architecture === undefined) {
    throw new WarpbookError(
      'UNSUPPORTED',
      `Got programs to load on device '${device.name}' of kind '${device.kind}', whose programs are built in; wanted a CUDA device.`,
    );
  }
  const { onProgress, ...rest } = options;
  const custom = rest.cache !== undefined || rest.kernelsFolder !== undefined;
  const compiler = custom ? new Compiler(architecture, { ...rest, driverVersion }) : compilerFor(device, architecture);

  const compiled = await compiler.compileAll(sources, onProgress);
  const infos = new Map<string, ProgramInfo>();
  for (const [index, source] of sources.entries()) {
    const { entry, threads, sharedMemoryBytes, options: launch } = source;
    const info = await device.loadProgram(source.name, compiled[index].image, {
      entry,
      threads,
      sharedMemoryBytes,
      cooperative: launch?.cooperative,
      pdl: launch?.pdl,
      clusterSize: launch?.clusterSize,
      children: launch?.children,
    });
    infos.set(source.name, info);
  }
  return infos;
}
