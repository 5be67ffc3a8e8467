/**
 * Compiled JavaScript kept between kernels, where Node can (from 22.8 on): the compiler and vega are half of what a start
 * costs, and they are the same each time. Knows nothing of kernels.
 */
import Module from 'node:module';
import { homedir } from 'node:os';
import { join } from 'node:path';

/** From now on modules are loaded from the user's own cache. Failures are no matter: then they are compiled. */
export function keepCompiledCode(environment: NodeJS.ProcessEnv = process.env): void {
  const { enableCompileCache } = Module as { enableCompileCache?: (folder: string) => unknown };
  // Not Node's own default, which lies in the folder of temporary files: what is kept there is run.
  enableCompileCache?.(join(environment.XDG_CACHE_HOME || join(homedir(), '.cache'), 'warpbook', 'code'));
}
