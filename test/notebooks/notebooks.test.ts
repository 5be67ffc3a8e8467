/** How the package's notebooks are committed. That they run is seen by the plugin of vitest.config.mts: each is a test file. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { ICodeCell, INotebookContent } from '@jupyterlab/nbformat';
import { expect, it } from 'vitest';
import { packageRoot } from '../../src/notebook/kernel/package-paths';

const folder = join(packageRoot, 'notebooks');
const names = readdirSync(folder).filter((name) => name.endsWith('.ipynb'));

it('there are notebooks', () => {
  expect(names.length).toBeGreaterThan(0);
});

it.each(names)('%s is for this kernel, in the current format, without outputs', (name) => {
  const notebook: INotebookContent = JSON.parse(readFileSync(join(folder, name), 'utf8'));
  expect(notebook).toMatchObject({ nbformat: 4, nbformat_minor: 5, metadata: { kernelspec: { name: 'warpbook' } } });
  for (const cell of notebook.cells) {
    expect(cell.id).toEqual(expect.any(String));
    if (cell.cell_type === 'code') expect([(cell as ICodeCell).outputs, cell.execution_count]).toEqual([[], null]);
  }
});
