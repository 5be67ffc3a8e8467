/**
 * Runs a notebook from top to bottom in a kernel of its own, without Jupyter. A run is good only when every cell was
 * answered well, nothing failed late, and the kernel was alive at the end. Knows no terminal and writes no file.
 */
import type { INotebookContent } from '@jupyterlab/nbformat';
import type { WarpbookError } from '../../errors';
import { foreignKernel, readNotebook } from './notebook-file';
import { injectParameters, type Parameters } from './parameters';
import type { CellReport, CellResult, CellStatus, NotebookFailure, NotebookReport } from './report';
import { NotebookSession } from './session';
import { timeoutOf } from './tags';

export type RunEvent =
  | { readonly type: 'kernel-started'; readonly numCells: number; readonly startMs: number }
  | { readonly type: 'cell-started'; readonly cell: number; readonly numCells: number }
  | {
      readonly type: 'cell-ended';
      readonly cell: number;
      readonly numCells: number;
      readonly status: CellStatus;
      readonly durationMs: number;
      readonly reason?: string;
    };

export interface RunOptions {
  /** Seconds for the whole notebook, the kernel's start included; default 600. */
  readonly timeoutS?: number;
  /** Seconds for each cell that says nothing itself; default: what is left of `timeoutS`. */
  readonly cellTimeoutS?: number;
  /** Seconds that timers and promises of the cells get to end (or to fail) after the last cell; default 2. */
  readonly lateS?: number;
  /** Values that stand in for those of the cell tagged `parameters`. */
  readonly parameters?: Parameters;
  /** Run it though its metadata name another kernel; default false. */
  readonly anyKernel?: boolean;
  /** Added to the kernel's environment. */
  readonly env?: Readonly<Record<string, string>>;
  readonly onEvent?: (event: RunEvent) => void;
  /** Ends the run and the kernel's process; the run then fails. */
  readonly signal?: AbortSignal;
}

/**
 * Runs the notebook at `path`. A notebook that fails is a report with `ok: false`, not an exception.
 *
 * Tags: `skip-execution` cells aren't run; `raises-exception` cells must fail; `gpu` cells are skipped where there is no
 * GPU.
 *
 * @throws WarpbookError `FILE_NOT_FOUND` or `FILE_FORMAT` where there is no notebook to run, `INVALID_ARGUMENT` for
 *   parameters that it doesn't have.
 */
export async function runNotebook(path: string, options: RunOptions = {}): Promise<NotebookReport> {
  const read = readNotebook(path);
  const notebook = options.parameters ? injectParameters(read, options.parameters, path) : read;
  return new NotebookRun(path, notebook, options).toEnd();
}

class NotebookRun {
  private readonly path: string;
  private readonly notebook: INotebookContent;
  private readonly options: RunOptions;
  private readonly cells: CellReport[] = [];
  private readonly start: number = performance.now();
  private readonly deadline: number;
  private failure: NotebookFailure | undefined;
  private startMs = 0;
  private firstResultMs = 0;

  constructor(path: string, notebook: INotebookContent, options: RunOptions) {
    this.path = path;
    this.notebook = notebook;
    this.options = options;
    this.deadline = this.start + (options.timeoutS ?? 600) * 1000;
  }

  async toEnd(): Promise<NotebookReport> {
    const foreign = this.options.anyKernel ? undefined : foreignKernel(this.notebook);
    if (foreign === undefined) await this.inKernel();
    else {
      const message = `got a notebook for the kernel '${foreign}'; wanted 'warpbook' (TypeScript).`;
      this.failure = { code: 'UNSUPPORTED', message, traceback: [] };
    }
    const numCells = this.notebook.cells.filter((cell) => cell.cell_type === 'code').length;
    for (let number = this.cells.length + 1; number <= numCells; number++) {
      this.cells.push({ number, status: 'not run', durationMs: 0 });
    }
    const { path, failure, cells, startMs, firstResultMs, notebook } = this;
    const durationMs = performance.now() - this.start;
    return { path, ok: failure === undefined, failure, cells, startMs, firstResultMs, durationMs, notebook };
  }

  private async inKernel(): Promise<void> {
    const { env, signal } = this.options;
    let session: NotebookSession;
    try {
      session = await NotebookSession.start(this.path, this.notebook, {
        env,
        signal,
        startTimeoutS: this.leftMs() / 1000,
      });
    } catch (error) {
      const { code, message } = error as WarpbookError;
      this.failure = { code: code === 'TIMEOUT' ? code : 'KERNEL_DIED', message, traceback: [] };
      return;
    }
    this.startMs = session.startMs;
    const numCells = session.codeCells.length;
    this.options.onEvent?.({ type: 'kernel-started', numCells, startMs: this.startMs });
    for (let number = 1; number <= numCells && !this.failure; number++) await this.runCell(session, number);
    const lateMs = Math.min((this.options.lateS ?? 2) * 1000, this.leftMs());
    this.failure ??= await session.settle(lateMs);
    await session.close();
    // What came with the last messages counts as well.
    this.failure ??= session.lateFailure();
    session.store();
  }

  private async runCell(session: NotebookSession, number: number): Promise<void> {
    const numCells = session.codeCells.length;
    const reason = await session.skips(number);
    if (reason !== undefined) {
      this.cells.push({ number, status: 'skipped', durationMs: 0, reason });
      this.options.onEvent?.({ type: 'cell-ended', cell: number, numCells, status: 'skipped', durationMs: 0, reason });
      return;
    }
    this.options.onEvent?.({ type: 'cell-started', cell: number, numCells });
    const { failure, ...report } = await this.withinLimits(session, number);
    this.failure = failure ?? session.lateFailure();
    this.cells.push(report);
    this.firstResultMs ||= performance.now() - this.start;
    const { status, durationMs } = report;
    this.options.onEvent?.({ type: 'cell-ended', cell: number, numCells, status, durationMs });
  }

  private withinLimits(session: NotebookSession, number: number): Promise<CellResult> {
    const own = timeoutOf(session.codeCells[number - 1]) ?? timeoutOf(this.notebook);
    const cellTimeoutS = own ?? this.options.cellTimeoutS ?? Number.POSITIVE_INFINITY;
    const leftMs = this.leftMs();
    if (cellTimeoutS * 1000 < leftMs) {
      const remedy = own === undefined ? '--cell-timeout' : "the timeout in the notebook's metadata";
      return session.run(number, cellTimeoutS * 1000, { limit: `${cellTimeoutS} s for a cell`, remedy });
    }
    const { timeoutS = 600 } = this.options;
    return session.run(number, leftMs, { limit: `${timeoutS} s for the notebook`, remedy: '--timeout' });
  }

  private leftMs(): number {
    return Math.max(0, this.deadline - performance.now());
  }
}
