/**
 * A notebook with a kernel of its own: cells are run one by one, in whatever order, with limits; late failures are
 * noticed, values can be asked for. Hides process, client and protocol; decides nothing about which cells to run, and
 * writes no file.
 */
import { dirname, resolve } from 'node:path';
import { deserialize } from 'node:v8';
import type { ICodeCell, INotebookContent } from '@jupyterlab/nbformat';
import { WarpbookError } from '../../errors';
import { KernelClient } from './kernel-client';
import { exitText, KernelProcess } from './kernel-process';
import { joinLines } from './notebook-file';
import { OutputCollector } from './outputs';
import type { FailureNote, Message } from './protocol';
import type { CellResult, NotebookFailure } from './report';
import { RAISES_TAG, skipReason, tagsOf } from './tags';
import { inTime } from './time-limit';

export interface SessionOptions {
  /** Seconds until the kernel has to be there; default 60. */
  readonly startTimeoutS?: number;
  /** Added to the kernel's environment. */
  readonly env?: Readonly<Record<string, string>>;
  /** Ends the kernel's process; what runs then fails. */
  readonly signal?: AbortSignal;
}

/** How a limit is told to people. */
export interface TimeLimit {
  /** Such as '30 s for a cell'. */
  readonly limit: string;
  /** What to raise. */
  readonly remedy: string;
}

/** What an interrupted cell gets before its process is killed. */
const INTERRUPT_GRACE_MS = 2000;
const INTERRUPT_AGAIN_MS = 400;
const SHUTDOWN_MS = 2000;

export class NotebookSession {
  /** The code cells, in order; numbers of cells count these, from 1. */
  readonly codeCells: readonly ICodeCell[];
  /** From starting the process to the kernel's first answer. */
  startMs: number = 0;
  private readonly path: string;
  private readonly notebook: INotebookContent;
  private readonly process: KernelProcess;
  private readonly collector = new OutputCollector();
  private readonly signal: AbortSignal | undefined;
  private readonly abort: () => void;
  private client: KernelClient | undefined;
  private closing = false;
  /** Number of the cell in the kernel's hands, or last in them; 0 before the first. */
  private currentCell = 0;
  private cellRunning = false;
  private gpu: Promise<string> | undefined;

  private constructor(path: string, notebook: INotebookContent, options: SessionOptions) {
    this.path = path;
    this.notebook = notebook;
    this.codeCells = notebook.cells.filter((cell): cell is ICodeCell => cell.cell_type === 'code');
    for (const cell of this.codeCells) Object.assign(cell, { outputs: [], execution_count: null });
    this.process = new KernelProcess({
      cwd: dirname(resolve(this.path)),
      env: options.env,
      onNativeOutput: (stream, text) => this.collector.addNative(stream, text),
    });
    this.abort = () => void this.process.kill();
    this.signal = options.signal;
    this.signal?.addEventListener('abort', this.abort);
  }

  /**
   * Starts a kernel in the folder of `path` for a notebook that has been read; its cells' outputs are emptied, and filled
   * by {@link run} and {@link store}.
   *
   * @throws WarpbookError `KERNEL_DIED`, or `TIMEOUT` where it takes too long.
   */
  static async start(path: string, notebook: INotebookContent, options: SessionOptions = {}): Promise<NotebookSession> {
    const session = new NotebookSession(path, notebook, options);
    try {
      await session.connect((options.startTimeoutS ?? 60) * 1000);
      return session;
    } catch (error) {
      await session.close();
      throw session.asKernelError(error);
    }
  }

  /** Runs a cell. A cell that fails, takes too long or takes the kernel with it is a result, not an exception. */
  async run(number: number, timeoutMs: number, limit: TimeLimit): Promise<CellResult> {
    const cell = this.codeCells[number - 1];
    const start = performance.now();
    const end = (result: Omit<CellResult, 'number' | 'durationMs'>): CellResult => ({
      number,
      durationMs: performance.now() - start,
      ...result,
    });
    this.currentCell = number;
    this.cellRunning = true;
    try {
      const failure = await this.execute(cell, number, timeoutMs, limit);
      this.cellRunning = false;
      return end(failure ? { status: 'failed', failure } : { status: 'ok' });
    } catch (error) {
      return end({ status: 'failed', failure: this.failureFrom(error) });
    }
  }

  /** Why the cell isn't to be run here: it is tagged so, empty, or wants a GPU; undefined where it is to be run. */
  async skips(number: number): Promise<string | undefined> {
    return skipReason(this.codeCells[number - 1], this.notebook, () => this.missingGpu());
  }

  /**
   * A value of the notebook: any expression, evaluated after the cells that have been run. Typed arrays, maps, dates and
   * big integers arrive as such; functions don't.
   *
   * @throws WarpbookError `NOTEBOOK_FAILED` where the expression fails or its value can't be copied.
   */
  async value(expression: string): Promise<unknown> {
    const { content } = await this.connected().request('shell', 'warpbook_value_request', { expression });
    if (content.status === 'ok') return deserialize(Buffer.from(content.v8 as string, 'base64'));
    throw new WarpbookError('NOTEBOOK_FAILED', `${expression}: ${content.evalue ?? content.status}`);
  }

  /** Waits until timers and promises of the cells have ended, and tells the first failure among them. */
  async settle(timeoutMs: number): Promise<NotebookFailure | undefined> {
    try {
      const quiet = this.connected().request('control', 'warpbook_quiet_request', { timeout_ms: timeoutMs });
      // A timer that loops forever keeps the kernel from answering at all.
      await inTime(timeoutMs + INTERRUPT_GRACE_MS, quiet);
      return this.lateFailure();
    } catch (error) {
      return this.failureFrom(error);
    }
  }

  /** The first failure that came after its cell's reply, or a display that failed in the text's stead. */
  lateFailure(): NotebookFailure | undefined {
    const [first] = this.collector.late;
    if (!first) return this.failedDisplay();
    const { note } = first;
    const what = note.late === 'uncaughtException' ? 'uncaught exception' : 'unhandled rejection';
    return {
      code: 'NOTEBOOK_FAILED',
      cell: this.codeCells.indexOf(first.cell) + 1,
      line: note.line,
      message: `${what} after the cell had ended: ${note.ename}: ${note.evalue}`,
      traceback: note.traceback,
    };
  }

  /** In a front end the text in its place is enough; a run that nobody looks at has to fail. */
  private failedDisplay(): NotebookFailure | undefined {
    const [first] = this.collector.failedDisplays;
    if (!first) return undefined;
    const cell = this.codeCells.indexOf(first.cell) + 1;
    const message = `the display of a value failed: ${first.reason}`;
    return { code: 'NOTEBOOK_FAILED', cell, message, traceback: [] };
  }

  /** Writes what was gathered into the cells' outputs. */
  store(): void {
    this.collector.store();
  }

  /** Ends the kernel well where it is alive. Idempotent. */
  async close(): Promise<void> {
    this.signal?.removeEventListener('abort', this.abort);
    if (!this.process.exit && !this.closing && this.client) {
      const asked = this.client.request('control', 'shutdown_request', { restart: false });
      this.closing = true;
      await inTime(SHUTDOWN_MS, Promise.all([asked, this.process.exited])).catch(() => undefined);
    }
    this.closing = true;
    await this.process.kill();
    this.client?.close();
  }

  private async connect(timeoutMs: number): Promise<void> {
    const start = performance.now();
    const left = (): number => timeoutMs - (performance.now() - start);
    this.signal?.throwIfAborted();
    const info = await this.process.connection(left());
    const client = new KernelClient(info, (message) => this.collector.add(message));
    this.client = client;
    void this.process.exited.then((exit) => {
      if (!this.closing) client.fail(new WarpbookError('KERNEL_DIED', `the kernel's process ${exitText(exit)}`));
    });
    await inTime(left(), client.handshake());
    // The kernel answers while it still loads packages; a cell's limit is for the cell alone.
    const nothing = { code: '', silent: true, store_history: false, allow_stdin: false };
    await inTime(left(), client.request('shell', 'execute_request', nothing));
    this.startMs = performance.now() - start;
  }

  private connected(): KernelClient {
    if (!this.client || this.process.exit) throw new WarpbookError('KERNEL_DIED', 'the kernel is gone');
    return this.client;
  }

  private async execute(
    cell: ICodeCell,
    number: number,
    timeoutMs: number,
    limit: TimeLimit,
  ): Promise<NotebookFailure | undefined> {
    const client = this.connected();
    const content = {
      code: joinLines(cell.source),
      silent: false,
      store_history: true,
      user_expressions: {},
      allow_stdin: false,
      stop_on_error: true,
    };
    const { id, reply } = client.requestWithId('shell', 'execute_request', content, { warpbook: { cell: number } });
    this.collector.begin(id, cell);
    let message: Message;
    try {
      message = await inTime(timeoutMs, reply);
    } catch (error) {
      if (!(error instanceof WarpbookError && error.code === 'TIMEOUT')) throw error;
      return this.endTimedOut(client, reply, number, limit);
    }
    const { status, execution_count: count, ename, evalue, traceback } = message.content;
    cell.execution_count = (count as number | undefined) ?? null;
    const mustFail = tagsOf(cell).includes(RAISES_TAG);
    if (status === 'ok' && mustFail) {
      const text = `the cell is tagged '${RAISES_TAG}' and did not fail.`;
      return { code: 'NOTEBOOK_FAILED', cell: number, message: text, traceback: [] };
    }
    if (status === 'ok' || mustFail) return undefined;
    const { line } = (message.metadata.warpbook ?? {}) as Partial<FailureNote>;
    return {
      code: 'NOTEBOOK_FAILED',
      cell: number,
      line,
      message: `${ename ?? 'Error'}: ${evalue ?? status}`,
      traceback: (traceback ?? []) as string[],
    };
  }

  /** Interrupts, so that what the cell printed arrives and finalizers run; then kills. The cell fails either way. */
  private async endTimedOut(
    client: KernelClient,
    reply: Promise<unknown>,
    cell: number,
    { limit, remedy }: TimeLimit,
  ): Promise<NotebookFailure> {
    // Repeated: an interrupt that comes before the kernel has taken up the cell finds nothing to interrupt.
    const interrupt = (): void => void client.request('control', 'interrupt_request', {}).catch(() => undefined);
    interrupt();
    const again = setInterval(interrupt, INTERRUPT_AGAIN_MS);
    const stopped = await inTime(INTERRUPT_GRACE_MS, reply).then(
      () => true,
      () => false,
    );
    clearInterval(again);
    if (!stopped) await this.process.kill();
    const how = stopped ? 'it was interrupted' : 'it did not react to an interrupt, so its kernel was killed';
    const message = `timed out: the limit is ${limit}; ${how}. Raise ${remedy}, or make it faster.`;
    return { code: 'TIMEOUT', cell, message, traceback: [] };
  }

  private missingGpu(): Promise<string> {
    // Asked of the kernel's own process, which is the one that would use it.
    this.gpu ??= this.value(
      `(() => { const { driver } = require('warpbook/dist/device/programs/diagnose').diagnoseCuda();
        return 'problem' in driver ? driver.problem : driver.gpus.length > 0 ? '' : 'the driver finds no GPU'; })()`,
    ).then(String);
    return this.gpu;
  }

  private failureFrom(error: unknown): NotebookFailure {
    const { message } = error as Error;
    const cell = this.currentCell || undefined;
    if (this.signal?.aborted) return { code: 'KERNEL_DIED', cell, message: 'the run was stopped.', traceback: [] };
    if (error instanceof WarpbookError && error.code === 'TIMEOUT') {
      return { code: 'TIMEOUT', cell, message, traceback: [] };
    }
    const when = this.cellRunning ? 'while the cell ran' : 'after the cell had ended';
    return { code: 'KERNEL_DIED', cell, message: cell === undefined ? message : `${message} ${when}.`, traceback: [] };
  }

  private asKernelError(error: unknown): WarpbookError {
    if (this.signal?.aborted) return new WarpbookError('KERNEL_DIED', 'the run was stopped.');
    return error instanceof WarpbookError ? error : new WarpbookError('KERNEL_DIED', (error as Error).message);
  }
}
