/**
 * What others take for the same rows: figures of an earlier day that come with warpbook (bench/peers/<gpu>.json, with source,
 * date and method), figures of a file (`--peers`), and those of the same run (torch-peer.ts). Knows no timing.
 */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import { packageRoot } from '../../notebook/kernel/package-paths';
import { parseJsonFile } from './result-file';

/** What makes two rows the same work. A peer's row that doesn't say one of the optional ones stands for any. */
export interface PeerShape {
  readonly what: string;
  readonly numQoHeads: number;
  readonly numKvHeads: number;
  readonly headDim: number;
  readonly pageSize?: number;
  readonly layout?: string;
  readonly dtype?: string;
  readonly kvDtype?: string;
  readonly qoLen?: number;
}

const SHAPE_FIELDS = [
  'what',
  'numQoHeads',
  'numKvHeads',
  'headDim',
  'pageSize',
  'layout',
  'dtype',
  'kvDtype',
  'qoLen',
] as const satisfies readonly (keyof PeerShape)[];

export interface PeersFile {
  readonly gpu: string;
  readonly date: string;
  /** Which versions of whom. */
  readonly source: string;
  readonly method: string;
  /** Microseconds by name. */
  readonly decode: readonly (PeerShape & { readonly peers: Readonly<Record<string, number>> })[];
  /** TFLOP/s by name. */
  readonly prefill: readonly (PeerShape & { readonly tflops: Readonly<Record<string, number>> })[];
}

const rates = z.record(z.string(), z.number().positive());
const shape = {
  what: z.string(),
  numQoHeads: z.number(),
  numKvHeads: z.number(),
  headDim: z.number(),
  pageSize: z.number().optional(),
  layout: z.string().optional(),
  dtype: z.string().optional(),
  kvDtype: z.string().optional(),
  qoLen: z.number().optional(),
};

export const peersFile: z.ZodType<PeersFile> = z.looseObject({
  gpu: z.string(),
  date: z.string(),
  source: z.string(),
  method: z.string(),
  decode: z.array(z.looseObject({ ...shape, peers: rates })).default([]),
  prefill: z.array(z.looseObject({ ...shape, tflops: rates })).default([]),
});

/** The figures that come with warpbook for a GPU such as `h100`; undefined where there are none. */
export function knownPeers(gpu: string): PeersFile | undefined {
  const path = join(packageRoot, 'bench', 'peers', `${gpu}.json`);
  return existsSync(path) ? parseJsonFile(path, peersFile) : undefined;
}

/** @throws WarpbookError FILE_NOT_FOUND, FILE_FORMAT */
export function readPeers(path: string): PeersFile {
  return parseJsonFile(path, peersFile);
}

/** Microseconds of decode by name, for a row of the same shape; empty where the file has none. */
export function decodePeers(file: PeersFile | undefined, row: PeerShape): Readonly<Record<string, number>> {
  return file?.decode.find((other) => isSame(other, row))?.peers ?? {};
}

/** TFLOP/s of prefill by name. */
export function prefillPeers(file: PeersFile | undefined, row: PeerShape): Readonly<Record<string, number>> {
  return file?.prefill.find((other) => isSame(other, row))?.tflops ?? {};
}

function isSame(peer: PeerShape, row: PeerShape): boolean {
  return SHAPE_FIELDS.every((name) => peer[name] === undefined || peer[name] === row[name]);
}
