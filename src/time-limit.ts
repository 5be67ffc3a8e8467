/**
 * A limit for the time of synchronous code that isn't ours: a policy, a display. Nothing in the same thread can stop a loop, but
 * node:vm ends what runs in a script after a time, closures of elsewhere included; their `finally` blocks don't run then. A leaf.
 */
import vm from 'node:vm';

export interface TimeLimitOptions {
  /** Stop when the process gets SIGINT, too; default false. */
  breakOnSigint?: boolean;
}

const SLOT: unique symbol = Symbol.for('warpbook.boundedCall') as never;
let boundedScript: vm.Script | undefined;

/**
 * Calls `f`, and ends it where it takes longer. Costs a thread that waits, about 0.1 ms.
 * @param timeoutMs above 0; Infinity: no limit
 * @throws what `f` throws; an error for which {@link isTimeout} holds
 */
export function boundedCall<T>(f: () => T, timeoutMs: number, options: TimeLimitOptions = {}): T {
  if (timeoutMs === Number.POSITIVE_INFINITY) return f();
  boundedScript ??= new vm.Script('globalThis[Symbol.for("warpbook.boundedCall")]()');
  const globals = globalThis as { [SLOT]?: () => unknown };
  const outer = globals[SLOT];
  globals[SLOT] = f;
  try {
    return boundedScript.runInThisContext({ timeout: Math.ceil(timeoutMs), ...options });
  } finally {
    globals[SLOT] = outer;
  }
}

/** Whether an error tells that {@link boundedCall} ended what it called. */
export function isTimeout(error: unknown): boolean {
  return (error as { code?: unknown } | null)?.code === 'ERR_SCRIPT_EXECUTION_TIMEOUT';
}
