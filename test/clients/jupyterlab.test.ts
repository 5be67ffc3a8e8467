/** A person's way through JupyterLab: open, run all, complete, interrupt, restart, read an error, answer a prompt. */
import { copyFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { packageRoot } from '../../src/notebook/kernel/package-paths';
import { notebookJson } from '../support/notebook-json';
import { labAvailability, python } from './support/clients';
import { Lab, type LabNotebook } from './support/lab';

const available = labAvailability();
const NOTEBOOK = '01-first-decode.ipynb';

const CELLS = {
  thrown: 'console.log("before");\nfunction fail(x: number): never {\n  throw new RangeError("no " + x);\n}\nfail(3)',
  untyped: 'const size: number = 1;\nconst text: string = size;',
  prompt: 'const name = prompt("Your name?");\nconsole.log("Hello", name + "!");',
  display: 'const shown = display("first");\nconsole.log("between");',
  update: 'shown.update("second");\nconsole.log("updated");',
  completion: 'const lengths = new Map<string, number>();\nlengths.',
  tooltip: 'policies',
  loop: 'console.log("looping");\nawait null;\nfor (;;) {}',
  after: 'console.log("Hello again,", name)',
} as const;
const at = (name: keyof typeof CELLS): number => Object.keys(CELLS).indexOf(name);

describe.skipIf(available.skip)(`JupyterLab${available.note}`, () => {
  let lab: Lab;
  beforeAll(async () => {
    lab = await Lab.start({ python: python() });
    copyFileSync(join(packageRoot, 'notebooks', NOTEBOOK), join(lab.home.work, NOTEBOOK));
    writeFileSync(join(lab.home.work, 'cells.ipynb'), notebookJson(Object.values(CELLS)));
  });
  afterAll(() => lab?.stop());

  it(`opens ${NOTEBOOK}, runs all of its cells, and shows tables, charts and pictures`, async () => {
    const notebook = await lab.open(NOTEBOOK);
    await notebook.command('notebook:run-all-cells');
    const numCells = await notebook.cells.count();
    await notebook.ran(numCells - 1);
    const kinds: Record<string, number> = {};
    for (let i = 0; i < numCells; i++) {
      const output = notebook.output(i);
      expect(await output.locator('[data-mime-type="application/vnd.jupyter.stderr"]').count(), `cell ${i + 1}`).toBe(
        0,
      );
      for (const [kind, selector] of Object.entries({
        chart: '.jp-RenderedVegaCommon5 .vega-embed :is(svg.marks, canvas.marks)',
        table: '.jp-RenderedHTMLCommon table',
        picture: '.jp-RenderedImage img',
      })) {
        kinds[kind] = (kinds[kind] ?? 0) + (await output.locator(selector).count());
      }
    }
    expect(kinds.chart).toBeGreaterThanOrEqual(2);
    expect(kinds.table).toBeGreaterThanOrEqual(3);
    expect(kinds.picture).toBeGreaterThanOrEqual(1);
    // The schedule's chart has its bars: something is drawn, and in more than one colour.
    const [width, colours] = await notebook
      .output(4)
      .locator('canvas.marks')
      .evaluate((canvas: HTMLCanvasElement) => {
        const pixels = canvas.getContext('2d')?.getImageData(0, 0, canvas.width, canvas.height).data ?? [];
        const seen = new Set<number>();
        for (let i = 0; i < pixels.length; i += 4) seen.add((pixels[i] << 16) | (pixels[i + 1] << 8) | pixels[i + 2]);
        return [canvas.width, seen.size];
      });
    expect(width).toBeGreaterThan(300);
    expect(colours).toBeGreaterThan(8);
    await notebook.close();
  });

  describe('cell by cell', () => {
    let notebook: LabNotebook;
    beforeAll(async () => {
      notebook = await lab.open('cells.ipynb');
    });

    it('shows an exception with the line, a caret, and no frame of the machinery', async () => {
      await notebook.run(at('thrown'));
      expect(await notebook.lines(at('thrown'))).toEqual([
        'before',
        'RangeError: no 3',
        '    at fail (cell 1, line 3, column 9)',
        '    at cell 1, line 5, column 1',
        '',
        '  3 |   throw new RangeError("no " + x);',
        '    |         ^',
      ]);
    });

    it('shows a type error with the line and a caret', async () => {
      await notebook.run(at('untyped'));
      expect(await notebook.lines(at('untyped'))).toEqual([
        "TypeScript error TS2322 (cell 2, line 2, column 7): Type 'number' is not assignable to type 'string'.",
        '  2 | const text: string = size;',
        '    |       ^^^^',
      ]);
    });

    it('asks for a line and gets it', async () => {
      await notebook.start(at('prompt'));
      await notebook.answer('Ada');
      await notebook.ran(at('prompt'));
      expect(await notebook.text(at('prompt'))).toMatch(/Your name\?.*Ada\n+Hello Ada!/);
    });

    it('updates a display in place, from a later cell', async () => {
      await notebook.run(at('display'));
      expect(await notebook.lines(at('display'))).toEqual(['first', 'between']);
      await notebook.run(at('update'));
      expect(await notebook.lines(at('update'))).toEqual(['updated']);
      expect(await notebook.lines(at('display'))).toEqual(['second', 'between']);
    });

    it('completes members with Tab, and takes the chosen one', async () => {
      await notebook.edit(at('completion'));
      await notebook.page.keyboard.press('Tab');
      const completer = notebook.page.locator('.jp-Completer');
      await completer.waitFor();
      const names = await completer.locator('.jp-Completer-match').allInnerTexts();
      expect(names).toEqual(expect.arrayContaining(['clear', 'delete', 'get', 'has', 'set', 'size']));
      await notebook.page.keyboard.type('ge');
      await expect.poll(() => completer.locator('.jp-Completer-match').allInnerTexts()).toEqual(['get']);
      await notebook.page.keyboard.press('Enter');
      expect(await notebook.source(at('completion'))).toContain('lengths.get');
      await notebook.page.keyboard.press('Escape');
    });

    it('tells the type and the documentation with Shift-Tab', async () => {
      await notebook.edit(at('tooltip'));
      await notebook.page.keyboard.press('Shift+Tab');
      const tooltip = notebook.page.locator('.jp-Tooltip');
      await tooltip.waitFor();
      await expect.poll(() => tooltip.innerText()).toContain('binarySearch');
      await notebook.page.keyboard.press('Escape');
    });

    it('interrupts a loop after an await; what it has printed is there already, and the kernel goes on', async () => {
      await notebook.start(at('loop'));
      await expect.poll(() => notebook.text(at('loop'))).toContain('looping');
      await notebook.command('notebook:interrupt-kernel');
      await notebook.ran(at('loop'));
      expect(await notebook.lines(at('loop'))).toEqual(['looping', 'Interrupted: The cell was interrupted.']);
      await notebook.run(at('after'));
      expect(await notebook.lines(at('after'))).toEqual(['Hello again, Ada']);
    });

    it('restarts: what was declared is gone, and cells run again', async () => {
      await notebook.restart();
      await notebook.run(at('update'));
      expect((await notebook.lines(at('update')))[0]).toContain("Cannot find name 'shown'");
      await notebook.run(at('display'));
      expect(await notebook.lines(at('display'))).toEqual(['first', 'between']);
    });
  });
});
