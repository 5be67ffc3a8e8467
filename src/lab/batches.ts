/** Batches to try policies on: drawn from a request trace, or given. What is shared between requests comes along. */

import { type KvDType, requireKvDType } from '../attention/variant';
import { requireInteger, WarpbookError } from '../errors';
import { findSharedPrefixes, type SharedPrefix } from '../schedule/prefixes';
import { type AttentionProblem, makeProblem } from '../schedule/problem';
import { itemSize } from '../tensor/dtype';
import { type RequestTrace, TRACE_HASH_TOKENS } from '../workload/request-trace';
import { type BatchSnapshot, type RunningRequest, snapshots } from '../workload/snapshot';

/** Shapes of the attention layer; default: those of Llama 3 8B. */
export interface ModelShape {
  /** Default 32. */
  readonly numQoHeads?: number;
  /** Default 8. */
  readonly numKvHeads?: number;
  /** Default 128. */
  readonly headDim?: number;
  /** Tokens per page; default 16. */
  readonly pageSize?: number;
  /** Of keys and values; default bfloat16. */
  readonly kvDtype?: KvDType;
}

/** A trace to draw decode batches from. */
export interface TraceWorkload {
  readonly trace: RequestTrace;
  /** Requests that run at a time; default 32. */
  readonly concurrency?: number;
  /** Batches to draw; default 50. */
  readonly batches?: number;
  /** Default 0. */
  readonly seed?: number;
}

/** Batches of a trace, or batches themselves: snapshots, or the KV tokens of each request. */
export type Workload = TraceWorkload | readonly (BatchSnapshot | ArrayLike<number>)[];

/** One decode batch. */
export interface LabBatch {
  readonly kvLens: Int32Array;
  /** Of the prompts' full blocks of TRACE_HASH_TOKENS tokens, by request; empty: nothing is shared. */
  readonly hashIds: readonly (readonly number[])[];
}

/** @throws WarpbookError INVALID_ARGUMENT for a workload without a batch, or an empty trace */
export function batchesOf(workload: Workload): LabBatch[] {
  if (!Array.isArray(workload)) {
    const { trace, concurrency = 32, batches = 50, seed = 0 } = (workload ?? {}) as TraceWorkload;
    if (!trace?.requests) {
      throw new WarpbookError(
        'INVALID_ARGUMENT',
        'workload wants a trace to draw batches from, { trace: await loadTrace(), concurrency: 32 }, or a list of batches, each ' +
          'by the KV tokens of its requests: [[1000, 200]].',
      );
    }
    requireInteger('workload.batches', batches, 1, 100_000);
    if (trace.length === 0) throw new WarpbookError('INVALID_ARGUMENT', `The trace ${trace.name} has no request.`);
    return snapshots(trace, { concurrency, count: batches, seed }).map(batchOf);
  }
  if (workload.length === 0) throw new WarpbookError('INVALID_ARGUMENT', 'workload has no batch; wanted one or more.');
  return (workload as readonly (BatchSnapshot | ArrayLike<number>)[]).map((batch) =>
    'kvLens' in batch ? batchOf(batch) : { kvLens: Int32Array.from(batch), hashIds: [] },
  );
}

function batchOf({ kvLens, requests }: BatchSnapshot): LabBatch {
  if (!requests.some(({ hashIds }) => hashIds)) return { kvLens, hashIds: [] };
  return { kvLens, hashIds: requests.map(fullBlocks) };
}

/** A last block that the prompt doesn't fill has generated tokens behind it, which nobody shares. */
function fullBlocks({ hashIds = [], kvLen, generated }: RunningRequest): number[] {
  return hashIds.slice(0, Math.floor((kvLen - generated) / TRACE_HASH_TOKENS));
}

/** The prefixes that requests of a batch share; none where pages don't fit the trace's blocks. */
export function prefixesOf({ hashIds }: LabBatch, pageSize: number): SharedPrefix[] {
  if (hashIds.length === 0 || TRACE_HASH_TOKENS % pageSize !== 0) return [];
  return findSharedPrefixes({
    blockTokens: TRACE_HASH_TOKENS,
    numBlocks: hashIds.map((ids) => ids.length),
    blockAt: (request, index) => hashIds[request][index],
  });
}

/** Every option with its default. @throws WarpbookError DTYPE_MISMATCH */
export function completeShape(shape: ModelShape = {}): Required<ModelShape> {
  const { numQoHeads = 32, numKvHeads = 8, headDim = 128, pageSize = 16, kvDtype = 'bfloat16' } = shape;
  requireKvDType(kvDtype);
  return { numQoHeads, numKvHeads, headDim, pageSize, kvDtype };
}

/** The decode problem of a batch. */
export function problemOf(batch: LabBatch, shape: Required<ModelShape>): AttentionProblem {
  const { kvDtype, ...heads } = shape;
  return makeProblem({
    ...heads,
    kvLens: batch.kvLens,
    kvElementBytes: itemSize(kvDtype),
    prefixes: () => prefixesOf(batch, shape.pageSize),
  });
}

/** The problem of one of its requests alone. */
export function problemOfOne(batch: LabBatch, request: number, shape: Required<ModelShape>): AttentionProblem {
  return problemOf({ kvLens: batch.kvLens.slice(request, request + 1), hashIds: [] }, shape);
}
