/**
 * Pictures of JupyterLab with a notebook of warpbook's, light and dark, for the docs: runs it in JupyterLab in a browser and
 * writes docs/images/jupyterlab-*.png.
 *
 *   npm run screenshots        needs Python and Chromium; see scripts/client-environment.ts
 */
import { copyFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { packageRoot } from '../src/notebook/kernel/package-paths';
import { Lab, type LabNotebook } from '../test/clients/support/lab';
import { clientPython } from './client-environment';

const NOTEBOOK = '01-first-decode.ipynb';
const WIDTH = 1280;
const HEIGHT = 860;
const MAX_BYTES = 150_000;
const THEMES = { light: 'JupyterLab Light', dark: 'JupyterLab Dark' } as const;
/** Code cells, from 0, that each picture begins with. */
const SCENES = { schedule: 4, timeline: 8 } as const;

async function main(): Promise<void> {
  const found = clientPython();
  if ('missing' in found) throw new Error(found.missing);
  for (const [name, theme] of Object.entries(THEMES)) {
    const settings = { '@jupyterlab/apputils-extension/themes': { theme } };
    const lab = await Lab.start({ python: found.python, settings, viewport: { width: WIDTH, height: HEIGHT } });
    try {
      copyFileSync(join(packageRoot, 'notebooks', NOTEBOOK), join(lab.home.work, NOTEBOOK));
      const notebook = await lab.open(NOTEBOOK);
      await notebook.command('application:toggle-left-area');
      await notebook.command('notebook:run-all-cells');
      await notebook.ran((await notebook.cells.count()) - 1);
      for (const [scene, cell] of Object.entries(SCENES)) {
        await shoot(notebook, cell, join(packageRoot, 'docs', 'images', `jupyterlab-${scene}-${name}.png`));
      }
    } finally {
      await lab.stop();
    }
  }
}

async function shoot(notebook: LabNotebook, cell: number, path: string): Promise<void> {
  await notebook.cells.nth(cell).evaluate((element: Element) => element.scrollIntoView({ block: 'start' }));
  await notebook.page.mouse.move(0, 0);
  await notebook.page.waitForTimeout(500);
  await notebook.page.screenshot({ path });
  const { size } = statSync(path);
  console.log(`${path}: ${Math.round(size / 1000)} kB`);
  if (size > MAX_BYTES) throw new Error(`${path} has ${size} bytes; wanted at most ${MAX_BYTES}.`);
}

main().catch((error) => {
  console.error(error);
  process.exitCode = 1;
});
