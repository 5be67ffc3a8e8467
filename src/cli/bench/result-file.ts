/**
 * The files that benches write, `bench/results/<gpu>/<date>-<what>.json`: their schema, and where they go. A figure in prose
 * is only as good as its file: what ran, where, on what clocks, how far the samples spread.
 */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { z } from 'zod';
import type { Device } from '../../device/device';
import type { Telemetry } from '../../device/telemetry';
import { WarpbookError } from '../../errors';
import { machines } from '../../schedule/machine';

/** One line of a bench. More keys are welcome: policy, layout, samples, … */
export interface ResultRow {
  what: string;
  /** Requests. */
  batch: number;
  /** Tokens of the longest request. */
  kvLen: number;
  numQoHeads: number;
  numKvHeads: number;
  headDim: number;
  pageSize: number;
  dtype: string;
  kvDtype: string;
  medianUs: number;
  minUs: number;
  /** (p90 − p10) / median, percent; a file of another method says so in `command`. */
  spreadPct: number;
  /** Either of the two; neither where it is the host's time. */
  gbps?: number;
  tflops?: number;
  /** What the hardware needs for the same bytes, or the same operations; null where it is the host's time. */
  floorUs: number | null;
  /** Microseconds of others, by name. */
  peers: Record<string, number | null>;
  [more: string]: unknown;
}

export interface ResultFile {
  gpu: string;
  /** Such as `580.159.04`; `none` on the CPU device. */
  driver: string;
  /** Such as `13.0`; `none` on the CPU device. */
  cuda: string;
  date: string;
  command: string;
  /** Before and after all rows. */
  clocks: { before?: unknown; after?: unknown };
  rows: ResultRow[];
  [more: string]: unknown;
}

const positive = z.number().positive();
const count = z.number().int().positive();

export const resultRow: z.ZodType<ResultRow> = z
  .looseObject({
    what: z.string(),
    batch: count,
    kvLen: z.number().int().nonnegative(),
    numQoHeads: count,
    numKvHeads: count,
    headDim: count,
    pageSize: count,
    dtype: z.string(),
    kvDtype: z.string(),
    medianUs: positive,
    minUs: positive,
    spreadPct: z.number().nonnegative(),
    gbps: positive.optional(),
    tflops: positive.optional(),
    floorUs: positive.nullable(),
    peers: z.record(z.string(), positive.nullable()),
  })
  .refine((row) => row.floorUs === null || (row.gbps === undefined) !== (row.tflops === undefined), {
    message: 'wanted either gbps or tflops',
  });

export const resultFile: z.ZodType<ResultFile> = z.looseObject({
  gpu: z.string().min(1),
  driver: z.string().min(1),
  cuda: z.string().min(1),
  date: z.string().regex(/^\d{4}-\d{2}-\d{2}$/),
  command: z.string().min(1),
  clocks: z.looseObject({ before: z.unknown(), after: z.unknown() }),
  rows: z.array(resultRow).min(1),
});

/** @throws WarpbookError FILE_NOT_FOUND, FILE_FORMAT saying which key is wrong */
export function readResultFile(path: string): ResultFile {
  return parseJsonFile(path, resultFile);
}

/** A JSON file of a known shape. @throws WarpbookError as {@link readResultFile} */
export function parseJsonFile<T>(path: string, schema: z.ZodType<T>): T {
  if (!existsSync(path)) throw new WarpbookError('FILE_NOT_FOUND', `Got ${path}, which is not there.`);
  let content: unknown;
  try {
    content = JSON.parse(readFileSync(path, 'utf8'));
  } catch (cause) {
    throw new WarpbookError(
      'FILE_FORMAT',
      `Got ${path}, which is no JSON: ${(cause as Error).message}.`,
      {},
      { cause },
    );
  }
  const { success, data, error } = schema.safeParse(content);
  if (success) return data;
  const [issue] = error.issues;
  throw new WarpbookError(
    'FILE_FORMAT',
    `Got ${path} with something wrong at ${issue.path.join('.') || 'its root'}: ${issue.message}.`,
  );
}

/** Everything of a file but its rows. */
export interface RunDescription {
  readonly gpu: string;
  readonly driver: string;
  readonly cuda: string;
  readonly date: string;
  readonly command: string;
  readonly clocks: { readonly before: Telemetry; readonly after: Telemetry };
  readonly node: string;
}

/** What a run has in common: everything of a file but its rows. */
export function describeRun(device: Device, command: string, before: Telemetry, after: Telemetry): RunDescription {
  const { kind, name, driverVersion } = device.description;
  return {
    gpu: name,
    driver: before.driver ?? (kind === 'cpu' ? 'none' : 'not told'),
    cuda:
      driverVersion === undefined
        ? 'none'
        : `${Math.floor(driverVersion / 1000)}.${Math.floor((driverVersion % 1000) / 10)}`,
    date: new Date().toISOString().slice(0, 10),
    command,
    clocks: { before, after },
    node: process.version,
  };
}

/** `h100`, `cpu`, or what the GPU's name makes: the folder of its results. */
export function resultFolder(device: Device): string {
  if (device.kind === 'cpu') return 'cpu';
  const name = device.description.name.toLowerCase();
  const known = Object.keys(machines).find((key) => name.includes(key));
  return known ?? name.replace(/[^a-z0-9]+/g, '-').replace(/^-|-$/g, '');
}

/** Writes a file where `out` says: a folder (then by GPU and date), or a path ending in .json. @returns the path */
export function writeResultFile(out: string, device: Device, what: string, file: ResultFile): string {
  const path = out.endsWith('.json') ? out : join(out, resultFolder(device), `${file.date}-${what}.json`);
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, `${JSON.stringify(resultFile.parse(file), undefined, 1)}\n`);
  return path;
}
