/** Notebooks that go wrong in every way we know: the run ends, is never green, and says which cell and why. */
import { beforeAll, describe, expect, it } from 'vitest';
import { checkNotebook } from '../../src/notebook/run/notebook-file';
import { failureText, type NotebookReport, outputText } from '../../src/notebook/run/report';
import { type RunOptions, runNotebook } from '../../src/notebook/run/run-notebook';
import { type CellSpec, requireBuilt, temporaryFolder, writeFixture } from '../support/notebooks';

const folder = temporaryFolder();
beforeAll(requireBuilt);

let nextName = 0;

async function run(cells: readonly (string | CellSpec)[], options: RunOptions = {}): Promise<NotebookReport> {
  nextName += 1;
  const report = await runNotebook(writeFixture(folder, `fault-${nextName}`, cells), { timeoutS: 60, ...options });
  checkNotebook(report.notebook);
  return report;
}

// Real processes and real clocks, on machines that may be busy: what fails is asked once more.
describe.concurrent('a notebook fails', { timeout: 90_000, retry: 1 }, () => {
  it('on a cell that does not compile, with the line and a caret', async () => {
    const report = await run(['const a = 1;', '// a comment\nconst text: string = a;\n', 'a']);
    expect(report.failure).toMatchObject({ code: 'NOTEBOOK_FAILED', cell: 2, line: 2 });
    expect(report.failure?.message).toBe("TypeScriptError: TS2322: Type 'number' is not assignable to type 'string'.");
    expect(report.failure?.traceback).toEqual([
      "TypeScript error TS2322 (cell 2, line 2, column 7): Type 'number' is not assignable to type 'string'.",
      '  2 | const text: string = a;',
      '    |       ^^^^',
    ]);
    expect(report.cells.map((cell) => cell.status)).toEqual(['ok', 'failed', 'not run']);
  });

  it('on a late throw, naming the cell that started it', async () => {
    const report = await run(['1', '\nsetTimeout(() => { throw new Error("late"); }, 300);', '3']);
    expect(report.failure).toMatchObject({
      code: 'NOTEBOOK_FAILED',
      cell: 2,
      line: 2,
      message: 'uncaught exception after the cell had ended: Error: late',
    });
    expect(report.ok).toBe(false);
    expect(outputText(report.notebook)).toContain('Uncaught exception after the cell had ended:\nError: late');
  });

  it('on a late rejection while another cell runs', async () => {
    const report = await run([
      // Late enough for the second cell to have begun, on a busy machine too.
      'setTimeout(async () => { throw new Error("late"); }, 1500);',
      'await new Promise((resolve) => setTimeout(resolve, 3000));',
      '3',
    ]);
    expect(report.failure).toMatchObject({
      cell: 1,
      message: 'unhandled rejection after the cell had ended: Error: late',
    });
    expect(report.cells.map((cell) => cell.status)).toEqual(['ok', 'ok', 'not run']);
  });

  it('on a busy loop, which an interrupt ends', async () => {
    const report = await run(['console.log("before");\nfor (;;) {}', '2'], { cellTimeoutS: 1 });
    expect(report.failure).toMatchObject({ code: 'TIMEOUT', cell: 1 });
    expect(report.failure?.message).toContain('timed out: the limit is 1 s for a cell; it was interrupted.');
    expect(outputText(report.notebook)).toContain('before');
  });

  it('on a busy loop after an await, which an interrupt ends too', async () => {
    const report = await run(['await new Promise((resolve) => setTimeout(resolve, 10));\nfor (;;) {}'], {
      cellTimeoutS: 0.5,
    });
    expect(report.failure).toMatchObject({ code: 'TIMEOUT', cell: 1 });
    expect(report.failure?.message).toContain('it was interrupted');
  });

  it('on native code that no interrupt reaches, by killing the kernel', async () => {
    // Not Atomics.wait(): from Node 24 on a termination wakes it.
    const report = await run([`import { execSync } from 'node:child_process';\nexecSync('sleep 8');`], {
      cellTimeoutS: 0.5,
    });
    expect(report.failure).toMatchObject({ code: 'TIMEOUT', cell: 1 });
    expect(report.failure?.message).toContain('so its kernel was killed');
  });

  it('on a promise that never settles, at the limit for the whole notebook', async () => {
    const report = await run(['await new Promise(() => {});'], { timeoutS: 25 });
    expect(report.failure).toMatchObject({ code: 'TIMEOUT', cell: 1 });
    expect(report.failure?.message).toContain('timed out: the limit is 25 s for the notebook; it was interrupted.');
  });

  it('on process.exit, even with code 0', async () => {
    const report = await run(['console.log("bye");\nprocess.exit(0);', '2']);
    expect(report.failure).toMatchObject({
      code: 'KERNEL_DIED',
      cell: 1,
      message: "the kernel's process exited with code 0 while the cell ran.",
    });
    expect(outputText(report.notebook)).toContain('bye');
  });

  it('on a process that exits after its last cell', async () => {
    const report = await run(['setTimeout(() => process.exit(0), 100);']);
    expect(report.failure).toMatchObject({ code: 'KERNEL_DIED', cell: 1 });
    expect(report.failure?.message).toContain('after the cell had ended');
  });

  it('on a kernel that is killed, naming the signal', async () => {
    const report = await run(["process.kill(process.pid, 'SIGKILL');\nawait new Promise(() => {});"]);
    expect(report.failure).toMatchObject({
      code: 'KERNEL_DIED',
      message: "the kernel's process was ended by signal SIGKILL while the cell ran.",
    });
  });

  it('where a cell tagged raises-exception does not', async () => {
    const report = await run([
      { source: 'throw new Error("wanted");', tags: ['raises-exception'] },
      { source: '1', tags: ['raises-exception'] },
    ]);
    expect(report.failure).toMatchObject({
      cell: 2,
      message: "the cell is tagged 'raises-exception' and did not fail.",
    });
    expect(report.cells[0].status).toBe('ok');
  });

  it('where it is written for another kernel', async () => {
    const file = writeFixture(folder, 'python', ['print(1)'], 'python3');
    const report = await runNotebook(file);
    expect(failureText('python.ipynb', report.failure as never)).toBe(
      "python.ipynb: got a notebook for the kernel 'python3'; wanted 'warpbook' (TypeScript).",
    );
  });

  it('where the run is stopped', async () => {
    const stop = new AbortController();
    const running = run(['1', 'await new Promise(() => {});'], {
      signal: stop.signal,
      onEvent: (event) => {
        if (event.type === 'cell-started' && event.cell === 2) stop.abort();
      },
    });
    expect((await running).failure).toMatchObject({ code: 'KERNEL_DIED', cell: 2, message: 'the run was stopped.' });
  });
});
