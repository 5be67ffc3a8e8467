/**
 * The attention problem that a policy is asked to schedule: lengths, heads and masks. No device, no buffers.
 *
 * Rows. The queries of one KV head are packed as *rows*: with `groupSize = numQoHeads / numKvHeads`, query token t
 * (counted over the whole batch) and head h of the group are row `t * groupSize + h`. So a request's rows are the
 * contiguous range [qoIndptr[r] * groupSize, qoIndptr[r + 1] * groupSize), the same for every KV head.
 */
import { requireInteger, WarpbookError } from '../errors';
import { checkPrefixes, type SharedPrefix } from './prefixes';

/** What {@link makeProblem} takes; everything but lengths and heads has a default. */
export interface ProblemOptions {
  /** KV tokens of each request, shape [batchSize]. */
  kvLens: ArrayLike<number>;
  /** Query tokens of each request, shape [batchSize]; default: one each (decode). */
  qoLens?: ArrayLike<number>;
  numQoHeads: number;
  numKvHeads: number;
  headDim: number;
  /** Tokens per page; default 16. */
  pageSize?: number;
  /** Query i of a request sees keys up to position kvLen − qoLen + i (right-aligned); default false. */
  causal?: boolean;
  /** Keys further back than this many tokens from the query's own position are hidden; −1: no window (default). */
  windowLeft?: number;
  /** Bytes of one KV element, for policies that weigh memory traffic; default 2. */
  kvElementBytes?: number;
  /**
   * Prefixes that several requests share, in the same pages; default: none. A function is asked when a policy first looks:
   * finding them takes time. See `findSharedPrefixes`.
   */
  prefixes?: readonly SharedPrefix[] | (() => readonly SharedPrefix[]);
}

const NONE: readonly SharedPrefix[] = [];

/** Immutable description of one batch; see the file head for what a row is. */
export interface AttentionProblem {
  readonly batchSize: number;
  /** int32 [batchSize] */
  readonly kvLens: Int32Array;
  /** int32 [batchSize + 1], exclusive prefix sum of query lengths. */
  readonly qoIndptr: Int32Array;
  readonly numQoHeads: number;
  readonly numKvHeads: number;
  /** numQoHeads / numKvHeads */
  readonly groupSize: number;
  readonly headDim: number;
  readonly pageSize: number;
  readonly causal: boolean;
  readonly windowLeft: number;
  readonly kvElementBytes: number;
  /** Prefixes that several requests share, shorter ones first; they form trees, see prefixes.ts. */
  readonly prefixes: readonly SharedPrefix[];
}

/**
 * Checks and completes a problem.
 * @throws WarpbookError INVALID_ARGUMENT or SHAPE_MISMATCH
 */
export function makeProblem(options: ProblemOptions): AttentionProblem {
  const {
    numQoHeads,
    numKvHeads,
    headDim,
    pageSize = 16,
    causal = false,
    windowLeft = -1,
    kvElementBytes = 2,
    prefixes = NONE,
  } = options;
  requireInteger('numKvHeads', numKvHeads, 1);
  requireInteger('numQoHeads', numQoHeads, 1);
  requireInteger('headDim', headDim, 1);
  requireInteger('pageSize', pageSize, 1);
  requireInteger('windowLeft', windowLeft, -1);
  if (numQoHeads % numKvHeads !== 0) {
    throw new WarpbookError(
      'SHAPE_MISMATCH',
      `numQoHeads ${numQoHeads} is not a multiple of numKvHeads ${numKvHeads}; each KV head serves the same number of query heads.`,
    );
  }
  const { kvLens: given, qoLens } = options;
  const kvLens = given instanceof Int32Array ? given.slice() : Int32Array.from(given);
  const batchSize = kvLens.length;
  if (qoLens && qoLens.length !== batchSize) {
    throw new WarpbookError('SHAPE_MISMATCH', `qoLens has ${qoLens.length} entries, kvLens ${batchSize}.`);
  }
  const qoIndptr = new Int32Array(batchSize + 1);
  for (let r = 0; r < batchSize; r++) {
    const qoLen = qoLens ? qoLens[r] : 1;
    if (!(kvLens[r] >= 0) || kvLens[r] !== given[r]) requireInteger(`kvLens[${r}]`, given[r], 0, 2 ** 31 - 1);
    if (!Number.isInteger(qoLen) || qoLen < 0) requireInteger(`qoLens[${r}]`, qoLen, 0);
    qoIndptr[r + 1] = qoIndptr[r] + qoLen;
  }
  let checked = typeof prefixes === 'function' ? undefined : checkPrefixes(prefixes, kvLens, pageSize);
  return {
    batchSize,
    kvLens,
    qoIndptr,
    numQoHeads,
    numKvHeads,
    groupSize: numQoHeads / numKvHeads,
    headDim,
    pageSize,
    causal,
    windowLeft,
    kvElementBytes,
    get prefixes(): readonly SharedPrefix[] {
      checked ??= checkPrefixes((prefixes as () => readonly SharedPrefix[])(), kvLens, pageSize);
      return checked;
    },
  };
}

/** Position of query token `token` (batch-wide) of request `r`, in the coordinates of the request's keys. May be < 0. */
export function queryPosition(problem: AttentionProblem, r: number, token: number): number {
  return problem.kvLens[r] - problem.qoIndptr[r + 1] + token;
}

/** First key that query tokens [firstToken, …] of request `r` may see (window), clamped to [0, kvLen]. */
export function visibleStart(problem: AttentionProblem, r: number, firstToken: number): number {
  if (problem.windowLeft < 0) return 0;
  const start = queryPosition(problem, r, firstToken) - problem.windowLeft;
  return start <= 0 ? 0 : Math.min(start, problem.kvLens[r]);
}

/** One past the last key that query tokens [… , lastToken] of request `r` may see, clamped to [0, kvLen]. */
export function visibleEnd(problem: AttentionProblem, r: number, lastToken: number): number {
  if (!problem.causal) return problem.kvLens[r];
  const end = queryPosition(problem, r, lastToken) + 1;
  return end <= 0 ? 0 : Math.min(end, problem.kvLens[r]);
}

/** Bytes of K and V that must be read once; a shared prefix counts once. */
export function kvBytes(problem: AttentionProblem): number {
  let tokens = 0;
  for (const length of problem.kvLens) tokens += length;
  // Of prefixes within one another, each token is taken off for all requests but one.
  const shared = new Int32Array(problem.batchSize);
  for (const { length, requests } of problem.prefixes) {
    tokens -= (requests.length - 1) * (length - shared[requests[0]]);
    for (const r of requests) shared[r] = length;
  }
  return tokens * problem.numKvHeads * problem.headDim * 2 * problem.kvElementBytes;
}
