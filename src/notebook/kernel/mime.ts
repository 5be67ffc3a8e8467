/**
 * The mime bundle of any value. A display method is the user's code: it may throw, hang, be async, or return what is no
 * bundle; the value is then shown as plain text with a note, and the cell goes on. Knows no message and no cell.
 */
import { inspect } from 'node:util';
import { displayFailure, jupyterDisplay, type MimeBundle, renderBundle } from '../../renderers';
import { boundedCall } from '../../time-limit';

/** How long a display may take before the value is shown as text. */
export const DISPLAY_TIMEOUT_MS = 20_000;
/** The user's interrupt ends a display, too. */
const STOPPABLE = { breakOnSigint: true };

/** What is shown of a value. */
export interface Shown {
  /** Ready for JSON; empty where nothing is to be shown. */
  readonly data: MimeBundle;
  /** Why the value's own display failed; `data` then is plain text. */
  readonly failure?: string;
}

/** What is shown of `value`. Never rejects. */
export async function bundleOf(value: unknown, timeoutMs: number = DISPLAY_TIMEOUT_MS): Promise<Shown> {
  if (typeof value === 'string') return { data: { 'text/plain': value } };
  if (isPrimitive(value)) return { data: { 'text/plain': plainText(value) } };
  try {
    // A terminal says how wide it is; a front end doesn't.
    const options = { columns: Number(process.env.COLUMNS) || undefined };
    const render = (): unknown => {
      const own = (value as { [jupyterDisplay]?: unknown })[jupyterDisplay];
      return typeof own === 'function' ? own.call(value, options) : renderBundle(value, options);
    };
    const bundle = await settledWithin(timeoutMs, boundedCall(render, timeoutMs, STOPPABLE));
    if (bundle === undefined) return inspected(value);
    return { data: jsonBundle(bundle, value), failure: (bundle as { [displayFailure]?: string })[displayFailure] };
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    return { data: { 'text/plain': `${plainText(value)}\n(its display failed: ${reason})` }, failure: reason };
  }
}

/** The value as text, whatever its inspection does. */
export function plainText(value: unknown): string {
  return inspected(value).data['text/plain'] as string;
}

function inspected(value: unknown): Shown {
  if (isPrimitive(value)) return { data: { 'text/plain': inspect(value) } };
  let failure: string | undefined;
  for (const options of [{ depth: 4 }, { depth: 1, customInspect: false }]) {
    try {
      const text = boundedCall(() => inspect(value, { ...options, colors: false }), DISPLAY_TIMEOUT_MS, STOPPABLE);
      return { data: { 'text/plain': text }, failure };
    } catch (error) {
      // Its own inspection throws or hangs: once more without it.
      failure ??= error instanceof Error ? error.message : String(error);
    }
  }
  return { data: { 'text/plain': `a ${typeof value} that can't be inspected` }, failure };
}

function isPrimitive(value: unknown): boolean {
  return (typeof value !== 'object' && typeof value !== 'function') || value === null;
}

async function settledWithin<T>(timeoutMs: number, promise: T | Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`no result within ${timeoutMs / 1000} s`)), timeoutMs);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}

/** Bytes become base64, JSON types plain JSON, the rest text; a bundle without text gets one for terminals. */
function jsonBundle(bundle: unknown, value: unknown): MimeBundle {
  if (typeof bundle !== 'object' || bundle === null) {
    throw new TypeError(`it returned ${bundle === null ? 'null' : `a ${typeof bundle}`}, not a mime bundle`);
  }
  const out: Record<string, unknown> = {};
  for (const [type, data] of Object.entries(bundle)) {
    if (!type.includes('/')) throw new TypeError(`'${type}' is not a mime type`);
    if (data === undefined || data === null) continue;
    if (data instanceof Uint8Array)
      out[type] = Buffer.from(data.buffer, data.byteOffset, data.byteLength).toString('base64');
    else if (typeof data === 'string') out[type] = data;
    else if (/^application\/(.*\+)?json$/.test(type)) out[type] = JSON.parse(JSON.stringify(data));
    else out[type] = Array.isArray(data) ? data.join('') : String(data);
  }
  if (Object.keys(out).length > 0) out['text/plain'] ??= plainText(value);
  return out;
}
