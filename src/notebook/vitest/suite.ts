/**
 * A notebook as a test file: one test for each code cell, and one for what comes after the last. A cell's test runs the
 * cells before it too, so a filter for a single cell works, whatever the order of the tests. Takes Vitest's functions from
 * its caller, since it must be the caller's Vitest.
 */
import { basename } from 'node:path';
import type { INotebookContent } from '@jupyterlab/nbformat';
import type { afterAll, beforeAll, describe, TestContext, test } from 'vitest';
import { foreignKernel, joinLines, readNotebook } from '../run/notebook-file';
import { injectParameters } from '../run/parameters';
import type { CellResult, NotebookFailure } from '../run/report';
import { NotebookSession } from '../run/session';
import { CHECK_TAG, IGNORE_TAG, PARAMETERS_TAG, SNAPSHOT_TAG, tagsOf, timeoutOf } from '../run/tags';
import { CellError } from './cell-error';
import { comparableText } from './comparable';
import type { NotebookTestOptions } from './options';

/** The functions of Vitest that define tests. */
export interface VitestFunctions {
  readonly afterAll: typeof afterAll;
  readonly beforeAll: typeof beforeAll;
  readonly describe: typeof describe;
  readonly test: typeof test;
}

const START_TIMEOUT_S = 60;
/** Beyond a cell's own limit: interrupting and killing take their time, and the message comes from us. */
const MARGIN_MS = 10_000;

/** Defines the tests of the notebook at `path`; called once for each, by the plugin's generated module. */
export function defineNotebook(vitest: VitestFunctions, path: string, options: NotebookTestOptions): void {
  const stored = readNotebook(path);
  const suite = new NotebookSuite(path, stored, options);
  const cells = stored.cells.filter((cell) => cell.cell_type === 'code');
  vitest.describe(basename(path), () => {
    vitest.beforeAll(() => suite.start(), START_TIMEOUT_S * 1000 + MARGIN_MS);
    vitest.afterAll(() => suite.end(), MARGIN_MS);
    // A cell's test may have to run those before it.
    const timeout = (options.timeoutS ?? 600) * 1000 + MARGIN_MS;
    for (const [index, cell] of cells.entries()) {
      const title = `cell ${index + 1}: ${titleOf(joinLines(cell.source))}`;
      vitest.test(title, { timeout }, (context) => suite.testCell(index + 1, context));
    }
    vitest.test('after the last cell', { timeout }, (context) => suite.testEnd(context));
  });
}

/** `// test: …` names a cell's test; else its first line of code does. */
function titleOf(source: string): string {
  const named = /^\s*\/\/\s*test:\s*(.+)$/m.exec(source)?.[1];
  if (named) return named.trim();
  const lines = source.split('\n').map((line) => line.trim());
  const first = lines.find((line) => line !== '' && !line.startsWith('//')) ?? lines.find((line) => line !== '');
  return first === undefined ? '(empty)' : first.slice(0, 70);
}

class NotebookSuite {
  private readonly path: string;
  /** As it lies on disk, with the outputs that are compared. */
  private readonly stored: INotebookContent;
  private readonly options: NotebookTestOptions;
  private readonly notebook: INotebookContent;
  /** Numbers of the code cells in the notebook that is run: an injected cell moves them. */
  private readonly offset: number;
  private readonly results = new Map<number, Promise<CellResult>>();
  /** Cells whose failure has been told by their own test. */
  private readonly told = new Set<number>();
  private readonly deadline: number;
  private session: NotebookSession | undefined;

  constructor(path: string, stored: INotebookContent, options: NotebookTestOptions) {
    this.path = path;
    this.stored = stored;
    this.options = options;
    this.deadline = performance.now() + (options.timeoutS ?? 600) * 1000;
    const copy: INotebookContent = structuredClone(stored);
    const at = copy.cells.filter((cell) => cell.cell_type === 'code').findIndex(hasParameters);
    const parameters = at >= 0 ? options.parameters : undefined;
    this.notebook = parameters ? injectParameters(copy, parameters, path) : copy;
    this.offset = parameters ? at + 1 : Number.POSITIVE_INFINITY;
  }

  async start(): Promise<void> {
    const foreign = this.options.anyKernel ? undefined : foreignKernel(this.stored);
    if (foreign !== undefined) {
      throw new Error(`${this.path}: got a notebook for the kernel '${foreign}'; wanted 'warpbook' (TypeScript).`);
    }
    const { env } = this.options;
    this.session = await NotebookSession.start(this.path, this.notebook, { env, startTimeoutS: START_TIMEOUT_S });
  }

  async end(): Promise<void> {
    await this.session?.close();
  }

  async testCell(number: number, context: TestContext): Promise<void> {
    const result = await this.through(this.numberInRun(number), context);
    this.told.add(result.number);
    if (result.status === 'skipped') context.skip(result.reason);
    if (result.failure) throw this.errorOf(result.failure);
    const cell = this.stored.cells.filter((one) => one.cell_type === 'code')[number - 1];
    const tags = tagsOf(cell);
    const compared = tags.includes(CHECK_TAG) || (this.options.compare === 'all' && !tags.includes(IGNORE_TAG));
    if (!compared && !tags.includes(SNAPSHOT_TAG)) return;
    const session = this.session as NotebookSession;
    session.store();
    const got = comparableText(session.codeCells[result.number - 1].outputs, this.options.sanitize);
    if (compared) {
      const wanted = comparableText((cell.outputs ?? []) as never, this.options.sanitize);
      context.expect(got, `${this.path}, cell ${number}: its output differs from the stored one`).toBe(wanted);
    }
    if (tags.includes(SNAPSHOT_TAG)) context.expect(got).toMatchSnapshot();
  }

  async testEnd(context: TestContext): Promise<void> {
    const session = this.session as NotebookSession;
    const last = await this.through(session.codeCells.length, context);
    if (last.failure && !this.told.has(last.number)) throw this.errorOf(last.failure);
    const failure = await session.settle((this.options.lateS ?? 2) * 1000);
    if (failure) throw this.errorOf(failure);
  }

  /** The result of a cell, after those before it have run well; skips the test where one of them has not. */
  private async through(number: number, context: TestContext): Promise<CellResult> {
    for (let before = 1; before < number; before++) {
      const { failure } = await this.resultOf(before);
      if (!failure) continue;
      // With a filter nobody else would tell.
      if (!this.told.has(before)) throw this.errorOf(failure);
      context.skip(`cell ${before} failed`);
    }
    return this.resultOf(number);
  }

  private resultOf(number: number): Promise<CellResult> {
    let result = this.results.get(number);
    if (!result) {
      // In line behind the one before, so that two tests at a time don't run two cells at a time.
      result = (this.results.get(number - 1) ?? Promise.resolve()).then(() => this.runCell(number));
      this.results.set(number, result);
    }
    return result;
  }

  private async runCell(number: number): Promise<CellResult> {
    const session = this.session as NotebookSession;
    const reason = await session.skips(number);
    if (reason !== undefined) return { number, status: 'skipped', durationMs: 0, reason };
    const own = timeoutOf(session.codeCells[number - 1]) ?? timeoutOf(this.notebook);
    const limitS = own ?? this.options.cellTimeoutS ?? 60;
    const leftMs = Math.max(0, this.deadline - performance.now());
    const ofCell = limitS * 1000 < leftMs;
    const limit = ofCell ? `${limitS} s for a cell` : `${this.options.timeoutS ?? 600} s for the notebook`;
    const remedy = ofCell ? 'cellTimeoutS, or metadata.execution.timeout' : 'timeoutS';
    const result = await session.run(number, Math.min(limitS * 1000, leftMs), { limit, remedy });
    const late = result.failure ? undefined : session.lateFailure();
    return late ? { ...result, status: 'failed', failure: late } : result;
  }

  private errorOf(failure: NotebookFailure): CellError {
    const session = this.session as NotebookSession;
    session.store();
    return new CellError(this.path, failure, session.codeCells);
  }

  private numberInRun(number: number): number {
    return number > this.offset ? number + 1 : number;
  }
}

function hasParameters(cell: INotebookContent['cells'][number]): boolean {
  return tagsOf(cell).includes(PARAMETERS_TAG);
}
