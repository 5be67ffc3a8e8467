import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { INotebookContent } from '@jupyterlab/nbformat';
import { describe, expect, it } from 'vitest';
import { WarpbookError } from '../../../src/errors';
import { checkNotebook, parseNotebook, readNotebook, writeNotebook } from '../../../src/notebook/run/notebook-file';
import { notebookJson, temporaryFolder } from '../../support/notebooks';

const folder = temporaryFolder();

function messageOf(f: () => unknown): string {
  try {
    f();
  } catch (error) {
    if (error instanceof WarpbookError) return `${error.code}: ${error.message}`;
    throw error;
  }
  throw new Error('it did not throw');
}

const good = JSON.parse(notebookJson(['1', { source: '# Title', type: 'markdown' }]));
const changed = (change: (notebook: typeof good) => void): string => {
  const copy = structuredClone(good);
  change(copy);
  return JSON.stringify(copy, undefined, 1);
};

describe('a broken notebook', () => {
  it.each([
    ['{\n "cells": [,\n', 'n.ipynb, line 2: got ","; wanted a JSON value. The file is no valid JSON.'],
    [
      changed((n) => {
        n.nbformat = 3;
      }),
      'n.ipynb, line 2: got nbformat 3; wanted 4. Convert it: jupyter nbconvert --to notebook',
    ],
    [
      changed((n) => {
        n.cells = {};
      }),
      'n.ipynb, line 10: cells: expected array, received object.',
    ],
    [
      changed((n) => {
        n.cells[1].source = 5;
      }),
      'n.ipynb, line 25: cells[1].source: expected a string or a list of strings.',
    ],
    [
      changed((n) => {
        delete n.metadata;
      }),
      'n.ipynb, line 1: metadata: expected object, received undefined.',
    ],
    [
      changed((n) => {
        n.cells[0].outputs = [{ output_type: 'stream', name: 'stdin', text: '' }];
      }),
      'expected one of "stdout"|"stderr"',
    ],
    ['[]', 'n.ipynb, line 1: the notebook: expected object, received array.'],
    ['null', 'n.ipynb, line 1: the notebook: expected object, received null.'],
  ])('is refused with its line: %#', (text, message) => {
    const got = messageOf(() => parseNotebook(text, 'n.ipynb'));
    expect(got).toContain('FILE_FORMAT: ');
    expect(got).toContain(message);
  });

  it('names an unknown kind of cell', () => {
    const text = changed((n) => {
      n.cells[1].cell_type = 'heading';
    });
    expect(messageOf(() => parseNotebook(text, 'n.ipynb'))).toMatch(/line 22: cells\[1\]\.cell_type: /);
  });

  it('is told apart from none', () => {
    const file = join(folder, 'none.ipynb');
    expect(messageOf(() => readNotebook(file))).toBe(
      `FILE_NOT_FOUND: got '${file}', which does not exist; wanted a notebook (.ipynb).`,
    );
    expect(messageOf(() => readNotebook(folder))).toContain('FILE_FORMAT: ');
  });
});

describe('a notebook of an older format', () => {
  const old = changed((n) => {
    n.nbformat_minor = 2;
    for (const cell of n.cells) delete cell.id;
    n.cells[0].source = ['a\n', 'b'];
    n.cells.push(structuredClone(n.cells[0]));
  });

  it('gets ids, the same each time, and single strings', () => {
    const first = parseNotebook(old, 'n.ipynb');
    checkNotebook(first);
    expect(first).toMatchObject({ nbformat: 4, nbformat_minor: 5 });
    expect(first.cells[0].source).toBe('a\nb');
    expect(new Set(first.cells.map((cell) => cell.id)).size).toBe(3);
    expect(parseNotebook(old, 'n.ipynb')).toEqual(first);
  });
});

describe('a written notebook', () => {
  const withOutputs = (): INotebookContent => {
    const notebook = parseNotebook(JSON.stringify(good), 'n.ipynb');
    Object.assign(notebook.cells[0], {
      execution_count: 1,
      outputs: [
        { output_type: 'stream', name: 'stdout', text: 'a\nb\n' },
        {
          output_type: 'display_data',
          data: { 'text/html': 'x\ny', 'image/png': 'AA\n', 'application/json': { a: 1 } },
          metadata: {},
        },
        { output_type: 'error', ename: 'E', evalue: 'v', traceback: ['t'] },
      ],
    });
    return notebook;
  };

  it('has texts as lists of lines, and comes back as it was', () => {
    const file = join(folder, 'written.ipynb');
    const notebook = withOutputs();
    writeNotebook(file, notebook);
    const text = readFileSync(file, 'utf8');
    expect(text.endsWith('}\n')).toBe(true);
    const [stream, display] = JSON.parse(text).cells[0].outputs;
    expect(stream.text).toEqual(['a\n', 'b\n']);
    expect(display.data).toEqual({ 'text/html': ['x\n', 'y'], 'image/png': 'AA\n', 'application/json': { a: 1 } });
    const again = readNotebook(file);
    expect(again.cells.map(({ source, id }) => [source, id])).toEqual(
      notebook.cells.map(({ source, id }) => [source, id]),
    );
  });

  it.each([
    [
      'cells[0].execution_count',
      (n: INotebookContent) => {
        n.cells[0].execution_count = 1.5;
      },
    ],
    [
      'cells[0].outputs[0]',
      (n: INotebookContent) => {
        (n.cells[0].outputs as object[])[0] = { output_type: 'stream', name: 'stdout', text: '', transient: {} };
      },
    ],
    [
      'cells[0].id',
      (n: INotebookContent) => {
        n.cells[0].id = 'a b';
      },
    ],
    [
      'cells[1]',
      (n: INotebookContent) => {
        n.cells[1].outputs = [];
      },
    ],
    [
      "two cells have the id 'cell-1'",
      (n: INotebookContent) => {
        n.cells[1].id = 'cell-1';
      },
    ],
    [
      'nbformat_minor',
      (n: INotebookContent) => {
        n.nbformat_minor = 4;
      },
    ],
  ])('is checked: %s', (path, change) => {
    const notebook = withOutputs();
    checkNotebook(notebook);
    change(notebook);
    expect(messageOf(() => checkNotebook(notebook))).toContain(`FILE_FORMAT: notebook: ${path}`);
  });
});
