/** The cells of the page on policies, run as a notebook. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, expect, it } from 'vitest';
import { packageRoot } from '../../src/notebook/kernel/package-paths';
import { failureText, outputText } from '../../src/notebook/run/report';
import { runNotebook } from '../../src/notebook/run/run-notebook';
import { policies } from '../../src/schedule/policies/known';
import { requireBuilt, temporaryFolder, writeFixture } from '../support/notebooks';

const page = readFileSync(join(packageRoot, 'docs', 'policies.md'), 'utf8');
const cells = [...page.matchAll(/```ts\n([\s\S]*?)```/g)].map((match) => match[1].trim());
const folder = temporaryFolder();
beforeAll(requireBuilt);

it('the page knows every policy', () => {
  for (const name of Object.keys(policies)) expect(page.split(`\`${name}`).length, name).toBeGreaterThan(2);
});

it('FlashInfer’s binary search is at most 25 lines', () => {
  expect(cells[0]).toContain('myBinarySearch');
  expect(cells[0].split('\n').length).toBeLessThanOrEqual(25);
});

it('the cells run, and the search finds what the built-in one does', async () => {
  const report = await runNotebook(writeFixture(folder, 'policies', cells));
  if (report.failure) throw new Error(failureText('docs/policies.md', report.failure));
  const text = outputText(report.notebook);
  expect(text).toContain('true true');
  expect(text).toMatch(/Schedule\(halves: 4 requests, 32\/8 heads → 48 tiles/);
}, 60_000);

it('a policy that loops fails its cell in time, shows where it was, and the kernel goes on', async () => {
  const loop = `
let caught = '';
const batch = makeProblem({ kvLens: [1000, 300], numQoHeads: 8, numKvHeads: 2, headDim: 64 });
await Promise.resolve();
const loops: Policy = (problem, machine) => {
  const builder = new ScheduleBuilder('loops', problem, machine);
  builder.forEachQueryTile((tile) => {
    builder.add(tile);
    while (tile.request === 1) void Promise.resolve();
  });
  return builder.build();
};
try {
  runPolicy(loops, batch, machines.h100, { timeLimitMs: 200 });
} catch (error) {
  caught = error.message.split('\\n')[0];
}
console.log(caught);
await new Promise((resolve) => setTimeout(resolve, 10));`;
  const after = "console.log('still here:', caught.length > 0);";
  const fails = 'runPolicy(loops, batch, machines.h100, { timeLimitMs: 200 })';
  const report = await runNotebook(writeFixture(folder, 'loops', [loop, after, fails]));
  const text = outputText(report.notebook);
  expect(text).toContain(
    'Policy loops was stopped after 0.2 s (at request 1, KV head 0, KV range [0, 300), after 3 tiles). Does it loop?',
  );
  expect(text).toContain('still here: true');
  expect(report.failure).toMatchObject({ code: 'NOTEBOOK_FAILED', cell: 3 });
  const shown = JSON.stringify(report.notebook.cells[2]);
  expect(shown).toContain('application/vnd.vegalite');
  expect(shown).toContain('300 keys');
}, 60_000);
