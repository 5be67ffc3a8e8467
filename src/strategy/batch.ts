/** What a decode step is asked to do, and what a strategy was captured for. Lengths and pages as values; no device. */
import type { PageTable } from '../attention/page-table';
import { WarpbookError } from '../errors';

/** The most that steps may ask of a strategy: what its graphs freeze. */
export interface StepCapacity {
  /** Requests of a step. */
  readonly maxBatch: number;
  /** Tokens of a request, the new one included. */
  readonly maxKvLen: number;
}

/** One piece of a prompt that is computed in the same step as a decode batch. */
export interface PrefillChunk {
  /** The request's pages; its length is that after the chunk. */
  readonly table: PageTable;
  /** Tokens of the request before the chunk. */
  readonly start: number;
  /** Tokens of the chunk. */
  readonly tokens: number;
}

/** The batch of one step. */
export interface StepBatch {
  /** Tokens of each request, the one that the step appends included; int32 [batchSize]. */
  readonly kvLens: Int32Array;
  /** Tokens that each request still generates, this step's included; int32 [batchSize]. */
  readonly remaining: Int32Array;
  /** The page table, where the requests or their pages are not those of the step before; its lengths are `kvLens`. */
  readonly table?: PageTable;
  /** Steps that can be taken with these requests, this one included: until the first one ends or another one may join. */
  readonly stepsAhead: number;
  readonly chunk?: PrefillChunk;
  /**
   * Called where the copies of a step have been enqueued and nothing of its work has: for whoever times them apart. A step that sends
   * nothing doesn't call it.
   */
  readonly onSent?: () => void;
}

/** @throws WarpbookError CAPACITY_EXCEEDED, naming the option to raise; the strategy is as before then */
export function requireCapacity(strategy: string, { kvLens }: StepBatch, capacity: StepCapacity): void {
  const maxKvLen = longest(kvLens);
  if (kvLens.length <= capacity.maxBatch && maxKvLen <= capacity.maxKvLen) return;
  const asked = { maxBatch: kvLens.length, maxKvLen };
  const key = asked.maxBatch > capacity.maxBatch ? 'maxBatch' : 'maxKvLen';
  throw new WarpbookError(
    'CAPACITY_EXCEEDED',
    `${strategy}: the step needs ${key} = ${asked[key]}, and the strategy was captured for ${capacity[key]}; the step was ` +
      `refused and nothing was enqueued. Capture with a higher ${key}, or run the step with the strategy 'eager'.`,
    { asked: asked[key], available: capacity[key], option: key },
  );
}

/** The largest of the lengths; 0 where there are none. */
export function longest(kvLens: Int32Array): number {
  let most = 0;
  for (const length of kvLens) if (length > most) most = length;
  return most;
}
