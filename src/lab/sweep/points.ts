/** The points of a sweep and their keys: all combinations of the axes' values, each known by its content. Pure. */
import { createHash } from 'node:crypto';
import { WarpbookError } from '../../errors';

/** What JSON holds. */
export type Json = string | number | boolean | null | readonly Json[] | { readonly [key: string]: Json };

/** Values by axis. */
export type Axes<P> = { readonly [K in keyof P]: readonly P[K][] };

/** More points than anybody waits for; a slip in an axis is told before it fills the memory. */
const MAX_POINTS = 1_000_000;

/**
 * All combinations, the last axis fastest; points of equal content are given once.
 * @throws WarpbookError INVALID_ARGUMENT for an axis that is empty or no array, for values that JSON doesn't hold, and above a
 * million points
 */
export function pointsOf<P extends object>(axes: Axes<P>, filter?: (point: P) => boolean): P[] {
  const names = Object.keys(axes) as (keyof P & string)[];
  if (names.length === 0) {
    throw new WarpbookError('INVALID_ARGUMENT', 'sweep() got no axes; wanted some, such as { batch: [1, 8, 64] }.');
  }
  let count = 1;
  for (const name of names) {
    const values: unknown = axes[name];
    if (!Array.isArray(values) || values.length === 0) {
      const got = Array.isArray(values) ? 'an empty array' : typeof values;
      throw new WarpbookError('INVALID_ARGUMENT', `Axis ${name} is ${got}; wanted an array of one or more values.`);
    }
    for (const value of values) requireJson(`Axis ${name}`, value);
    count *= values.length;
  }
  if (count > MAX_POINTS) {
    throw new WarpbookError(
      'INVALID_ARGUMENT',
      `The axes have ${count} combinations; wanted at most ${MAX_POINTS}: sweep fewer values, or in parts.`,
    );
  }
  const points: P[] = [];
  const seen = new Set<string>();
  for (let i = 0; i < count; i++) {
    const point: Partial<P> = {};
    let rest = i;
    for (let a = names.length - 1; a >= 0; a--) {
      const values = axes[names[a]];
      point[names[a]] = values[rest % values.length];
      rest = Math.floor(rest / values.length);
    }
    // In the order of the axes, as tables show it.
    const ordered = Object.fromEntries(names.map((name) => [name, point[name]])) as P;
    if (filter && !filter(ordered)) continue;
    const content = canonicalJson(ordered as unknown as Json);
    if (seen.has(content)) continue;
    seen.add(content);
    points.push(ordered);
  }
  return points;
}

/** Key of a point: what is computed, and for what. Equal content has equal keys, in whatever order it was written down. */
export function keyOf(task: string, point: object): string {
  return createHash('sha256')
    .update(canonicalJson([task, point as unknown as Json]))
    .digest('hex')
    .slice(0, 32);
}

export function hashOf(text: string): string {
  return createHash('sha256').update(text).digest('hex').slice(0, 32);
}

/** JSON with sorted keys. */
export function canonicalJson(value: Json): string {
  if (Array.isArray(value)) return `[${value.map(canonicalJson).join(',')}]`;
  if (typeof value === 'object' && value !== null) {
    const entries = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1));
    return `{${entries.map(([key, part]) => `${JSON.stringify(key)}:${canonicalJson(part)}`).join(',')}}`;
  }
  return JSON.stringify(value);
}

/** @throws WarpbookError INVALID_ARGUMENT for what JSON would drop or change, such as a function, NaN or a typed array */
export function requireJson(what: string, value: unknown): asserts value is Json {
  const problem = problemOf(value);
  if (problem === undefined) return;
  throw new WarpbookError(
    'INVALID_ARGUMENT',
    `${what} has ${problem}; wanted numbers, text, booleans, null, or arrays and plain objects of them, since points are known by ` +
      'their content and written to a file. Name what is no data, and look it up by its name in the function.',
  );
}

function problemOf(value: unknown): string | undefined {
  if (value === null || typeof value === 'string' || typeof value === 'boolean') return undefined;
  if (typeof value === 'number') return Number.isFinite(value) ? undefined : String(value);
  if (typeof value !== 'object')
    return typeof value === 'function' ? `the function ${value.name}` : `a ${typeof value}`;
  if (Array.isArray(value)) return firstProblem(value);
  const prototype: unknown = Object.getPrototypeOf(value);
  // Cells run in a realm of their own: its plain objects have another prototype, which has none above it.
  const plain = prototype === null || Object.getPrototypeOf(prototype) === null;
  if (!plain) return `a ${value.constructor?.name ?? 'special object'}`;
  return firstProblem(Object.values(value));
}

function firstProblem(values: readonly unknown[]): string | undefined {
  for (const value of values) {
    const problem = problemOf(value);
    if (problem !== undefined) return problem;
  }
  return undefined;
}
