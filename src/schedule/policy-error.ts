/** What a policy did wrong, as an error that can show itself: in its message as text, in a notebook as a chart. */
import { type ErrorCode, WarpbookError } from '../errors';
import { type Coverage, drawCoverage } from './coverage';

/** `INVALID_SCHEDULE` or `INVALID_POLICY`; the message ends with a picture where it is about a request's keys. */
export class PolicyError extends WarpbookError {
  /** What is wrong, without the picture. */
  declare readonly summary: string;
  /** Which tiles attend to the request's keys; undefined where the fault is another one. */
  declare readonly coverage: Coverage | undefined;

  constructor(
    code: Extract<ErrorCode, 'INVALID_SCHEDULE' | 'INVALID_POLICY'>,
    policy: string,
    summary: string,
    coverage?: Coverage,
    options?: { cause?: unknown },
  ) {
    const details = coverage && {
      request: coverage.request,
      kvHead: coverage.kvHead,
      kvStart: coverage.fault.start,
      kvEnd: coverage.fault.end,
    };
    super(code, coverage ? `${summary}\n${drawCoverage(coverage)}` : summary, { policy, ...details }, options);
    // Not enumerable, or every uncaught error would be printed with all its tiles.
    for (const [name, value] of Object.entries({ summary, coverage })) Object.defineProperty(this, name, { value });
  }
}
