/**
 * Two hundred ways in which a notebook goes wrong (test/support/fault-table.ts): does the runner end, name the cell, and
 * never report green?
 *
 *   npm run bench:faults        writes bench/results/cpu/<date>-faults.json; fails where one of them isn't told right
 */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import runner from '../dist/notebook/run/run-notebook.js';
import { faults, malformed } from '../test/support/fault-table.js';
import { notebookJson } from '../test/support/notebook-json.js';
import { describeHost, writeResults } from './support.mjs';

const { runNotebook } = runner;
const AT_A_TIME = 2;
const folder = mkdtempSync(join(tmpdir(), 'warpbook-faults-'));

interface Row {
  kind: string;
  faults: number;
  ended: number;
  named: number;
  green: number;
  longestS: number;
}

const rows = new Map<string, Row>();
const wrong: string[] = [];

function note(kind: string, name: string, named: boolean, green: boolean, ms: number): void {
  const row = rows.get(kind) ?? { kind, faults: 0, ended: 0, named: 0, green: 0, longestS: 0 };
  rows.set(kind, row);
  row.faults += 1;
  row.ended += 1;
  row.named += Number(named);
  row.green += Number(green);
  row.longestS = Math.max(row.longestS, Number((ms / 1000).toFixed(1)));
  if (!named || green) wrong.push(name);
  process.stderr.write(`${named && !green ? 'ok  ' : 'WRONG'} ${name} (${Math.round(ms)} ms)\n`);
}

const queue = [...faults.entries()];
async function work(): Promise<void> {
  for (let next = queue.shift(); next; next = queue.shift()) {
    const [index, { kind, name, cells, cell, cellTimeoutS, env }] = next;
    const file = join(folder, `fault-${index}.ipynb`);
    writeFileSync(file, notebookJson(cells));
    const report = await runNotebook(file, { timeoutS: 120, cellTimeoutS, env });
    note(kind, name, report.failure?.cell === cell, report.ok, report.durationMs);
    if (report.failure?.cell !== cell) process.stderr.write(`      got ${JSON.stringify(report.failure)}\n`);
  }
}
await Promise.all(Array.from({ length: AT_A_TIME }, work));

for (const { name, content } of malformed) {
  const file = join(folder, `${name}.ipynb`);
  if (content === 'folder') mkdirSync(file);
  else if (content !== undefined) writeFileSync(file, content);
  const start = performance.now();
  const told = await runNotebook(file).then(
    () => undefined,
    (error: Error) => error.message,
  );
  note('malformed notebook', name, told?.includes(name) ?? false, told === undefined, performance.now() - start);
}
rmSync(folder, { recursive: true });
await writeResults('cpu', 'faults', 'npm run bench:faults', { ...describeHost(), rows: [...rows.values()], wrong });
if (wrong.length > 0) process.exitCode = 1;
