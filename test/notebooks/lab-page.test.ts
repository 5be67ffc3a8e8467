/** The cells of the page on the lab, run as a notebook: what users copy has to work. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, expect, it } from 'vitest';
import { packageRoot } from '../../src/notebook/kernel/package-paths';
import { failureText, outputText } from '../../src/notebook/run/report';
import { runNotebook } from '../../src/notebook/run/run-notebook';
import { requireBuilt, temporaryFolder, writeFixture } from '../support/notebooks';

const page = readFileSync(join(packageRoot, 'docs', 'lab.md'), 'utf8');
const cells = [...page.matchAll(/```ts\n([\s\S]*?)```/g)].map((match) => match[1].trim());
beforeAll(requireBuilt);

it('the cells run: a leaderboard, two sweeps, a comparison of strategies', async () => {
  const report = await runNotebook(writeFixture(temporaryFolder(), 'lab', cells));
  if (report.failure) throw new Error(failureText('docs/lab.md', report.failure));
  const text = outputText(report.notebook);
  expect(text).toMatch(/Leaderboard\(3 policies × 50 batches on H100 SXM/);
  expect(text).toMatch(/devicePlanned .*\n.*graphPool/);
  expect(report.notebook.cells).toHaveLength(4);
  expect(report.notebook.cells.every(({ outputs }) => (outputs as unknown[]).length > 0)).toBe(true);
}, 120_000);
