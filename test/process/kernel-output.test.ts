/** What cells print, show and return, as the runner stores it. One notebook, one kernel. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { ICodeCell, IOutput, IStream } from '@jupyterlab/nbformat';
import { beforeAll, describe, expect, it } from 'vitest';
import { checkNotebook } from '../../src/notebook/run/notebook-file';
import { type NotebookReport, outputText } from '../../src/notebook/run/report';
import { runNotebook } from '../../src/notebook/run/run-notebook';
import { type CellSpec, requireBuilt, temporaryFolder, writeFixture } from '../support/notebooks';

const CELLS: Record<string, string | CellSpec> = {
  title: { source: '# Title', type: 'markdown' },
  many: 'for (let i = 0; i < 200_000; i++) console.log(i);',
  both: 'console.error("e");\nconsole.log("o");\nprocess.stdout.write(Buffer.from("ä"));\nvoid 0;',
  late: 'setTimeout(() => console.log("from late"), 50);\nconsole.log("now");',
  waits: 'await new Promise((resolve) => setTimeout(resolve, 200));\nconsole.log("waited");',
  displays: `const shown = display("first");
console.log("between");
display({ [Symbol.for("Jupyter.display")]: async () => ({ "text/html": "<b>2</b>", "text/plain": "2" }) });
console.log("after");`,
  update: 'shown.update("changed");',
  cleared: 'console.log("gone");\nclearOutput();\nconsole.log("stays");',
  bundle: `await null;
const picture = { "image/png": new Uint8Array([1, 2, 3]), "application/json": { a: [1] }, "text/plain": "png" };
({ [Symbol.for("Jupyter.display")]: () => picture })`,
  displayLast: 'display(5)',
  text: '"plain text"',
  nothing: 'undefined',
  semicolon: '6 * 7;',
  native: 'import { writeSync } from "node:fs";\nwriteSync(1, "native\\n");',
  environment: 'process.env.GREETING',
  skipped: { source: 'throw new Error("not run")', tags: ['skip-execution'] },
  empty: ' \n',
  expected: { source: 'throw new Error("expected")', tags: ['raises-exception'] },
  project: "import { beside } from '../src/beside.js';\nbeside()",
  folder: "import { helper } from './helper';\n[helper(2), process.cwd().includes('warpbook-test-')]",
  packages: `import { WarpbookError as Imported } from 'warpbook';
import * as aq from 'arquero';
import { compile } from 'vega-lite';
const rows = aq.table({ x: [1, 2, 3] }).filter((d: { x: number }) => d.x > 1).numRows();
[rows, typeof compile, WarpbookError === Imported]`,
  awaits: `const later = async (x: number) => { await null; return await (x); };
const steps: number[] = [];
for await (const x of [later(1), 2]) steps.push(x);
for await (const x of (async function* () { yield 3; yield* [4, 5]; })()) { if (x === 5) break; steps.push(x); }
[...steps, (await later(6)), await (async () => 7)()]`,
  before: 'const width = 3;\nlet height = 4;',
  shorthand: 'const { width: w = 1 } = { width };\n[{ width, height }, w]',
  builtins: 'const { Buffer: B } = await import("node:buffer");\n[B === Buffer, [1, 2].findLast((x) => x > 0)]',
};

let report: NotebookReport;
const folder = temporaryFolder();

beforeAll(async () => {
  requireBuilt();
  // A project of ES modules, with notebooks beside its sources.
  const [notebooks, sources] = ['notebooks', 'src'].map((name) => join(folder, name));
  for (const made of [notebooks, sources]) mkdirSync(made);
  writeFileSync(join(folder, 'package.json'), '{ "type": "module" }');
  writeFileSync(join(sources, 'two.ts'), 'export const two: number = 2;\n');
  const beside = 'import { two } from "./two.js";\nexport const beside = (): string => "beside " + two;\n';
  writeFileSync(join(sources, 'beside.ts'), beside);
  writeFileSync(join(notebooks, 'helper.ts'), 'export function helper(n: number): number {\n  return n * 21;\n}\n');
  const file = writeFixture(notebooks, 'output', Object.values(CELLS));
  report = await runNotebook(file, { timeoutS: 90, env: { GREETING: 'hello' } });
}, 100_000);

function outputs(name: keyof typeof CELLS): IOutput[] {
  return (report.notebook.cells[Object.keys(CELLS).indexOf(name)] as ICodeCell).outputs;
}
function plain(name: keyof typeof CELLS): string {
  return (outputs(name)[0].data as Record<string, string>)['text/plain'];
}
const stdout = (text: string): IOutput => ({ output_type: 'stream', name: 'stdout', text });

describe('a notebook', () => {
  it('runs well and is valid nbformat', () => {
    expect(report.failure).toBeUndefined();
    expect(report.ok).toBe(true);
    checkNotebook(report.notebook);
    const counts = report.notebook.cells.map((cell) => cell.execution_count).filter(Boolean);
    expect(counts).toEqual(counts.map((_, i) => i + 1));
    expect(report.cells.filter((cell) => cell.status === 'skipped')).toHaveLength(2);
  });

  it('keeps 200,000 lines printed in one tick', () => {
    expect(outputs('many')).toHaveLength(1);
    const lines = ((outputs('many')[0] as IStream).text as string).split('\n');
    expect(lines).toHaveLength(200_001);
    expect(lines[199_999]).toBe('199999');
  });

  it('keeps streams apart and in order', () => {
    expect(outputs('both')).toEqual([{ output_type: 'stream', name: 'stderr', text: 'e\n' }, stdout('o\nä')]);
  });

  it('puts late prints into the cell that started them', () => {
    expect(outputs('late')).toEqual([stdout('now\nfrom late\n')]);
    expect(outputs('waits')).toEqual([stdout('waited\n')]);
  });

  it('shows displays in order, updated and cleared', () => {
    expect(outputs('displays').map((output) => output.data ?? output.text)).toEqual([
      { 'text/plain': 'changed' },
      'between\n',
      { 'text/html': '<b>2</b>', 'text/plain': '2' },
      'after\n',
    ]);
    expect(outputs('update')).toEqual([]);
    expect(outputs('cleared')).toEqual([stdout('stays\n')]);
    const five = { output_type: 'display_data', data: { 'text/plain': '5' }, metadata: {} };
    expect(outputs('displayLast')).toEqual([five]);
  });

  it('stores a mime bundle as a result', () => {
    const data = { 'image/png': 'AQID', 'application/json': { a: [1] }, 'text/plain': 'png' };
    const [result] = outputs('bundle');
    const { execution_count } = result;
    expect(result).toEqual({ output_type: 'execute_result', execution_count, metadata: {}, data });
  });

  it('shows texts, numbers and nothing', () => {
    expect(plain('text')).toBe('plain text');
    expect(outputs('nothing')).toEqual([]);
    expect(plain('semicolon')).toBe('42');
  });

  it('sees native output and the environment', () => {
    expect(outputText(report.notebook)).toContain('native\n');
    expect(plain('environment')).toBe('hello');
  });

  it('finds files beside it, this package, its dependencies and ES modules', () => {
    expect(plain('project')).toBe('beside 2');
    expect(plain('folder')).toBe('[ 42, true ]');
    expect(plain('packages')).toBe("[ 2, 'function', true ]");
    expect(plain('builtins')).toBe('[ true, 2 ]');
  });

  it('awaits in parentheses and in loops', () => {
    expect(plain('awaits').replace(/\s+/g, ' ')).toBe('[ 1, 2, 3, 4, 6, 7 ]');
  });

  it('knows earlier names in every position', () => {
    expect(plain('shorthand')).toBe('[ { width: 3, height: 4 }, 3 ]');
  });

  it('has a text for terminals', () => {
    const text = outputText(report.notebook);
    expect(text).toContain('changed\nbetween\n2\nafter\n');
    expect(text).toContain('Error: expected');
  });
});
