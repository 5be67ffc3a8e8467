/** Kernels built ahead, in a cache that outlives the bundle: what has not changed since the last one is not compiled again. */
import { execFileSync } from 'node:child_process';
import { cpSync, readdirSync } from 'node:fs';
import { join } from 'node:path';

/** Puts every kernel of `root`'s build, those of the tests included, into `target`/prebuilt. @returns their number */
export function buildKernels(root, target, architectures) {
  const cache = join(root, '.cache', 'kernels');
  const tests = join(root, 'test', 'device', 'kernels.json');
  const args = ['--arch', architectures.join(','), '--out', cache, '--also', tests, '--allow-spills', '--prune'];
  execFileSync(process.execPath, [join(root, 'dist', 'cli', 'main.js'), 'build-kernels', ...args], {
    stdio: 'inherit',
  });
  let count = 0;
  for (const architecture of architectures) {
    const built = join(target, 'prebuilt', architecture);
    cpSync(join(cache, architecture), built, { recursive: true });
    count += readdirSync(built).filter((name) => name.endsWith('.cubin')).length;
  }
  return count;
}
