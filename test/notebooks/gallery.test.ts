/** The executed notebooks that GitHub renders: whole runs of notebooks that there are, with pictures it can show. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { ICodeCell, INotebookContent } from '@jupyterlab/nbformat';
import { describe, expect, it } from 'vitest';
import { packageRoot } from '../../src/notebook/kernel/package-paths';

const gallery = join(packageRoot, 'docs/gallery');
const read = (folder: string, name: string): INotebookContent =>
  JSON.parse(readFileSync(join(folder, name), 'utf8')) as INotebookContent;
const names = readdirSync(gallery).filter((name) => name.endsWith('.ipynb'));

it('the page lists every copy', () => {
  const page = readFileSync(join(gallery, 'README.md'), 'utf8');
  expect(names.length).toBeGreaterThan(0);
  for (const name of names) expect(page).toContain(`(${name})`);
});

describe.each(names)('%s', (name) => {
  const copy = read(gallery, name);
  const code = copy.cells.filter((cell) => cell.cell_type === 'code') as ICodeCell[];

  it('has the cells of the notebook, all of them run in order and without an error', () => {
    const ids = (notebook: INotebookContent) => notebook.cells.map(({ id }) => id);
    expect(ids(copy)).toEqual(ids(read(join(packageRoot, 'notebooks'), name)));
    expect(code.map(({ execution_count }) => execution_count)).toEqual(code.map((_, i) => i + 1));
    expect(code.flatMap(({ outputs }) => outputs).filter(({ output_type }) => output_type === 'error')).toEqual([]);
  });

  it('tells no folder of the machine that it ran on', () => {
    expect(JSON.stringify(copy)).not.toMatch(/\/(home|root|tmp|work|Users)\//);
  });

  it('has a PNG for every chart', () => {
    const bundles = code.flatMap(({ outputs }) =>
      outputs.map((output) => (output.data ?? {}) as Record<string, unknown>),
    );
    // A graph's picture is no Vega-Lite chart: 07b has that alone.
    const pictures = bundles.filter((data) => 'application/vnd.vegalite.v5+json' in data || 'image/png' in data);
    expect(pictures.length).toBeGreaterThan(0);
    for (const data of pictures) expect(data['image/png']).toMatch(/^iVBOR/);
  });
});
