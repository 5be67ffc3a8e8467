/** Every notebook of the package, from its first cell to its last, in the kernel that Jupyter would start. */
import { readdirSync, readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import type { ICodeCell, INotebookContent } from '@jupyterlab/nbformat';
import { beforeAll, describe, expect, it } from 'vitest';
import { packageRoot } from '../../src/notebook/kernel/package-paths';
import { failureText } from '../../src/notebook/run/report';
import { runNotebook } from '../../src/notebook/run/run-notebook';
import { requireBuilt } from '../support/notebooks';

const folder = join(packageRoot, 'notebooks');
const files = readdirSync(folder)
  .filter((name) => name.endsWith('.ipynb'))
  .map((name) => join(folder, name));

beforeAll(requireBuilt);

it('there are notebooks', () => {
  expect(files.length).toBeGreaterThan(0);
});

describe.each(files.map((file) => [basename(file), file]))('%s', (_, file) => {
  const notebook: INotebookContent = JSON.parse(readFileSync(file, 'utf8'));

  it('is committed for this kernel, in the current format, without outputs', () => {
    expect(notebook).toMatchObject({ nbformat: 4, nbformat_minor: 5, metadata: { kernelspec: { name: 'warpbook' } } });
    for (const cell of notebook.cells) {
      expect(cell.id).toEqual(expect.any(String));
      if (cell.cell_type === 'code') expect([(cell as ICodeCell).outputs, cell.execution_count]).toEqual([[], null]);
    }
  });

  it('runs from top to bottom', async () => {
    const report = await runNotebook(file, { timeoutS: 240 });
    if (report.failure) throw new Error(failureText(basename(file), report.failure));
    const first = Math.round(report.firstResultMs);
    console.log(
      `${basename(file)}: first result after ${first} ms, whole notebook ${Math.round(report.durationMs)} ms`,
    );
  }, 250_000);
});
