/** What a policy did wrong with a request's keys, as an error that can show them: in its message as text, in a notebook as a chart. */
import { type ErrorCode, WarpbookError } from '../errors';
import { type Coverage, drawCoverage } from './coverage';

type PolicyErrorCode = Extract<ErrorCode, 'INVALID_SCHEDULE' | 'INVALID_POLICY'>;

/** `INVALID_SCHEDULE` or `INVALID_POLICY`; the message ends with a picture of the keys at fault. */
export class PolicyError extends WarpbookError {
  /** What is wrong, without the picture. */
  declare readonly summary: string;
  /** Which tiles attend to the request's keys. */
  declare readonly coverage: Coverage;

  constructor(
    code: PolicyErrorCode,
    policy: string,
    summary: string,
    coverage: Coverage,
    options?: { cause?: unknown },
  ) {
    const { request, kvHead, fault } = coverage;
    const details = { policy, request, kvHead, kvStart: fault.start, kvEnd: fault.end };
    super(code, `${summary}\n${drawCoverage(coverage)}`, details, options);
    // Not enumerable, or every uncaught error would be printed with all its tiles.
    for (const [name, value] of Object.entries({ summary, coverage })) Object.defineProperty(this, name, { value });
  }
}

/** The error with a picture where there is one to show. */
export function policyError(
  code: PolicyErrorCode,
  policy: string,
  summary: string,
  coverage?: Coverage,
  options?: { cause?: unknown },
): WarpbookError {
  if (coverage) return new PolicyError(code, policy, summary, coverage, options);
  return new WarpbookError(code, summary, { policy }, options);
}
