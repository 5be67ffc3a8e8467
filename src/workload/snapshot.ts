/**
 * Snapshots: the batch of requests that is running at a given moment, under continuous batching.
 *
 * The model. A batch has `concurrency` slots and works in decode steps 0, 1, 2 …. Before a step, every free slot is
 * filled from the queue, in the order of arrival; admission includes the prefill, which takes no step and generates
 * the first output token. Each step generates one token for every running request: a request of outputLength L runs
 * for L − 1 steps, and one with L ≤ 1 is finished by its prefill and never seen in a batch. A step in which a request
 * has generated g tokens reads inputLength + g keys: the latest token's own key is appended first.
 *
 * Two clocks. Without `stepNs` requests always wait: arrival times give the order alone, and the batch is full until
 * the trace runs out. With `stepNs`, steps take that long and no request is admitted before it arrives, so a batch may be
 * short or empty.
 */
import { requireInteger, WarpbookError } from '../errors';
import { makeRandom } from './random';
import type { Request, RequestTrace } from './request-trace';

export interface BatchingOptions {
  /** Requests that run at the same time, at most. */
  concurrency: number;
  /** Duration of a decode step, nanoseconds; default: none, requests always wait (see the file head). */
  stepNs?: number;
}

/** A moment: a decode step, a time after the start of the trace (needs `stepNs`), or a request's first decode step. */
export type SnapshotMoment =
  | { readonly step: number }
  | { readonly timeNs: number }
  | { /** Index in the trace. */ readonly request: number };

/** Options of {@link snapshot}. */
export interface SnapshotOptions extends BatchingOptions {
  /** The moment; default: drawn with `seed` from the steady part of the run, see {@link snapshots}. */
  at?: SnapshotMoment;
  /** From 0 to 2^32 − 1; default 0. */
  seed?: number;
}

export interface SnapshotsOptions extends BatchingOptions {
  /** Number of snapshots. */
  count: number;
  /** From 0 to 2^32 − 1; default 0. */
  seed?: number;
}

/** A request of a running batch. */
export interface RunningRequest {
  readonly id: number;
  /** Tokens whose keys this step reads: inputLength + generated. */
  readonly kvLen: number;
  /** Tokens generated before this step, at least 1. */
  readonly generated: number;
  /** Tokens still to be generated, this step's included; at least 1. */
  readonly remaining: number;
  /** Ids of the prompt's blocks, see {@link Request.hashIds}. */
  readonly hashIds?: readonly number[];
}

/** The batch of one decode step. */
export interface BatchSnapshot {
  readonly step: number;
  /** When the step starts, nanoseconds after the start of the trace; only with `stepNs`. */
  readonly timeNs?: number;
  /** In the order of arrival; at most `concurrency`. */
  readonly requests: readonly RunningRequest[];
  /** int32 [requests.length]: the `kvLen` of each. */
  readonly kvLens: Int32Array;
}

/**
 * The batch at one moment; empty where nothing runs then.
 * @throws WarpbookError INVALID_ARGUMENT
 */
export function snapshot(trace: RequestTrace, options: SnapshotOptions): BatchSnapshot {
  const run = simulateBatching(trace, options);
  return takeSnapshot(run, options.at ? stepOf(run, options.at) : drawSteps(run, 1, options.seed ?? 0)[0]);
}

/**
 * Batches at several moments, in the order of time. One is drawn from each of `count` equal parts of the steady run:
 * from the step at which the first `concurrency` requests have gone to the last admission; of a shorter trace, from the
 * first step on. Short runs may give a step twice.
 * @throws WarpbookError INVALID_ARGUMENT
 */
export function snapshots(trace: RequestTrace, options: SnapshotsOptions): BatchSnapshot[] {
  requireInteger('count', options.count, 0, 2 ** 24);
  const run = simulateBatching(trace, options);
  return drawSteps(run, options.count, options.seed ?? 0).map((step) => takeSnapshot(run, step));
}

/** When every request runs: in the steps [firstSteps[i], endSteps[i]), an empty range for outputLength ≤ 1. */
interface BatchingRun {
  readonly trace: RequestTrace;
  readonly concurrency: number;
  readonly stepNs: number | undefined;
  /** [trace.length], never falling. */
  readonly firstSteps: Float64Array;
  readonly endSteps: Float64Array;
}

function simulateBatching(trace: RequestTrace, { concurrency, stepNs }: BatchingOptions): BatchingRun {
  requireInteger('concurrency', concurrency, 1);
  if (stepNs !== undefined && !(stepNs > 0 && stepNs < Number.POSITIVE_INFINITY)) {
    throw new WarpbookError('INVALID_ARGUMENT', `stepNs is ${stepNs}; wanted a positive number of nanoseconds.`);
  }
  const firstSteps = new Float64Array(trace.length);
  const endSteps = new Float64Array(trace.length);
  /** A min-heap of the steps at which the slots get free. */
  const freeFrom = new Float64Array(Math.min(concurrency, trace.length));
  let step = 0;
  for (const [i, request] of trace.requests.entries()) {
    if (stepNs !== undefined) step = Math.max(step, Math.ceil(request.arrivalNs / stepNs));
    // First come, first served: nobody is admitted before those ahead, so `step` never goes back.
    step = Math.max(step, freeFrom[0]);
    firstSteps[i] = step;
    endSteps[i] = step + Math.max(0, request.outputLength - 1);
    replaceSmallest(freeFrom, endSteps[i]);
  }
  return { trace, concurrency, stepNs, firstSteps, endSteps };
}

function stepOf(run: BatchingRun, at: SnapshotMoment): number {
  if ('step' in at) {
    requireInteger('at.step', at.step, 0);
    return at.step;
  }
  if ('request' in at) {
    if (run.trace.length === 0) throw new WarpbookError('INVALID_ARGUMENT', 'at.request was given for an empty trace.');
    requireInteger('at.request', at.request, 0, run.trace.length - 1);
    return run.firstSteps[at.request];
  }
  if (!(at.timeNs >= 0 && at.timeNs < Number.POSITIVE_INFINITY)) {
    throw new WarpbookError('INVALID_ARGUMENT', `at.timeNs is ${at.timeNs}; wanted nanoseconds of at least 0.`);
  }
  if (run.stepNs === undefined) {
    throw new WarpbookError(
      'INVALID_ARGUMENT',
      'at.timeNs was given without stepNs; say how long a decode step takes.',
    );
  }
  return Math.floor(at.timeNs / run.stepNs);
}

function drawSteps({ firstSteps, endSteps, concurrency }: BatchingRun, count: number, seed: number): number[] {
  const lastAdmission = firstSteps.length > 0 ? firstSteps[firstSteps.length - 1] : 0;
  const firstGone = endSteps.subarray(0, concurrency).reduce((latest, end) => Math.max(latest, end), 0);
  const from = firstGone <= lastAdmission ? firstGone : 0;
  const random = makeRandom(seed);
  const part = (lastAdmission + 1 - from) / count;
  return Array.from({ length: count }, (_, k) => from + Math.floor((k + random()) * part));
}

function takeSnapshot({ trace, stepNs, firstSteps, endSteps }: BatchingRun, step: number): BatchSnapshot {
  const requests: RunningRequest[] = [];
  for (let i = 0; i < trace.length && firstSteps[i] <= step; i++) {
    if (endSteps[i] > step) requests.push(runningRequest(trace.requests[i], 1 + step - firstSteps[i]));
  }
  const kvLens = Int32Array.from(requests, (request) => request.kvLen);
  return { step, ...(stepNs !== undefined && { timeNs: step * stepNs }), requests, kvLens };
}

function runningRequest({ id, inputLength, outputLength, hashIds }: Request, generated: number): RunningRequest {
  const running = { id, kvLen: inputLength + generated, generated, remaining: outputLength - generated };
  return hashIds ? { ...running, hashIds } : running;
}

/** Puts `value` in the place of the smallest number of a binary min-heap. */
function replaceSmallest(heap: Float64Array, value: number): void {
  let i = 0;
  for (let child = 1; child < heap.length; child = 2 * i + 1) {
    if (child + 1 < heap.length && heap[child + 1] < heap[child]) child++;
    if (heap[child] >= value) break;
    heap[i] = heap[child];
    i = child;
  }
  heap[i] = value;
}
