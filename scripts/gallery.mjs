/**
 * Executed copies of the notebooks, which GitHub shows with their pictures, in docs/gallery. A copy whose cells are still the
 * notebook's stays: a laptop's run doesn't replace an H100's. Plain JavaScript: it runs what has been built.
 *
 *   npm run gallery                       what has no copy, or one of older cells
 *   npm run gallery -- --all              all of them
 *   WARPBOOK_DEVICE=cuda npm run gallery -- --all      on a GPU
 */
import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
const gallery = join(root, 'docs', 'gallery');
const all = process.argv.includes('--all');

const sources = (file) =>
  JSON.stringify(JSON.parse(readFileSync(file, 'utf8')).cells.map(({ source }) => [source].flat().join('')));
const isCurrent = (name) => {
  const copy = join(gallery, name);
  return existsSync(copy) && sources(copy) === sources(join(root, 'notebooks', name));
};

const names = readdirSync(join(root, 'notebooks')).filter((name) => name.endsWith('.ipynb'));
const stale = names.filter((name) => all || !isCurrent(name));
for (const name of names) if (!stale.includes(name)) console.log(`${name}: its copy is up to date`);
if (stale.length > 0) {
  // One at a time: figures of runs that share a machine are nobody's.
  const args = ['run', ...stale.map((name) => join('notebooks', name)), '--out', gallery, '--jobs', '1'];
  const { status } = spawnSync(process.execPath, [join('dist', 'cli', 'main.js'), ...args], {
    cwd: root,
    stdio: 'inherit',
  });
  process.exitCode = status ?? 1;
}
const page = readFileSync(join(gallery, 'README.md'), 'utf8');
for (const name of names) {
  if (page.includes(`(${name})`)) continue;
  console.error(`docs/gallery/README.md does not list ${name}.`);
  process.exitCode = 1;
}
