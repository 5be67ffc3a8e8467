/**
 * `scope(fn)`: everything that registers itself while `fn` runs is disposed when it ends, but for what it returns.
 * Notebook cells have no `using`, so this is how a cell cleans up. Knows no devices: anything with `dispose()` takes part.
 */
import { AsyncLocalStorage } from 'node:async_hooks';

/** Whatever a scope can dispose. */
export interface Disposable {
  dispose(): void;
}

class Scope {
  /** In the order of registration. */
  readonly resources: Set<Disposable> = new Set();

  constructor(readonly parent: Scope | undefined) {}

  /** Disposes, youngest first, what `kept` does not hold; that passes on to the enclosing scope. */
  end(kept: ReadonlySet<unknown>): void {
    const errors: unknown[] = [];
    for (const resource of [...this.resources].reverse()) {
      if (kept.has(resource)) {
        this.parent?.resources.add(resource);
        continue;
      }
      try {
        resource.dispose();
      } catch (error) {
        errors.push(error);
      }
    }
    this.resources.clear();
    if (errors.length > 0) throw errors[0];
  }
}

const current = new AsyncLocalStorage<Scope>();

/** Registers a resource with the innermost scope that is running, if any. */
export function onScope(resource: Disposable): void {
  current.getStore()?.resources.add(resource);
}

/** Takes a resource out of every scope that is running: from here on another object owns it. */
export function offScope(resource: Disposable): void {
  for (let scope = current.getStore(); scope; scope = scope.parent) scope.resources.delete(resource);
}

/**
 * Runs `fn` (which may be async) and disposes every resource that was made meanwhile, except those in the returned
 * value: the value itself, or inside returned arrays and plain objects. They belong to the enclosing scope, or to the
 * caller. If `fn` throws, everything is disposed.
 */
export function scope<T>(fn: () => T): T {
  const inner = new Scope(current.getStore());
  let result: T;
  try {
    result = current.run(inner, fn);
  } catch (error) {
    endAfterFailure(inner);
    throw error;
  }
  if (!isPromise(result)) {
    inner.end(held(result));
    return result;
  }
  const settled = result.then(
    (value) => {
      inner.end(held(value));
      return value;
    },
    (error: unknown) => {
      endAfterFailure(inner);
      throw error;
    },
  );
  return settled as T;
}

/** The error of `fn` is the one to report; one from cleaning up after it would only hide it. */
function endAfterFailure(failed: Scope): void {
  try {
    failed.end(new Set());
  } catch {
    // Every resource has had its dispose() called; the caller gets the first error.
  }
}

function isPromise(value: unknown): value is Promise<unknown> {
  return typeof (value as { then?: unknown } | null | undefined)?.then === 'function';
}

/** The value and, through arrays and plain objects, what it holds. */
function held(value: unknown, found: Set<unknown> = new Set()): Set<unknown> {
  if (typeof value !== 'object' || value === null || found.has(value)) return found;
  found.add(value);
  const prototype: unknown = Object.getPrototypeOf(value);
  if (Array.isArray(value)) for (const item of value) held(item, found);
  else if (prototype === Object.prototype || prototype === null)
    for (const item of Object.values(value)) held(item, found);
  return found;
}
