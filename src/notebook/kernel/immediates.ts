/**
 * `setImmediate` for a process whose code may be terminated where it stands. Node keeps the immediates of one turn in a
 * list that a termination in the second callback leaves half way, and then fails for ever; what runs as a tick
 * between immediates is cut off cleanly. Each callback therefore runs as the tick after its immediate, which is where
 * ticks and promises of that immediate would run anyway.
 */
import { setImmediate as nodeSetImmediate } from 'node:timers';
import { promisify } from 'node:util';

type Callback = (...args: unknown[]) => void;

/** Replaces the global `setImmediate`, for this process's lifetime. */
export function makeImmediatesSafe(): void {
  const safe = (callback: Callback, ...args: unknown[]): NodeJS.Immediate => {
    if (typeof callback !== 'function') return nodeSetImmediate(callback);
    return nodeSetImmediate(() => process.nextTick(callback, ...args));
  };
  Object.assign(safe, { [promisify.custom]: nodeSetImmediate[promisify.custom as never] });
  globalThis.setImmediate = safe as typeof globalThis.setImmediate;
}
