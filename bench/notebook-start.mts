/**
 * How long a newcomer waits: from starting the kernel to its first answer, to the first result of the library, and to the
 * end of the first notebook.
 *
 *   npm run bench:notebook        writes bench/results/cpu/<date>-notebook.json
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import runner from '../dist/notebook/run/run-notebook.js';
import { describeHost, summarize, writeResults } from './support.mjs';

const { runNotebook } = runner;
const ROUNDS = 7;
const folder = mkdtempSync(join(tmpdir(), 'warpbook-bench-'));
const small = join(folder, 'first-result.ipynb');
writeFileSync(
  small,
  JSON.stringify({
    nbformat: 4,
    nbformat_minor: 5,
    metadata: { kernelspec: { name: 'warpbook', display_name: 'TypeScript (warpbook)', language: 'typescript' } },
    cells: [
      {
        cell_type: 'code',
        id: 'first',
        metadata: {},
        execution_count: null,
        outputs: [],
        source: 'await normal([4, 4], { seed: 1 }).print()',
      },
    ],
  }),
);

const rows = [];
for (const [what, path] of [
  ['one cell', small],
  ['notebooks/01-first-decode.ipynb', 'notebooks/01-first-decode.ipynb'],
]) {
  const times: Record<string, number[]> = { 'kernel ready': [], 'first result': [], 'whole notebook': [] };
  for (let round = 0; round < ROUNDS; round++) {
    const report = await runNotebook(path);
    if (!report.ok) throw new Error(`${path} failed: ${report.failure?.message}`);
    times['kernel ready'].push(report.startMs * 1e3);
    times['first result'].push(report.firstResultMs * 1e3);
    times['whole notebook'].push(report.durationMs * 1e3);
  }
  for (const [name, us] of Object.entries(times)) rows.push({ what: `${what}: ${name}`, ...summarize(us) });
}
rmSync(folder, { recursive: true });
await writeResults('cpu', 'notebook', 'npm run bench:notebook', { ...describeHost(), rows });
