/** The page on kernels of one's own, run as notebook cells over a fake driver and a fake compiler; and a source that fails. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeAll, beforeEach, expect, it, vi } from 'vitest';
import { programsAtOpening } from '../../src/attention/open-device';
import { packageRoot } from '../../src/notebook/kernel/package-paths';
import { failureText, outputText } from '../../src/notebook/run/report';
import { runNotebook } from '../../src/notebook/run/run-notebook';
import { buildFakeDriver, buildFakeNvrtc } from '../support/fake-cuda/build';
import { fakeLines } from '../support/fake-cuda/sources';
import { requireBuilt, temporaryFolder, writeFixture } from '../support/notebooks';

/** What the fake compiler makes of every source: the programs that a device opens with, and the page's kernel. */
const FAKE_LINES = [
  ...programsAtOpening('sm_90a').map(({ entry }) => `// fake: ${entry} 48 32 0 0 1024`),
  ...fakeLines('scale<float>', 'scale_f32', '8+4+4', 'Pffi'),
];

const folder = temporaryFolder();
beforeAll(requireBuilt);
beforeEach(() => {
  vi.stubEnv('WARPBOOK_CUDA_LIBRARY', buildFakeDriver());
  vi.stubEnv('CUDA_HOME', buildFakeNvrtc());
  vi.stubEnv('FAKE_NVRTC_LINES', FAKE_LINES.join('\n'));
  vi.stubEnv('WARPBOOK_CACHE', join(folder, 'cache'));
});
afterEach(() => vi.unstubAllEnvs());

it("the page's cells run, and show kernel and values", async () => {
  const page = readFileSync(join(packageRoot, 'docs', 'your-own-kernels.md'), 'utf8');
  const cells = [...page.matchAll(/```ts\n([\s\S]*?)```/g)].map((match) => match[1].trim());
  expect(cells).toHaveLength(3);
  const report = await runNotebook(writeFixture(folder, 'page', cells));
  if (report.failure) throw new Error(failureText('docs/your-own-kernels.md', report.failure));
  const text = outputText(report.notebook);
  expect(text).toContain('Compiling a kernel');
  expect(text).toMatch(/signature +scale<float>\(float\* x, float factor, int count\)/);
  expect(text).toMatch(/registers +40 a thread/);
  expect(JSON.stringify(report.notebook.cells[1])).toMatch(/5, *5, *5/);
  expect(JSON.stringify(report.notebook.cells[2])).toMatch(/25, *25, *25/);
}, 60_000);

it('a source that does not compile fails its cell, and shows its lines', async () => {
  const cells = [
    "const gpu = await openDevice('cuda');",
    "await gpu.compile('__global__ void bad(float* x) {}\\n#error of the cell', { name: 'bad' });",
  ];
  const report = await runNotebook(writeFixture(folder, 'failing', cells));
  expect(report.failure).toMatchObject({ code: 'NOTEBOOK_FAILED', cell: 2 });
  const traceback = String(report.failure?.traceback.join('\n'));
  expect(traceback).toContain('  kernel.cu(2): error: of the cell\n  2 | #error of the cell\n    |        ^');
  expect(traceback).not.toContain('warpbook_signature');
  const shown = JSON.stringify(report.notebook.cells[1]);
  expect(shown).toContain('<strong>kernel.cu, line 2: error:</strong> of the cell');
  expect(shown).toContain('All that the compiler said');
}, 60_000);
