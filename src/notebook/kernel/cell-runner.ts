/**
 * Runs cells, one at a time, through tslab's executor: what a cell prints, shows, returns and breaks ends up in that
 * cell's own output, also when it comes late, from a timer or a forgotten promise. Knows no socket and no message but
 * the content of `execute_request` and its reply.
 */
import { AsyncLocalStorage } from 'node:async_hooks';
import { format } from 'node:util';
import { hasRenderer } from '../../renderers';
import { type FrontEnd, frontEndKey } from '../display';
import type { Content, FailureNote } from '../run/protocol';
import { CellCompiler } from './compiler';
import {
  type CellSource,
  describeDiagnostics,
  describeInterruption,
  describeThrown,
  type StackContext,
  scriptNameOf,
} from './failure';
import { CellModules } from './modules';
import { CellOutput, type Publish, type StreamName } from './output';
import { makePrelude, PRELUDE_ERROR, type Prelude } from './prelude';
import type { Executor } from './tslab';

export interface CellRequest {
  readonly code: string;
  readonly silent: boolean;
  readonly storeHistory: boolean;
  /** The cell's number where the client knows a better one than the execution count. */
  readonly label?: string;
  readonly publish: Publish;
}

export interface CellOutcome {
  readonly executionCount: number;
  readonly failure?: FailureNote;
}

interface Cell extends CellSource {
  readonly output: CellOutput;
  readonly failures: FailureNote[];
  /** Once the reply is on its way a failure is a late one. */
  ended: boolean;
}

export class CellRunner {
  readonly compiler: CellCompiler;
  readonly executor: Executor;
  private readonly modules: CellModules;
  private readonly prelude: Prelude;
  private readonly context = new AsyncLocalStorage<Cell>();
  private readonly sources = new Map<string, CellSource>();
  private readonly stacks: StackContext;
  private current: Cell | undefined;
  private running = false;
  private interrupted = false;
  private executionCount = 0;
  private result: { value: unknown } | undefined;
  /** What the cell threw. */
  private thrown: unknown;
  private errors: unknown[][] = [];
  /** Told once, in the first cell. */
  private preludeProblem: string | undefined;

  /** Files and imports are looked for in the process's folder, where a front end puts it: beside the notebook. */
  constructor() {
    const root = process.cwd();
    // Library frames between a failure and the cell that caused it shouldn't hide the cell.
    Error.stackTraceLimit = Math.max(Error.stackTraceLimit, 50);
    this.modules = new CellModules(root);
    this.modules.install();
    let prelude: Prelude | undefined;
    this.compiler = new CellCompiler((ts) => {
      prelude = makePrelude(ts);
      return prelude.declarations;
    });
    this.prelude = prelude as unknown as Prelude;
    const { wrapped, tslab } = this.compiler;
    this.executor = tslab.createExecutor(
      root,
      { node: wrapped, browser: wrapped, close: () => this.compiler.close() },
      {
        log: (value) => {
          this.result = { value };
        },
        error: (...args) => {
          this.errors.push(args);
        },
      },
    );
    this.stacks = { mapper: (script) => this.compiler.mapper(script), cell: (label) => this.sources.get(label) };
  }

  /** Brings the package's names into scope. A package that can't be loaded is told of in the first cell. */
  async preload(): Promise<void> {
    this.compiler.prepare(this.prelude.output, this.prelude.declarations, PRELUDE_ERROR);
    const failure = await this.evaluate({ label: '0', code: '' });
    const error = this.result as { value: unknown } | undefined;
    const problem = failure ?? (error && describeThrown(error.value, undefined, this.stacks));
    if (problem) this.preludeProblem = `warpbook could not be preloaded: ${problem.traceback.join('\n')}\n`;
    this.result = undefined;
  }

  /** Takes over this process's prints, displays and uncaught failures. */
  capture(): void {
    for (const name of ['stdout', 'stderr'] as const) this.captureStream(name);
    const frontEnd: FrontEnd = {
      show: (value, id, update) => {
        const transient = id === undefined ? {} : { display_id: id };
        const msgType = update ? 'update_display_data' : 'display_data';
        this.cellHere()?.output.show(msgType, value, (data) => ({ data, metadata: {}, transient }));
      },
      clear: (wait) => this.cellHere()?.output.send('clear_output', { wait }),
    };
    (globalThis as { [frontEndKey]?: FrontEnd })[frontEndKey] = frontEnd;
    this.compiler.tslab.setDisplaySink((data, update) => {
      this.cellHere()?.output.send(update ? 'update_display_data' : 'display_data', data as unknown as Content);
    });
    process.on('uncaughtException', (error) => this.stray('uncaughtException', error));
    process.on('unhandledRejection', (reason) => this.stray('unhandledRejection', reason));
    process.on('exit', () => this.current?.output.flush());
  }

  async run(request: CellRequest): Promise<CellOutcome> {
    if (request.storeHistory && !request.silent) this.executionCount += 1;
    const executionCount = this.executionCount;
    const label = request.label ?? String(executionCount);
    const output = new CellOutput(request.publish);
    const cell: Cell = { label, code: request.code, output, failures: [], ended: false };
    this.sources.set(label, { label, code: request.code });
    this.current = cell;
    this.running = true;
    this.interrupted = false;
    if (!request.silent) output.send('execute_input', { code: request.code, execution_count: executionCount });
    if (this.preludeProblem) output.write('stderr', this.preludeProblem);
    this.preludeProblem = undefined;
    try {
      const thrown = await this.context.run(cell, () => this.evaluate(cell));
      // Rejections that nobody awaits are reported once the microtasks are through: before the next immediate.
      await new Promise((resolve) => setImmediate(resolve));
      // An error that knows how to show itself (a source that doesn't compile) does so above its message.
      if (thrown && !request.silent && hasRenderer(this.thrown)) {
        this.context.run(cell, () => output.show('display_data', this.thrown, (data) => ({ data, metadata: {} })));
      }
      const result = this.result as { value: unknown } | undefined;
      if (!thrown && result && !request.silent && cell.failures.length === 0) {
        const show = (data: Content): Content => ({ execution_count: executionCount, data, metadata: {} });
        this.context.run(cell, () => output.show('execute_result', result.value, show));
      }
      await output.settle();
      return this.conclude(cell, thrown, executionCount);
    } finally {
      this.running = false;
      this.result = undefined;
    }
  }

  /** Ends the running cell at its next await; a synchronous loop is ended by SIGINT itself. */
  interrupt(): void {
    if (!this.running) return;
    this.interrupted = true;
    this.executor.interrupt();
  }

  private conclude(cell: Cell, thrown: FailureNote | undefined, executionCount: number): CellOutcome {
    cell.ended = true;
    // A stray failure interrupts the cell that waits for it; the interruption isn't what the user wants to read.
    const [stray] = cell.failures;
    const failure = thrown && !(stray && thrown.ename === 'Interrupted') ? thrown : stray;
    if (!failure) return { executionCount };
    for (const other of cell.failures) {
      if (other !== failure) cell.output.write('stderr', `${other.traceback.join('\n')}\n`);
    }
    const { ename, evalue, traceback } = failure;
    cell.output.send('error', { ename, evalue, traceback }, { warpbook: failure });
    return { executionCount, failure };
  }

  /** Compiles and runs; leaves a value in `result`. Returns what the cell threw, or why it doesn't compile. */
  private async evaluate(cell: CellSource): Promise<FailureNote | undefined> {
    this.result = undefined;
    this.thrown = undefined;
    this.errors = [];
    this.compiler.beginScript(scriptNameOf(cell.label));
    let ok: boolean;
    try {
      await this.modules.prepare(this.compiler.importsOf(cell.code));
      // The executor has nothing to interrupt as long as packages are loaded.
      if (this.interrupted) return describeInterruption();
      ok = await this.executor.execute(cell.code);
    } catch (error) {
      return describeThrown(error, cell, this.stacks);
    }
    const { diagnostics } = this.compiler;
    if (!ok && diagnostics.length > 0) return describeDiagnostics(diagnostics, cell);
    if (!ok) {
      this.thrown = this.errors.at(-1)?.[0];
      return describeThrown(this.thrown, cell, this.stacks);
    }
    // A cell that defines a module is reported as run whatever its diagnostics say.
    for (const args of this.errors) process.stderr.write(`${format(...args)}\n`);
    return undefined;
  }

  /** A failure that no cell caught. It belongs to the cell that started it, wherever that stands by now. */
  private stray(kind: 'uncaughtException' | 'unhandledRejection', thrown: unknown): void {
    const cell = this.cellHere();
    const failure = describeThrown(thrown, cell, this.stacks);
    if (cell && !cell.ended) {
      cell.failures.push(failure);
      // What the cell waits for may never come now.
      if (this.current === cell) this.interrupt();
      return;
    }
    const what = kind === 'uncaughtException' ? 'Uncaught exception' : 'Unhandled rejection';
    const text = `${what} after the cell had ended:\n${failure.traceback.join('\n')}\n`;
    if (cell) cell.output.send('stream', { name: 'stderr', text }, { warpbook: { late: kind, ...failure } });
    else process.stderr.write(text);
  }

  private cellHere(): Cell | undefined {
    return this.context.getStore() ?? this.current;
  }

  private captureStream(name: StreamName): void {
    const stream = process[name];
    const real = stream.write.bind(stream);
    const decoder = new TextDecoder();
    const write = (chunk: string | Uint8Array, encoding?: unknown, callback?: unknown): boolean => {
      const cell = this.cellHere();
      if (!cell) return real(chunk as string, encoding as never, callback as never);
      cell.output.write(name, typeof chunk === 'string' ? chunk : decoder.decode(chunk, { stream: true }));
      const done = typeof encoding === 'function' ? encoding : callback;
      if (typeof done === 'function') process.nextTick(done as () => void);
      return true;
    };
    stream.write = write as typeof stream.write;
  }
}
