/**
 * Runs a notebook from top to bottom in a kernel of its own, without Jupyter. A run is good only when every cell was
 * answered well, nothing failed late, and the kernel was alive at the end. Knows no terminal and writes no file.
 */
import { dirname, resolve } from 'node:path';
import type { ICodeCell, INotebookContent } from '@jupyterlab/nbformat';
import { WarpbookError } from '../../errors';
import { KernelClient } from './kernel-client';
import { exitText, KernelProcess } from './kernel-process';
import { joinLines, readNotebook } from './notebook-file';
import { OutputCollector } from './outputs';
import type { FailureNote } from './protocol';
import type { CellReport, CellStatus, NotebookFailure, NotebookReport } from './report';

export type RunEvent =
  | { readonly type: 'kernel-started'; readonly numCells: number; readonly startMs: number }
  | { readonly type: 'cell-started'; readonly cell: number; readonly numCells: number }
  | { readonly type: 'cell-ended'; readonly cell: number; readonly status: CellStatus; readonly durationMs: number };

export interface RunOptions {
  /** Seconds for the whole notebook, the kernel's start included; default 600. */
  readonly timeoutS?: number;
  /** Seconds for each cell; default: what is left of `timeoutS`. */
  readonly cellTimeoutS?: number;
  /** Seconds that timers and promises of the cells get to end (or to fail) after the last cell; default 2. */
  readonly lateS?: number;
  /** Added to the kernel's environment. */
  readonly env?: Readonly<Record<string, string>>;
  readonly onEvent?: (event: RunEvent) => void;
  /** Ends the run and the kernel's process; the run then fails. */
  readonly signal?: AbortSignal;
}

/** What an interrupted cell gets before its process is killed. */
const INTERRUPT_GRACE_MS = 2000;
const INTERRUPT_AGAIN_MS = 400;
const SHUTDOWN_MS = 2000;
const SKIP_TAG = 'skip-execution';
const RAISES_TAG = 'raises-exception';

/**
 * Runs the notebook at `path`. A notebook that fails is a report with `ok: false`, not an exception.
 *
 * Tags: `skip-execution` cells aren't run; `raises-exception` cells must fail.
 *
 * @throws WarpbookError `FILE_NOT_FOUND` or `FILE_FORMAT` where there is no notebook to run.
 */
export async function runNotebook(path: string, options: RunOptions = {}): Promise<NotebookReport> {
  const notebook = readNotebook(path);
  const run = new NotebookRun(path, notebook, options);
  return run.toEnd();
}

class NotebookRun {
  private readonly path: string;
  private readonly notebook: INotebookContent;
  private readonly options: RunOptions;
  private readonly codeCells: ICodeCell[];
  private readonly collector = new OutputCollector();
  private readonly cells: CellReport[] = [];
  private readonly start: number = performance.now();
  private readonly deadline: number;
  private failure: NotebookFailure | undefined;
  private startMs = 0;
  private firstResultMs = 0;
  private shuttingDown = false;
  /** The code cell in the kernel's hands, from 1; 0 before the first. */
  private currentCell = 0;
  private cellRunning = false;

  constructor(path: string, notebook: INotebookContent, options: RunOptions) {
    this.path = path;
    this.notebook = notebook;
    this.options = options;
    this.codeCells = notebook.cells.filter((cell): cell is ICodeCell => cell.cell_type === 'code');
    this.deadline = this.start + (options.timeoutS ?? 600) * 1000;
    for (const cell of this.codeCells) Object.assign(cell, { outputs: [], execution_count: null });
  }

  async toEnd(): Promise<NotebookReport> {
    const foreign = foreignLanguage(this.notebook);
    if (foreign === undefined) await this.inKernel();
    else {
      const message = `got a notebook for the kernel '${foreign}'; wanted 'warpbook' (TypeScript).`;
      this.failure = { code: 'UNSUPPORTED', message, traceback: [] };
    }
    this.collector.store();
    for (let number = this.cells.length + 1; number <= this.codeCells.length; number++) {
      this.cells.push({ number, status: 'not run', durationMs: 0 });
    }
    const { path, failure, cells, startMs, firstResultMs, notebook } = this;
    const durationMs = performance.now() - this.start;
    return { path, ok: failure === undefined, failure, cells, startMs, firstResultMs, durationMs, notebook };
  }

  private async inKernel(): Promise<void> {
    const kernel = new KernelProcess({
      cwd: dirname(resolve(this.path)),
      env: this.options.env,
      onNativeOutput: (stream, text) => this.collector.addNative(stream, text),
    });
    const abort = (): void => void kernel.kill();
    this.options.signal?.addEventListener('abort', abort);
    let client: KernelClient | undefined;
    try {
      this.options.signal?.throwIfAborted();
      const info = await kernel.connection(this.deadline - performance.now());
      const connected = new KernelClient(info, (message) => this.collector.add(message));
      client = connected;
      void kernel.exited.then((exit) => {
        if (!this.shuttingDown)
          connected.fail(new WarpbookError('KERNEL_DIED', `the kernel's process ${exitText(exit)}`));
      });
      await this.within(this.deadline, connected.handshake());
      // The kernel answers while it still loads packages; a cell's limit is for the cell alone.
      const nothing = { code: '', silent: true, store_history: false, allow_stdin: false };
      await this.within(this.deadline, connected.request('shell', 'execute_request', nothing));
      this.startMs = performance.now() - this.start;
      this.options.onEvent?.({ type: 'kernel-started', numCells: this.codeCells.length, startMs: this.startMs });
      await this.runCells(kernel, connected);
      if (!this.failure) await this.awaitLateFailures(connected);
      await this.shutdown(kernel, connected);
    } catch (error) {
      this.failure ??= this.failureFrom(error);
    } finally {
      this.options.signal?.removeEventListener('abort', abort);
      await kernel.kill();
      client?.close();
    }
  }

  private async runCells(kernel: KernelProcess, client: KernelClient): Promise<void> {
    const numCells = this.codeCells.length;
    for (const [index, cell] of this.codeCells.entries()) {
      const number = index + 1;
      const source = joinLines(cell.source);
      const tags = (cell.metadata.tags ?? []) as string[];
      if (tags.includes(SKIP_TAG) || source.trim() === '') {
        this.cells.push({ number, status: 'skipped', durationMs: 0 });
        continue;
      }
      this.currentCell = number;
      this.cellRunning = true;
      this.options.onEvent?.({ type: 'cell-started', cell: number, numCells });
      const start = performance.now();
      let status: CellStatus = 'failed';
      try {
        status = await this.runCell(kernel, client, cell, number, source, tags.includes(RAISES_TAG));
        this.cellRunning = false;
      } finally {
        const durationMs = performance.now() - start;
        this.cells.push({ number, status, durationMs });
        this.firstResultMs ||= performance.now() - this.start;
        this.options.onEvent?.({ type: 'cell-ended', cell: number, status, durationMs });
      }
      this.noteLateFailure();
      if (this.failure) return;
    }
  }

  private async runCell(
    kernel: KernelProcess,
    client: KernelClient,
    cell: ICodeCell,
    number: number,
    code: string,
    mustFail: boolean,
  ): Promise<CellStatus> {
    const content = {
      code,
      silent: false,
      store_history: true,
      user_expressions: {},
      allow_stdin: false,
      stop_on_error: true,
    };
    const { id, reply } = client.requestWithId('shell', 'execute_request', content, { warpbook: { cell: number } });
    this.collector.begin(id, cell);
    const { cellTimeoutS = Number.POSITIVE_INFINITY } = this.options;
    const cellDeadline = performance.now() + cellTimeoutS * 1000;
    const message = await this.within(Math.min(cellDeadline, this.deadline), reply).catch(async (error) => {
      if (!(error instanceof WarpbookError && error.code === 'TIMEOUT')) throw error;
      await this.endTimedOut(kernel, reply, number, cellDeadline < this.deadline);
      throw error;
    });
    const { status, execution_count: count, ename, evalue, traceback } = message.content;
    cell.execution_count = (count as number | undefined) ?? null;
    if (status === 'ok' && mustFail) {
      const text = `the cell is tagged '${RAISES_TAG}' and did not fail.`;
      this.failure = { code: 'NOTEBOOK_FAILED', cell: number, message: text, traceback: [] };
      return 'failed';
    }
    if (status === 'ok' || mustFail) return 'ok';
    const { line } = (message.metadata.warpbook ?? {}) as Partial<FailureNote>;
    this.failure = {
      code: 'NOTEBOOK_FAILED',
      cell: number,
      line,
      message: `${ename ?? 'Error'}: ${evalue ?? status}`,
      traceback: (traceback ?? []) as string[],
    };
    return 'failed';
  }

  /** Interrupts, so that what the cell printed arrives and finalizers run; then kills. The run fails either way. */
  private async endTimedOut(
    kernel: KernelProcess,
    reply: Promise<unknown>,
    cell: number,
    ofCell: boolean,
  ): Promise<void> {
    const { timeoutS = 600, cellTimeoutS } = this.options;
    const limit = ofCell ? `${cellTimeoutS} s for a cell` : `${timeoutS} s for the notebook`;
    // Repeated: an interrupt that comes before the kernel has taken up the cell finds nothing to interrupt.
    kernel.interrupt();
    const again = setInterval(() => kernel.interrupt(), INTERRUPT_AGAIN_MS);
    const stopped = await this.within(performance.now() + INTERRUPT_GRACE_MS, reply).then(
      () => true,
      () => false,
    );
    clearInterval(again);
    const how = stopped ? 'it was interrupted' : 'it did not react to an interrupt, so its kernel was killed';
    const message = `timed out: the limit is ${limit}; ${how}. Raise ${ofCell ? '--cell-timeout' : '--timeout'}, or make it faster.`;
    this.failure = { code: 'TIMEOUT', cell, message, traceback: [] };
  }

  /** A script would live until its timers have run; the kernel is asked when its own have. */
  private async awaitLateFailures(client: KernelClient): Promise<void> {
    const timeoutMs = Math.min((this.options.lateS ?? 2) * 1000, Math.max(0, this.deadline - performance.now()));
    const quiet = client.request('control', 'warpbook_quiet_request', { timeout_ms: timeoutMs });
    // A timer that loops forever keeps the kernel from answering at all.
    await this.within(Math.max(this.deadline, performance.now() + timeoutMs + INTERRUPT_GRACE_MS), quiet);
    this.noteLateFailure();
  }

  private noteLateFailure(): void {
    const [first] = this.collector.late;
    if (!first || this.failure) return;
    const { note } = first;
    const what = note.late === 'uncaughtException' ? 'uncaught exception' : 'unhandled rejection';
    this.failure = {
      code: 'NOTEBOOK_FAILED',
      cell: this.codeCells.indexOf(first.cell) + 1,
      line: note.line,
      message: `${what} after the cell had ended: ${note.ename}: ${note.evalue}`,
      traceback: note.traceback,
    };
  }

  private async shutdown(kernel: KernelProcess, client: KernelClient): Promise<void> {
    if (kernel.exit) return;
    const asked = client.request('control', 'shutdown_request', { restart: false });
    this.shuttingDown = true;
    const gone = Promise.all([asked, kernel.exited]);
    await this.within(performance.now() + SHUTDOWN_MS, gone).catch(() => undefined);
    // What came with the last messages counts as well.
    this.noteLateFailure();
  }

  private failureFrom(error: unknown): NotebookFailure {
    const { message } = error as Error;
    const code = error instanceof WarpbookError ? error.code : 'KERNEL_DIED';
    const cell = this.currentCell || undefined;
    if (this.options.signal?.aborted) {
      return { code: 'KERNEL_DIED', cell, message: 'the run was stopped.', traceback: [] };
    }
    if (code === 'TIMEOUT') return { code, cell, message, traceback: [] };
    if (cell === undefined) return { code: 'KERNEL_DIED', message, traceback: [] };
    const when = this.cellRunning ? 'while the cell ran' : 'after the cell had ended';
    return { code: 'KERNEL_DIED', cell, message: `${message} ${when}.`, traceback: [] };
  }

  private async within<T>(deadline: number, promise: Promise<T>): Promise<T> {
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<never>((_, reject) => {
      const ms = Math.max(0, deadline - performance.now());
      const text = `timed out after ${((deadline - this.start) / 1000).toFixed(1)} s.`;
      // Node's timers count to 2^31 ms.
      if (Number.isFinite(ms))
        timer = setTimeout(() => reject(new WarpbookError('TIMEOUT', text)), Math.min(ms, 2 ** 31 - 1));
    });
    try {
      return await Promise.race([promise, late]);
    } finally {
      clearTimeout(timer);
    }
  }
}

/** The kernel's name if the notebook is none of ours; a notebook that names none is TypeScript. */
function foreignLanguage(notebook: INotebookContent): string | undefined {
  const { kernelspec, language_info: info } = notebook.metadata;
  if (!kernelspec) return info && info.name !== 'typescript' ? info.name : undefined;
  const typescript =
    kernelspec.name === 'warpbook' || kernelspec.name === 'tslab' || kernelspec.language === 'typescript';
  return typescript || info?.name === 'typescript' ? undefined : kernelspec.name;
}
