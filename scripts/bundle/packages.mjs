/** The packages that `dist` needs, copied without what nothing loads at run time. Knows node_modules, no bundle. */
import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  realpathSync,
  statSync,
} from 'node:fs';
import { dirname, join, relative } from 'node:path';

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
  // Folders are asked about too, with a slash at their end.
  'dejavu-fonts-ttf': [/^(?!package\.json$|ttf\/$|ttf\/DejaVuSans(-Bold)?\.ttf$)/],
};

/** Folders of the packages that `dist` needs, without the package manager: it would count peers that only tests have. */
function* productionPackages(root) {
  const seen = new Set();
  const waiting = [[root, Object.keys(JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')).dependencies)]];
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

/** Copies the production packages of `root` into `target`/node_modules. */
export function copyPackages(root, target) {
  const modules = realpathSync(join(root, 'node_modules'));
  for (const folder of productionPackages(root)) {
    const place = relative(modules, folder);
    const name = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8')).name;
    const leftOut = [...LEFT_OUT['*'], ...(LEFT_OUT[name] ?? [])];
    copyTree(folder, join(target, 'node_modules', place), (path) => !leftOut.some((pattern) => pattern.test(path)));
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
