/** A promise with a limit. */
import { WarpbookError } from '../../errors';

/** Node's timers count to 2^31 ms. */
const LONGEST_MS = 2 ** 31 - 1;

/**
 * What `promise` resolves to.
 *
 * @param ms may be infinite; below zero counts as zero
 * @throws WarpbookError `TIMEOUT` where it takes longer.
 */
export async function inTime<T>(ms: number, promise: Promise<T>): Promise<T> {
  if (!Number.isFinite(ms)) return promise;
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    const limit = Math.max(0, ms);
    const text = `timed out after ${(limit / 1000).toFixed(1)} s.`;
    timer = setTimeout(() => reject(new WarpbookError('TIMEOUT', text)), Math.min(limit, LONGEST_MS));
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}
