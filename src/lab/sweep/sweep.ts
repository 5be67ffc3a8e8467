/**
 * `sweep`: a function over all combinations of some axes, with what was computed kept in a file, so that an interrupted or
 * killed sweep goes on where it stopped; on request in several threads.
 */
import { requireInteger, WarpbookError } from '../../errors';
import { interruptSignal, throwIfInterrupted } from '../../interruption';
import { LabWork } from '../progress';
import { saveTable } from '../save-table';
import { type DataTable, tableOf } from '../tables';
import { Journal, type SweepRecord } from './journal';
import { type Axes, hashOf, type Json, keyOf, pointsOf } from './points';
import { runInWorkers } from './pool';
import { shipFunction } from './ship';
import { loadTask, type Run, resultOf, type Task } from './task';
import type { Answer } from './worker';

/** What a sweep's function has beside its point. */
export interface SweepContext<D> {
  /** The option `data`. */
  readonly data: D;
}

/** A module's export: what can't be sent to a worker as text. A relative path starts at the working directory. */
export interface SweepModule {
  readonly module: string;
  readonly name: string;
}

/** Options of {@link sweep}. */
export interface SweepOptions<P extends object, D = undefined> {
  /** Values by axis; JSON values. The points are all combinations, the last axis fastest. */
  readonly axes: Axes<P>;
  /**
   * Computes a point: answers a record of numbers, text and booleans (a column each), or one number or text (column `value`).
   * A point that throws has failed; its message is the column `error`.
   */
  readonly run: ((point: P, context: SweepContext<D>) => unknown) | SweepModule;
  /** Points to leave out: those that it answers false for. */
  readonly filter?: (point: P) => boolean;
  /** Where results are kept, JSON Lines; default: nowhere. Points that it has are not computed again. */
  readonly file?: string;
  /**
   * Threads; default 0: in this one, one point after the other. Functions are sent to threads as text: what they use must be
   * inside them, in `data`, or a name of warpbook.
   */
  readonly workers?: number;
  /** Handed to the function; to threads by structured clone. */
  readonly data?: D;
  /** Seconds after which a point has failed, threads only; default none. */
  readonly pointTimeoutS?: number;
  /** Compute failed points again; default false. */
  readonly retryFailed?: boolean;
  /** What is computed, for the progress bar; default 'sweep'. */
  readonly label?: string;
  /**
   * Says what `run` computes: results in the file are taken for the same version alone. Default: the text of the function, so
   * that an edited function computes its points again. A function says it point by point.
   */
  readonly version?: string | ((point: P) => string);
  readonly signal?: AbortSignal;
}

/** What {@link sweep} answers. */
export class Sweep {
  constructor(
    /** A row for each point, in the order of the points: axes, results, `error` where something failed. */
    readonly table: DataTable,
    readonly rows: readonly { readonly [column: string]: Json }[],
    /** Points that the file had. */
    readonly numReused: number,
    readonly numFailed: number,
    readonly file: string | undefined,
  ) {}

  get numPoints(): number {
    return this.rows.length;
  }

  /** Writes the table as `.csv`, `.parquet` or `.arrow`. */
  save(path: string): Promise<void> {
    return saveTable(path, this.table);
  }

  toString(): string {
    const failed = this.numFailed > 0 ? `, ${this.numFailed} failed` : '';
    return `Sweep(${this.numPoints} points, ${this.numReused} of them from the file${failed})`;
  }
}

/**
 * Computes all points of a sweep. Call it again with the same file after an interruption, or after the process was killed: each
 * point is in the result exactly once, and is computed once unless it was lost on the way to the disk.
 * @throws WarpbookError INVALID_ARGUMENT for options out of range and functions that can't be sent to a worker; FILE_FORMAT for a
 * file that isn't a sweep's; the reason of an interruption (what was computed by then is kept)
 */
export async function sweep<P extends object, D = undefined>(options: SweepOptions<P, D>): Promise<Sweep> {
  const { axes, filter, file, workers = 0, retryFailed = false, label = 'sweep', pointTimeoutS } = options;
  requireInteger('workers', workers, 0, 256);
  checkTimeout(pointTimeoutS, workers);
  const points = pointsOf(axes, filter);
  const task = taskOf(options.run, workers);
  const version = options.version ?? versionOf(options.run);
  const keys = points.map((point) => keyOf(typeof version === 'function' ? version(point) : version, point));
  const signal = AbortSignal.any([options.signal, interruptSignal()].filter((s) => s !== undefined));
  const journal = file === undefined ? undefined : await Journal.open(file, signal);
  const records = new Map<string, SweepRecord>();
  for (const key of keys) {
    const known = journal?.records.get(key);
    if (known && !(known.error !== undefined && retryFailed)) records.set(key, known);
  }
  const numReused = records.size;
  const left = keys.flatMap((key, i) => (records.has(key) ? [] : [i]));
  const work = new LabWork(label, points.length, numReused);
  const onAnswer = ({ index, ms, result, error }: Answer): void => {
    const i = left[index];
    const record = { key: keys[i], point: points[i] as never, ...(error === undefined ? { result } : { error }), ms };
    records.set(record.key, record);
    journal?.append(record);
    work.step();
  };
  try {
    const todo = left.map((i) => points[i]);
    if (task) {
      const timeoutS = pointTimeoutS ?? Number.POSITIVE_INFINITY;
      await runInWorkers(todo, { task, data: options.data, workers, timeoutS, signal }, onAnswer);
    } else {
      const run =
        typeof options.run === 'function' ? (options.run as Run) : loadTask({ kind: 'module', ...options.run });
      await runHere(todo, run, options.data, signal, journal, onAnswer);
    }
  } finally {
    work.finish();
    await journal?.close();
  }
  return resultOfSweep(
    keys.map((key) => records.get(key) as SweepRecord),
    numReused,
    file,
  );
}

async function runHere(
  points: readonly object[],
  run: Run,
  data: unknown,
  signal: AbortSignal,
  journal: Journal | undefined,
  onAnswer: (answer: Answer) => void,
): Promise<void> {
  let lastPause = performance.now();
  for (const [index, point] of points.entries()) {
    signal.throwIfAborted();
    throwIfInterrupted();
    const started = performance.now();
    const took = (): number => performance.now() - started;
    try {
      const result = resultOf(await run(point as never, { data }));
      onAnswer({ index, ms: took(), result });
    } catch (error) {
      signal.throwIfAborted();
      onAnswer({ index, ms: took(), error: error instanceof Error ? error.message : String(error) });
    }
    // Points that take long are on the disk before the next one begins; short ones go in groups, and let others run.
    if (performance.now() - lastPause < PAUSE_EVERY_MS) continue;
    await journal?.flush();
    await new Promise((resume) => setImmediate(resume));
    lastPause = performance.now();
  }
}

const PAUSE_EVERY_MS = 50;

type AnyRun = ((point: never, context: never) => unknown) | SweepModule;

function checkTimeout(pointTimeoutS: number | undefined, workers: number): void {
  if (pointTimeoutS === undefined) return;
  if (!(pointTimeoutS > 0)) {
    throw new WarpbookError(
      'INVALID_ARGUMENT',
      `pointTimeoutS is ${pointTimeoutS}; wanted a positive number of seconds.`,
    );
  }
  if (workers > 0) return;
  throw new WarpbookError(
    'INVALID_ARGUMENT',
    'pointTimeoutS was given without workers: a point that runs in this thread can’t be stopped. Give workers: 1 or more.',
  );
}

function taskOf(run: AnyRun, workers: number): Task | undefined {
  if (workers === 0) return undefined;
  if (typeof run === 'function') return { kind: 'text', source: shipFunction("The sweep's function", run) };
  return { kind: 'module', module: run.module, name: run.name };
}

function versionOf(run: AnyRun): string {
  if (typeof run === 'function') return hashOf(Function.prototype.toString.call(run));
  return hashOf(`${run.module} ${run.name}`);
}

async function resultOfSweep(
  records: readonly SweepRecord[],
  numReused: number,
  file: string | undefined,
): Promise<Sweep> {
  const rows = records.map(({ point, result, error }) => ({
    ...point,
    ...result,
    ...(error !== undefined && { error }),
  }));
  const numFailed = records.filter(({ error }) => error !== undefined).length;
  return new Sweep(await tableOf(rows), rows, numReused, numFailed, file);
}
