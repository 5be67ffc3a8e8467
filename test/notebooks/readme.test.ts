/** The README's example, run as a notebook cell: what newcomers copy has to work. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, expect, it } from 'vitest';
import { packageRoot } from '../../src/notebook/kernel/package-paths';
import { failureText } from '../../src/notebook/run/report';
import { runNotebook } from '../../src/notebook/run/run-notebook';
import { requireBuilt, temporaryFolder, writeFixture } from '../support/notebooks';

beforeAll(requireBuilt);

it('the example runs, and its last line shows a chart', async () => {
  const readme = readFileSync(join(packageRoot, 'README.md'), 'utf8');
  const blocks = [...readme.matchAll(/```ts\n([\s\S]*?)```/g)].map((match) => match[1].trim());
  expect(blocks.length).toBeGreaterThan(0);
  const report = await runNotebook(writeFixture(temporaryFolder(), 'readme', blocks));
  if (report.failure) throw new Error(failureText('README.md', report.failure));
  expect(JSON.stringify(report.notebook.cells.at(-1))).toContain('application/vnd.vegalite.v5+json');
}, 60_000);
