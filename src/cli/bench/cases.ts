/** Which rows a bench has: the grid of the results table, variations on it, and what the command line asks for. */
import type { KvLayout } from '../../attention/paged-kv';
import type { KvDType, QueryDType } from '../../attention/variant';
import { requireInteger, WarpbookError } from '../../errors';
import { policies } from '../../schedule/policies/known';
import type { Policy } from '../../schedule/schedule';

/** One row: a batch, its shape and how it is scheduled. */
export interface BenchCase {
  /** Such as `8x4096`, or `1x65536+31x512`. */
  readonly what: string;
  readonly kvLens: readonly number[];
  /** Query tokens of each request. */
  readonly qoLen: number;
  readonly numQoHeads: number;
  readonly numKvHeads: number;
  readonly headDim: number;
  readonly pageSize: number;
  readonly layout: KvLayout;
  readonly dtype: QueryDType;
  readonly kvDtype: KvDType;
  readonly causal: boolean;
}

/** Lists as they come from the command line; every combination is a row. */
export interface CaseLists {
  readonly rows: readonly string[];
  readonly heads: readonly string[];
  readonly headDim: readonly string[];
  readonly page: readonly string[];
  readonly layout: readonly string[];
  readonly dtype: readonly string[];
  readonly kvDtype: readonly string[];
  readonly qoLen: readonly string[];
}

/** The rows of the results table, small ones first. */
export const TABLE_ROWS: readonly string[] = [
  ...['1', '8', '32', '128'].flatMap((batch) => ['1k', '4k', '16k', '64k'].map((length) => `${batch}x${length}`)),
  '1x64k+31x512',
];
export const QUICK_ROWS: readonly string[] = ['1x1k', '8x4k', '32x4k', '1x64k+31x512'];
/** Rows that variations of the shape are measured at: from 64 MiB of keys and values up. */
export const SHAPE_ROWS: readonly string[] = ['8x4k', '32x1k', '32x4k', '128x1k'];

const DEFAULT_LISTS: CaseLists = {
  rows: TABLE_ROWS,
  heads: ['32/8', '64/8'],
  headDim: ['128'],
  page: ['16'],
  layout: ['NHD'],
  dtype: ['bfloat16'],
  kvDtype: ['same'],
  qoLen: ['1'],
};

/** One variation each: head dims, pages, layout, query tokens, heads, dtypes. */
const VARIATIONS: readonly Partial<CaseLists>[] = [
  {},
  { headDim: ['64', '256'] },
  { page: ['1', '64'] },
  { layout: ['HND'] },
  { qoLen: ['4'] },
  { heads: ['4/4', '32/1'] },
  { dtype: ['float16'] },
  { kvDtype: ['float8_e4m3fn', 'float8_e5m2'] },
  { kvDtype: ['float8_e4m3fn'], layout: ['HND'] },
];

/** The grid of the table; `given` replaces its lists. */
export function tableCases(given: Partial<CaseLists> = {}): BenchCase[] {
  return combine({ ...DEFAULT_LISTS, ...given });
}

/** Variations of one thing at a time; `given` replaces lists in each. */
export function shapeCases(given: Partial<CaseLists> = {}): BenchCase[] {
  const base = { ...DEFAULT_LISTS, rows: SHAPE_ROWS, heads: ['32/8'] };
  return VARIATIONS.flatMap((variation) => combine({ ...base, ...variation, ...given }));
}

function combine(lists: CaseLists): BenchCase[] {
  const product = Object.entries(lists).reduce<Record<string, string>[]>(
    (partial, [name, values]) => partial.flatMap((made) => values.map((value: string) => ({ ...made, [name]: value }))),
    [{}],
  );
  // By shape first: rows of one shape stand together, as in the table.
  const shapeOf = (made: Record<string, string>): string => JSON.stringify({ ...made, rows: undefined });
  const shapes = [...new Set(product.map(shapeOf))];
  return shapes.flatMap((shape) => product.filter((made) => shapeOf(made) === shape).map(caseOf));
}

function caseOf(made: Record<string, string>): BenchCase {
  const [numQoHeads, numKvHeads] = parsePair(made.heads);
  const dtype = oneOf('dtype', made.dtype, ['float32', 'float16', 'bfloat16'] as const);
  const kvDtype =
    made.kvDtype === 'same' ? dtype : oneOf('kv-dtype', made.kvDtype, ['float8_e4m3fn', 'float8_e5m2'] as const);
  const kvLens = parseRow(made.rows);
  return {
    what: nameOf(kvLens),
    kvLens,
    qoLen: parseCount('qo', made.qoLen),
    numQoHeads,
    numKvHeads,
    headDim: parseCount('head-dim', made.headDim),
    pageSize: parseCount('page', made.page),
    layout: oneOf('layout', made.layout, ['NHD', 'HND'] as const),
    dtype,
    kvDtype,
    causal: Number(made.qoLen) > 1,
  };
}

/** `8x4k`, `1x64k+31x512` → lengths. @throws WarpbookError INVALID_ARGUMENT */
export function parseRow(text: string): number[] {
  return text.split('+').flatMap((part) => {
    const match = /^(\d+)[x×](\d+)(k?)$/.exec(part.trim());
    if (!match) {
      throw new WarpbookError(
        'INVALID_ARGUMENT',
        `Got the row '${text}'; wanted requests × tokens such as 8x4k, or several with + between: 1x64k+31x512.`,
      );
    }
    const length = Number(match[2]) * (match[3] ? 1024 : 1);
    requireInteger('requests of a row', Number(match[1]), 1, 65536);
    requireInteger('tokens of a row', length, 1, 2 ** 24);
    return Array.from({ length: Number(match[1]) }, () => length);
  });
}

/** Lengths → `8x4096`, runs of equal ones together. */
export function nameOf(kvLens: readonly number[]): string {
  const runs: [count: number, length: number][] = [];
  for (const length of kvLens) {
    const last = runs.at(-1);
    if (last?.[1] === length) last[0]++;
    else runs.push([1, length]);
  }
  return runs.map(([count, length]) => `${count}x${length}`).join('+');
}

/** `32/8` as query heads and KV heads. @throws WarpbookError INVALID_ARGUMENT */
export function parsePair(text: string): [number, number] {
  const match = /^(\d+)\/(\d+)$/.exec(text);
  if (!match) {
    throw new WarpbookError('INVALID_ARGUMENT', `Got heads '${text}'; wanted query heads / KV heads such as 32/8.`);
  }
  return [Number(match[1]), Number(match[2])];
}

function parseCount(name: string, text: string): number {
  requireInteger(`--${name}`, Number(text), 1);
  return Number(text);
}

function oneOf<T extends string>(name: string, text: string, known: readonly T[]): T {
  const found = known.find((value) => value === text);
  if (found !== undefined) return found;
  throw new WarpbookError('INVALID_ARGUMENT', `Got --${name} ${text}; wanted one of ${known.join(', ')}.`);
}

/** A policy by name, such as `headGroups` or `fixedSplitSize(1024)`. @throws WarpbookError INVALID_ARGUMENT */
export function policyByName(name: string): Policy {
  const match = /^(\w+)(?:\((\d+)\))?$/.exec(name);
  const found = match && Object.hasOwn(policies, match[1]) ? policies[match[1] as keyof typeof policies] : undefined;
  const takesNumber = name.startsWith('fixedSplit');
  if (!found || takesNumber !== (match?.[2] !== undefined)) {
    const known = Object.keys(policies).map((key) => (key.startsWith('fixedSplit') ? `${key}(1024)` : key));
    throw new WarpbookError('INVALID_ARGUMENT', `Got --policy ${name}; wanted one of ${known.join(', ')}.`);
  }
  return takesNumber ? (found as (count: number) => Policy)(Number(match?.[2])) : (found as Policy);
}
