/** The programs that every device has by name; on the CPU device they are part of the addon. */
import type { ProgramSource } from './program-source';

/** Sources of the built-in programs of a CUDA device. */
export function builtInPrograms(): readonly ProgramSource[] {
  return [{ name: 'noop', file: 'noop.cu', entry: 'noop', defines: {}, threads: 32, sharedMemoryBytes: 0 }];
}
