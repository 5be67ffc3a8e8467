/** Text that looks like markup never becomes markup: in JupyterLab, and in the page that `warpbook run --html` writes. */
import { spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import type { Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { packageRoot } from '../../src/notebook/kernel/package-paths';
import { notebookJson, temporaryFolder } from '../support/notebooks';
import { browserAvailability, labAvailability, python } from './support/clients';
import { Lab, startBrowser } from './support/lab';
import { MARK, madeOfMarkup, markupCells, PLACES } from './support/markup';

/** Moves over every chart until its tooltip shows; returns how many did. */
async function hoverCharts(page: Page): Promise<number> {
  let shown = 0;
  const visible = page.locator('#vg-tooltip-element.visible');
  for (const chart of await page.locator('.vega-embed :is(canvas, svg).marks').all()) {
    await chart.scrollIntoViewIfNeeded();
    const box = await chart.boundingBox();
    if (!box) continue;
    const before = shown;
    for (let step = 0; step < 40 && shown === before; step++) {
      const [x, y] = [((step % 8) + 1) / 9, (Math.floor(step / 8) + 1) / 6];
      await page.mouse.move(box.x + box.width * x, box.y + box.height * y);
      shown += await visible.count();
    }
    await page.mouse.move(0, 0);
  }
  return shown;
}

const inLab = labAvailability();
describe.skipIf(inLab.skip)(`markup in JupyterLab${inLab.note}`, () => {
  let lab: Lab;
  beforeAll(async () => {
    lab = await Lab.start({ python: python() });
    writeFileSync(join(lab.home.work, 'markup.ipynb'), notebookJson(markupCells()));
  });
  afterAll(() => lab?.stop());

  it('stays text wherever it is shown, though the cells were run here and are trusted', async () => {
    const notebook = await lab.open('markup.ipynb');
    await notebook.command('notebook:run-all-cells');
    await notebook.ran((await notebook.cells.count()) - 1);
    expect(await hoverCharts(notebook.page)).toBeGreaterThan(0);
    for (const [i, place] of Object.keys(PLACES).entries()) {
      // A chart is pixels; its text is found in what the chart is made of.
      const isChart = (await notebook.output(i).locator('.vega-embed').count()) > 0;
      if (!isChart) expect(await notebook.text(i), place).toContain('<img src=x');
    }
    expect(await madeOfMarkup(notebook.page)).toEqual([]);
  });
});

const inBrowser = browserAvailability();
describe.skipIf(inBrowser.skip)(`markup in a page of \`warpbook run --html\`${inBrowser.note}`, () => {
  const folder = temporaryFolder();
  let browser: Awaited<ReturnType<typeof startBrowser>>;
  beforeAll(async () => {
    browser = await startBrowser();
  });
  afterAll(() => browser?.close());

  it('is found where it is taken for markup, so that the checks can fail', async () => {
    const page = await browser.newPage();
    await page.setContent(MARK);
    await expect.poll(() => madeOfMarkup(page)).toHaveLength(4);
    await page.close();
  });

  it('stays text wherever it is shown, in Markdown too', async () => {
    const file = join(folder, 'markup.ipynb');
    const markdown = {
      type: 'markdown',
      source: `# ${MARK}\n\n${MARK}\n\n[link](javascript:${'markupRan=1'})`,
    } as const;
    writeFileSync(file, notebookJson([...markupCells(), markdown]));
    const main = join(packageRoot, 'dist', 'cli', 'main.js');
    const run = spawnSync(process.execPath, [main, 'run', file, '--out', join(folder, 'out'), '--html'], {
      encoding: 'utf8',
    });
    expect(run.stderr).toMatch(/^ok /m);
    const page = await browser.newPage();
    await page.goto(pathToFileURL(join(folder, 'out', 'markup.html')).href);
    await page.locator('.vega-embed :is(canvas, svg).marks').first().waitFor();
    expect(await hoverCharts(page)).toBeGreaterThan(0);
    const text = await page.locator('main').innerText();
    expect(text.split('<img src=x').length - 1).toBeGreaterThanOrEqual(Object.keys(PLACES).length);
    expect(await madeOfMarkup(page)).toEqual([]);
  });
});
