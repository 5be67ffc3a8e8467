/** nbclient runs every notebook, and nbconvert's page of it holds the pictures. */
import { spawnSync } from 'node:child_process';
import { mkdirSync, readdirSync, readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import type { ICodeCell, INotebookContent } from '@jupyterlab/nbformat';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { packageRoot } from '../../src/notebook/kernel/package-paths';
import { python, pythonAvailability } from './support/clients';
import { JupyterHome } from './support/jupyter-home';

const folder = join(packageRoot, 'notebooks');
const read = (file: string): INotebookContent => JSON.parse(readFileSync(file, 'utf8')) as INotebookContent;
const needsGpu = ({ metadata }: { readonly metadata: Record<string, unknown> }): boolean =>
  ((metadata.tags ?? []) as readonly string[]).includes('gpu');
const names = readdirSync(folder).filter((name) => name.endsWith('.ipynb') && !needsGpu(read(join(folder, name))));

const available = pythonAvailability();
describe.skipIf(available.skip)(`nbclient and nbconvert${available.note}`, () => {
  const home = new JupyterHome();
  const out = join(home.folder, 'out');
  beforeAll(() => {
    mkdirSync(out);
  });
  afterAll(() => home.remove());

  const run = (args: string[]): void => {
    const { status, stdout, stderr } = spawnSync(python(), args, { cwd: home.work, env: home.env, encoding: 'utf8' });
    expect(status, `${stdout}\n${stderr}`).toBe(0);
  };

  it.each(names)('%s', { timeout: 180_000 }, (name) => {
    const executed = join(out, name);
    run([join(packageRoot, 'test/clients/run_notebooks.py'), out, folder, join(folder, name)]);
    const { cells } = read(executed);
    const code = cells.filter((cell) => cell.cell_type === 'code' && !needsGpu(cell)) as ICodeCell[];
    expect(code.map((cell) => cell.execution_count)).toEqual(code.map((_, i) => i + 1));
    const pictures = code.flatMap(({ outputs }) =>
      outputs.map((output) => (output.data as Record<string, string> | undefined)?.['image/png'] ?? ''),
    );
    const shown = pictures.filter((png) => png !== '').map((png) => png.replaceAll('\n', ''));
    // What cells for a GPU would show, nobody sees here.
    if (!cells.some(needsGpu)) expect(shown.length).toBeGreaterThan(0);

    run(['-m', 'nbconvert', '--to', 'html', '--log-level', 'ERROR', executed]);
    const page = readFileSync(join(out, `${basename(name, '.ipynb')}.html`), 'utf8').replaceAll(/\\n|\n/g, '');
    for (const png of shown) expect(page.includes(`data:image/png;base64,${png}`)).toBe(true);
  });
});
