/**
 * Every error that warpbook throws on purpose.
 *
 * One class with a stable `code`, so that callers switch on the code and never on the text. A message says
 * what was got, what was wanted and what to do.
 */

/** Stable identifiers of error conditions; part of the public API. */
export type ErrorCode =
  | 'INVALID_ARGUMENT' // a value of the wrong kind or range
  | 'SHAPE_MISMATCH' // shapes, strides or head counts that don't fit together
  | 'DTYPE_MISMATCH'
  | 'DEVICE_MISMATCH' // a tensor of another device
  | 'DISPOSED' // use after dispose()
  | 'OUT_OF_MEMORY' // over the device's byte budget
  | 'CAPACITY_EXCEEDED' // a plan larger than what a wrapper was made for
  | 'PLAN_QUEUE_FULL' // every staging slot is still being read
  | 'INVALID_SCHEDULE' // a schedule that covers a key twice or not at all
  | 'INVALID_POLICY' // a policy that threw, took too long or returned something else
  | 'INVALID_PAGE_TABLE' // lengths, page indices or last page lengths that contradict each other
  | 'OUT_OF_PAGES' // the page pool is exhausted
  | 'CAPTURE_FORBIDDEN' // a call that must not happen while a stream is being captured
  | 'CAPTURE_INVALID' // the capture itself went wrong (an unjoined stream, a promise returned)
  | 'GRAPH_MISMATCH' // an update by a graph that an instance can't take on
  | 'GRAPH_STALE' // replay of a graph whose memory or plan layout is gone
  | 'DEVICE_LAUNCH' // a kernel could not launch, or choose, the work that it was to
  | 'DEVICE_LOST' // a sticky failure of the device; restart the kernel
  | 'NATIVE' // the addon is missing or failed
  | 'COMPILATION_FAILED' // a kernel source that does not compile
  | 'CALIBRATION_MISMATCH' // a cost model of another machine, or of other kernels
  | 'UNSUPPORTED' // a combination that this device doesn't have
  | 'FILE_NOT_FOUND'
  | 'FILE_FORMAT' // a broken CSV, JSONL, .npy, safetensors or notebook file
  | 'NOTEBOOK_FAILED' // a cell failed
  | 'KERNEL_DIED' // the notebook kernel's process ended
  | 'TIMEOUT';

/** An error with a stable {@link ErrorCode}. */
export class WarpbookError extends Error {
  readonly code: ErrorCode;
  /** Machine-readable facts behind the message (asked, available, file, line …). */
  readonly details: Readonly<Record<string, unknown>>;

  constructor(code: ErrorCode, message: string, details: Record<string, unknown> = {}, options?: { cause?: unknown }) {
    super(message, options?.cause === undefined ? undefined : options);
    this.name = 'WarpbookError';
    this.code = code;
    this.details = details;
  }
}

/** Throws `INVALID_ARGUMENT` unless `value` is an integer in [min, max]. */
export function requireInteger(what: string, value: number, min: number, max: number = Number.MAX_SAFE_INTEGER): void {
  if (!Number.isInteger(value) || value < min || value > max) {
    const range =
      max === Number.MAX_SAFE_INTEGER ? `an integer of at least ${min}` : `an integer from ${min} to ${max}`;
    throw new WarpbookError('INVALID_ARGUMENT', `${what} is ${value}; wanted ${range}.`, { what, value });
  }
}
