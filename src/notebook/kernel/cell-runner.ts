/**
 * Runs cells, one at a time, through tslab's executor: what a cell prints, shows, returns and breaks ends up in that
 * cell's own output, also when it comes late, from a timer or a forgotten promise. Knows no socket and no message but
 * the content of `execute_request` and its reply.
 */
import { AsyncLocalStorage } from 'node:async_hooks';
import { setImmediate } from 'node:timers/promises';
import { format } from 'node:util';
import { WarpbookError } from '../../errors';
import { hasRenderer } from '../../renderers';
import type { Content, FailureNote } from '../run/protocol';
import { installAwaitGuard } from './await-guard';
import { captureProcess } from './capture';
import { Cell, Interruption } from './cell';
import { CellCompiler, type Protect } from './compiler';
import {
  type CellSource,
  describeDiagnostics,
  describeInterruption,
  describeThrown,
  type StackContext,
  scriptNameOf,
} from './failure';
import { bundleOf } from './mime';
import { CellModules } from './modules';
import { CellOutput, type Publish } from './output';
import { makePrelude, PRELUDE_ERROR, type Prelude } from './prelude';
import type { Executor } from './tslab';

export interface CellRequest {
  readonly code: string;
  readonly silent: boolean;
  readonly storeHistory: boolean;
  /** The cell's number where the client knows a better one than the execution count. */
  readonly label?: string;
  /** Evaluated after the cell has run well, each on its own. */
  readonly expressions: Readonly<Record<string, string>>;
  readonly publish: Publish;
  /** Asks the client for a line and blocks; undefined where the user interrupts. Absent where nobody can answer. */
  readonly prompt?: (text: string, password: boolean) => string | undefined;
}

export interface CellOutcome {
  readonly executionCount: number;
  readonly failure?: FailureNote;
  /** `user_expressions` of the reply. */
  readonly expressions?: Content;
}

/** What an interrupted cell's own clean-up may take before the cell is given up. */
const CLEAN_UP_MS = 1000;

const usesAsyncHooks = Number(process.versions.node.split('.')[0]) < 24;

export class CellRunner {
  readonly compiler: CellCompiler;
  readonly executor: Executor;
  private readonly modules: CellModules;
  private readonly prelude: Prelude;
  private readonly context = new AsyncLocalStorage<Cell>();
  private readonly sources = new Map<string, CellSource>();
  private readonly stacks: StackContext;
  private current: Cell | undefined;
  private prompt: CellRequest['prompt'];
  private executionCount = 0;
  private result: { value: unknown } | undefined;
  /** What the cell threw. */
  private thrown: unknown;
  private errors: unknown[][] = [];
  /** Told once, in the first cell. */
  private preludeProblem: string | undefined;

  /**
   * Files and imports are looked for in the process's folder, where a front end puts it: beside the notebook.
   *
   * @param protect keeps terminations away from the compiler
   */
  constructor(protect?: Protect) {
    const root = process.cwd();
    // Library frames between a failure and the cell that caused it shouldn't hide the cell.
    Error.stackTraceLimit = Math.max(Error.stackTraceLimit, 50);
    this.modules = new CellModules(root);
    this.modules.install();
    let prelude: Prelude | undefined;
    this.compiler = new CellCompiler((ts) => {
      prelude = makePrelude(ts);
      return prelude.declarations;
    }, protect);
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
    installAwaitGuard((value) => this.context.getStore()?.guard(value) ?? value);
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

  /** Takes over this process's prints, displays, prompts and uncaught failures. */
  capture(): void {
    const cellHere = (): Cell | undefined => this.context.getStore() ?? this.current;
    captureProcess(
      {
        cellHere,
        stray: (kind, thrown) => this.stray(kind, thrown, cellHere()),
        readLine: (text, password) => this.readLine(text, password),
      },
      this.compiler.tslab,
    );
  }

  /** Sends what cells have printed; for the last moment of the process. */
  flush(): void {
    this.current?.output.flush();
  }

  async run(request: CellRequest): Promise<CellOutcome> {
    if (request.storeHistory && !request.silent) this.executionCount += 1;
    const executionCount = this.executionCount;
    const label = request.label ?? String(executionCount);
    const output = new CellOutput(request.publish);
    const cell = new Cell(label, request.code, output);
    this.sources.set(label, { label, code: request.code });
    this.current = cell;
    this.prompt = request.prompt;
    if (!request.silent) output.send('execute_input', { code: request.code, execution_count: executionCount });
    if (this.preludeProblem) output.write('stderr', this.preludeProblem);
    this.preludeProblem = undefined;
    // A turn of its own: a termination drops every microtask of its turn, and none of them should be the kernel's.
    await setImmediate();
    const executed = this.context.run(cell, () => this.execute(cell, request, executionCount));
    const outcome = await Promise.race([executed, cell.abandoned.then(() => ({ thrown: describeInterruption() }))]);
    this.result = undefined;
    const failure = this.conclude(cell, outcome.thrown);
    return { executionCount, failure, expressions: 'expressions' in outcome ? outcome.expressions : undefined };
  }

  /**
   * A value as JavaScript, for who runs notebooks from a program. Call it between cells.
   *
   * @throws what the expression throws, with the failure's text as message.
   */
  async valueOf(expression: string): Promise<unknown> {
    // A result of undefined or null would not be told apart from none.
    const failure = await this.evaluate({ label: 'expression', code: `({ value: (${expression}\n) })` });
    const result = this.result as { value: { value: unknown } } | undefined;
    this.result = undefined;
    if (failure) throw new WarpbookError('NOTEBOOK_FAILED', `${failure.ename}: ${failure.evalue}`);
    return result?.value.value;
  }

  /**
   * Ends what the running cell awaits. Its `finally` blocks run; what they await has a second, or until the next
   * interrupt. JavaScript that is busy isn't reached: the wire's thread terminates it.
   */
  interrupt(): void {
    const cell = this.current;
    if (!cell || cell.ended) return;
    // Asked again: its clean-up takes too long, or it catches interrupts and goes on.
    const again = cell.interrupted;
    const { awaiting } = cell;
    if (!again) cell.interrupt();
    if (again || !awaiting) this.abandon(cell);
    else setTimeout(() => this.abandon(cell), CLEAN_UP_MS).unref();
  }

  /**
   * Before Node 24 the cells' context hangs on async hooks, and with those on, Node aborts after a termination if a single
   * promise was entered since the stack of contexts was cleared. What has a context keeps it.
   */
  suspendContext(): void {
    if (usesAsyncHooks) this.context.disable();
  }

  resumeContext(): void {
    if (usesAsyncHooks && this.current) this.context.run(this.current, () => undefined);
  }

  private abandon(cell: Cell): void {
    if (cell.ended) return;
    cell.abandon();
    this.compiler.keepDeclarations();
    this.executor.interrupt();
  }

  /** Everything that happens in the cell's context. What it returns never comes where the cell is terminated. */
  private async execute(
    cell: Cell,
    request: CellRequest,
    executionCount: number,
  ): Promise<{ thrown?: FailureNote; expressions?: Content }> {
    const thrown = await this.evaluate(cell);
    // Rejections that nobody awaits are reported once the microtasks are through: before the next immediate.
    await setImmediate();
    // An error that knows how to show itself (a source that doesn't compile) does so above its message.
    if (thrown && !request.silent && hasRenderer(this.thrown)) {
      cell.output.show('display_data', this.thrown, (data) => ({ data, metadata: {} }));
      await cell.output.settle();
    }
    const { result } = this;
    if (thrown || cell.failures.length > 0) return { thrown };
    if (result && !request.silent) {
      const show = (data: Content): Content => ({ execution_count: executionCount, data, metadata: {} });
      cell.output.show('execute_result', result.value, show);
    }
    await cell.output.settle();
    const expressions: Record<string, unknown> = {};
    for (const [name, code] of Object.entries(request.expressions)) expressions[name] = await this.expression(code);
    return { expressions };
  }

  /** One of the `user_expressions`: a mime bundle, or what went wrong. */
  private async expression(code: string): Promise<Content> {
    try {
      const { data } = await bundleOf(await this.valueOf(code));
      return { status: 'ok', data, metadata: {} };
    } catch (error) {
      const { name: ename, message: evalue } = error as Error;
      return { status: 'error', ename, evalue, traceback: [evalue] };
    }
  }

  private conclude(cell: Cell, thrown: FailureNote | undefined): FailureNote | undefined {
    cell.ended = true;
    // A stray failure interrupts the cell that waits for it; the interruption isn't what the user wants to read.
    const [stray] = cell.failures;
    const failure = thrown && !(stray && thrown.ename === 'Interrupted') ? thrown : stray;
    if (failure) {
      for (const other of cell.failures) {
        if (other !== failure) cell.output.write('stderr', `${other.traceback.join('\n')}\n`);
      }
      const { ename, evalue, traceback } = failure;
      cell.output.send('error', { ename, evalue, traceback }, { warpbook: failure });
    }
    // What the user has stopped stays silent.
    if (cell.interrupted) cell.output.close();
    return failure;
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
      // There is no await to interrupt as long as packages are loaded.
      if (cell instanceof Cell && cell.interrupted) return describeInterruption();
      ok = await this.executor.execute(cell.code);
    } catch (error) {
      return describeThrown(error, cell, this.stacks);
    }
    const { diagnostics } = this.compiler;
    if (!ok && diagnostics.length > 0) return describeDiagnostics(diagnostics, cell);
    // What the cell declared before it failed is there, so later cells may use it.
    if (!ok) {
      this.compiler.keepDeclarations();
      this.thrown = this.errors.at(-1)?.[0];
      return describeThrown(this.thrown, cell, this.stacks);
    }
    this.compiler.followDeclarations();
    // A cell that defines a module is reported as run whatever its diagnostics say.
    for (const args of this.errors) process.stderr.write(`${format(...args)}\n`);
    return undefined;
  }

  /** A failure that no cell caught. It belongs to the cell that started it, wherever that stands by now. */
  private stray(kind: 'uncaughtException' | 'unhandledRejection', thrown: unknown, cell: Cell | undefined): void {
    // An interrupt rejects every await of its cell, also where nobody looks.
    if (cell?.interrupted && (cell.ended || thrown instanceof Interruption)) return;
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

  private readLine(text: string, password: boolean): string {
    this.flush();
    if (!this.prompt) {
      throw new WarpbookError(
        'UNSUPPORTED',
        'got a prompt where nobody can answer; wanted a front end with standard input. Headless runs take parameters instead (warpbook run -p name=value).',
      );
    }
    const answer = this.prompt(text, password);
    if (answer === undefined) throw new Interruption();
    return answer;
  }
}
