/** What a sweep computes, in a form that can be handed to a thread. */
import { createRequire } from 'node:module';
import { isAbsolute, join } from 'node:path';
import { WarpbookError } from '../../errors';
import type { Json } from './points';
import { reviveFunction } from './ship';

/** A function by its text, or by the module that exports it. */
export type Task =
  | { readonly kind: 'text'; readonly source: string }
  | { readonly kind: 'module'; readonly module: string; readonly name: string };

export type Run = (point: never, context: { readonly data: unknown }) => unknown;

/** @throws WarpbookError INVALID_ARGUMENT where a module has no such function; whatever loading it throws */
export function loadTask(task: Task): Run {
  if (task.kind === 'text') return reviveFunction(task.source) as Run;
  const requireHere = createRequire(join(process.cwd(), 'sweep.js'));
  const path = isAbsolute(task.module) || !task.module.startsWith('.') ? task.module : join(process.cwd(), task.module);
  const found: unknown = (requireHere(path) as Record<string, unknown>)[task.name];
  if (typeof found === 'function') return found as Run;
  throw new WarpbookError('INVALID_ARGUMENT', `Module ${task.module} exports no function ${task.name}.`);
}

/**
 * What `run` answered, as it will stand in the file: a flat record. A bare number or text becomes `{ value }`; numbers that JSON
 * has no word for (NaN, infinities) become null.
 * @throws WarpbookError INVALID_ARGUMENT for anything else
 */
export function resultOf(answer: unknown): { readonly [column: string]: Json } {
  const record = typeof answer === 'object' && answer !== null ? answer : { value: answer };
  for (const [column, value] of Object.entries(record)) {
    if (value === null || ['string', 'number', 'boolean'].includes(typeof value)) continue;
    throw new WarpbookError(
      'INVALID_ARGUMENT',
      `The sweep's function answered ${typeof value === 'object' ? 'an object' : `a ${typeof value}`} as ${column}; wanted a number, ` +
        'text or a boolean for each column, such as { durationUs: 12.5 }.',
    );
  }
  return JSON.parse(JSON.stringify(record)) as { [column: string]: Json };
}
