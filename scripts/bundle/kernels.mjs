/**
 * Kernels built ahead, through a cache that outlives the bundle: what has not changed since the last one is not compiled again,
 * and what no source asks for any more stays behind.
 */
import { execFileSync } from 'node:child_process';
import { copyFileSync, mkdirSync, readdirSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';

/** Puts every kernel of `root`'s build, those of the tests included, into `target`/prebuilt. @returns their number */
export function buildKernels(root, target, architectures) {
  const cache = join(root, '.cache', 'kernels');
  const tests = join(root, 'test', 'device', 'kernels.json');
  const args = ['--arch', architectures.join(','), '--out', cache, '--also', tests, '--allow-spills'];
  execFileSync(process.execPath, [join(root, 'dist', 'cli', 'main.js'), 'build-kernels', ...args], {
    stdio: 'inherit',
  });

  const requireBuilt = createRequire(join(root, 'dist', 'index.js'));
  const { ownPrograms } = requireBuilt('./cli/build-kernels.js');
  const { KERNELS_FOLDER, readProgram } = requireBuilt('./device/programs/program-text.js');
  let count = 0;
  for (const architecture of architectures) {
    const sources = [
      ...ownPrograms(architecture).map((source) => readProgram(source, architecture, KERNELS_FOLDER)),
      ...JSON.parse(readFileSync(tests, 'utf8')).map((source) => readProgram(source, architecture, dirname(tests))),
    ];
    const keys = new Set(sources.map(({ key }) => key));
    mkdirSync(join(target, 'prebuilt', architecture), { recursive: true });
    for (const name of readdirSync(join(cache, architecture))) {
      if (!keys.has(name.split('-')[0])) continue;
      copyFileSync(join(cache, architecture, name), join(target, 'prebuilt', architecture, name));
      if (name.endsWith('.cubin')) count++;
    }
    for (const key of keys) {
      const found = readdirSync(join(target, 'prebuilt', architecture)).some((name) => name.startsWith(key));
      if (!found)
        throw new Error(
          `Got no build of kernel ${key} for ${architecture} in ${cache}; wanted all. Delete the folder and try again.`,
        );
    }
  }
  return count;
}
