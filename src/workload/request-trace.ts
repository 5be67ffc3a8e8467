/**
 * A request trace: what users asked of a serving system, and when. Plain records; knows neither files nor devices.
 */
import { requireInteger, WarpbookError } from '../errors';

/** One request of a trace. */
export interface Request {
  /** Position in the trace, from 0. */
  readonly id: number;
  /** Arrival after the start of the trace, nanoseconds. */
  readonly arrivalNs: number;
  /** Prompt tokens. */
  readonly inputLength: number;
  /** Tokens that were generated. */
  readonly outputLength: number;
  /**
   * One id for each block of 512 (`TRACE_HASH_TOKENS`) prompt tokens, the last one possibly partial. Equal leading
   * ids of two requests mean that they share this prefix. Absent where the trace doesn't tell.
   */
  readonly hashIds?: readonly number[];
}

/** Prompt tokens that one entry of {@link Request.hashIds} stands for. */
export const TRACE_HASH_TOKENS = 512;

/** One quantity of a trace in percentiles, ready for a table. */
export interface TraceSummaryRow {
  readonly quantity: string;
  readonly count: number;
  readonly mean: number;
  readonly min: number;
  readonly p50: number;
  readonly p90: number;
  readonly p99: number;
  readonly max: number;
}

export interface RequestTraceOptions {
  readonly name: string;
  readonly requests: readonly Request[];
  /** Where the requests come from: a file's path, or how they were generated. */
  readonly source: string;
  /** What to cite when results from this trace are published. */
  readonly citation: string;
}

/** Requests in the order of their arrival. */
export class RequestTrace {
  readonly name: string;
  readonly requests: readonly Request[];
  readonly source: string;
  readonly citation: string;

  /** @throws WarpbookError INVALID_ARGUMENT for a request with a bad length or one that arrives before the last */
  constructor(options: RequestTraceOptions) {
    this.name = options.name;
    this.requests = options.requests;
    this.source = options.source;
    this.citation = options.citation;
    let previousNs = 0;
    for (const [i, request] of this.requests.entries()) {
      requireInteger(`requests[${i}].inputLength`, request.inputLength, 0, 2 ** 31 - 1);
      requireInteger(`requests[${i}].outputLength`, request.outputLength, 0, 2 ** 31 - 1);
      if (!(request.arrivalNs >= previousNs)) {
        throw new WarpbookError(
          'INVALID_ARGUMENT',
          `requests[${i}].arrivalNs is ${request.arrivalNs}; wanted at least ${previousNs}, as requests stand in the ` +
            'order of arrival from 0 ns on. Sort them first.',
        );
      }
      previousNs = request.arrivalNs;
    }
  }

  get length(): number {
    return this.requests.length;
  }

  /** Time from the start of the trace to the last arrival, nanoseconds; 0 for an empty trace. */
  get durationNs(): number {
    return this.requests.length === 0 ? 0 : this.requests[this.requests.length - 1].arrivalNs;
  }

  /**
   * Percentiles of lengths, of the time between arrivals and, where the trace tells, of the prompt tokens that an
   * earlier request has brought already. A quantity without values has no row.
   */
  summarize(): TraceSummaryRow[] {
    const gapsMs = this.requests.slice(1).map((request, i) => (request.arrivalNs - this.requests[i].arrivalNs) / 1e6);
    return [
      summaryRow(
        'input tokens',
        this.requests.map((request) => request.inputLength),
      ),
      summaryRow(
        'output tokens',
        this.requests.map((request) => request.outputLength),
      ),
      summaryRow('ms between arrivals', gapsMs),
      summaryRow('prompt tokens seen before', sharedPrefixTokens(this.requests)),
    ].filter((row) => row.count > 0);
  }
}

/** Prompt tokens of each request with `hashIds` that earlier requests have brought, in whole hash blocks. */
export function sharedPrefixTokens(requests: readonly Request[]): number[] {
  const seen = new Set<number>();
  const tokens: number[] = [];
  for (const { hashIds, inputLength } of requests) {
    if (!hashIds) continue;
    const firstNew = hashIds.findIndex((id) => !seen.has(id));
    tokens.push(firstNew < 0 ? inputLength : firstNew * TRACE_HASH_TOKENS);
    for (const id of hashIds) seen.add(id);
  }
  return tokens;
}

function summaryRow(quantity: string, values: readonly number[]): TraceSummaryRow {
  const sorted = Float64Array.from(values).sort();
  // The nearest-rank percentile: always a value that occurs.
  const percentile = (p: number): number => sorted[Math.max(0, Math.ceil((p / 100) * sorted.length) - 1)];
  return {
    quantity,
    count: sorted.length,
    mean: sorted.reduce((sum, value) => sum + value, 0) / sorted.length,
    min: sorted[0],
    p50: percentile(50),
    p90: percentile(90),
    p99: percentile(99),
    max: sorted[sorted.length - 1],
  };
}
