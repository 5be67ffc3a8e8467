/**
 * How much a wrapper can hold: the one thing about it that a CUDA graph freezes. Everything below it may change between
 * replays: batch size, lengths, tile count, chunk size, rows.
 */
import { requireInteger } from '../errors';
import type { ScheduleCapacity } from '../schedule/layout';
import { type Machine, numCtaSlots } from '../schedule/machine';
import { ceilDiv } from '../units';
import type { AttentionVariant } from './variant';

/** Capacities of a wrapper; what isn't given follows from `maxBatch`. Errors name the option to raise. */
export interface CapacityOptions extends Partial<ScheduleCapacity> {
  /** Requests. */
  maxBatch: number;
  /** Query tokens of the whole batch; default `maxBatch` (decode). */
  maxQoTokens?: number;
  /** Entries of paged_kv_indices: pages of all requests, reserved ones included. Not used where K and V are ragged. */
  maxPages?: number;
}

export interface WrapperCapacity extends ScheduleCapacity {
  maxBatch: number;
  maxQoTokens: number;
  maxPages: number;
}

/** Default page list: 4,096 tokens a request at page size 16. */
const DEFAULT_PAGES_PER_REQUEST = 256;
/** Split results by default: up to this many rows, about 34 MB at head_dim 128. */
const DEFAULT_PARTIAL_ROWS = 65536;

/**
 * Fills in what isn't given. The default takes four tiles for each query tile, or 16 for each CTA, whichever is more:
 * enough for every policy that splits to fill the machine; splitting finer than that has to be asked for.
 * @param sharedPrefixes with room for a prefix of any two requests, and for the rows of all of them
 */
export function wrapperCapacity(
  options: CapacityOptions,
  variant: AttentionVariant,
  machine: Machine,
  sharedPrefixes: boolean = false,
): WrapperCapacity {
  requireInteger('capacity.maxBatch', options.maxBatch, 1);
  const maxQoTokens = options.maxQoTokens ?? options.maxBatch;
  requireInteger('capacity.maxQoTokens', maxQoTokens, 1);
  const maxPages = options.maxPages ?? options.maxBatch * DEFAULT_PAGES_PER_REQUEST;
  requireInteger('capacity.maxPages', maxPages, 0);

  const group = variant.numQoHeads / variant.numKvHeads;
  const { queryRows } = machine.tileClasses[0];
  const rowsPerTile = queryRows >= group ? queryRows - (queryRows % group) : queryRows;
  // Every request may end in a tile that isn't full.
  const queryTiles = (ceilDiv(maxQoTokens * group, rowsPerTile) + options.maxBatch) * variant.numKvHeads;
  const numCtas = numCtaSlots(machine);
  const maxTiles = options.maxTiles ?? Math.max(4 * queryTiles, 16 * numCtas);
  return {
    maxBatch: options.maxBatch,
    maxQoTokens,
    maxPages,
    maxTiles,
    maxCtas: options.maxCtas ?? numCtas,
    maxKvSequences: options.maxKvSequences ?? (sharedPrefixes ? 2 : 1) * options.maxBatch,
    maxRows: options.maxRows ?? (sharedPrefixes ? maxQoTokens * variant.numQoHeads : 0),
    maxSegments: options.maxSegments ?? 0,
    maxMergeGroups: options.maxMergeGroups ?? Math.min(queryTiles, maxTiles),
    maxMergeSlots: options.maxMergeSlots ?? maxTiles,
    maxPartialRows:
      options.maxPartialRows ??
      Math.min(maxTiles * rowsPerTile, Math.max(DEFAULT_PARTIAL_ROWS, 2 * numCtas * rowsPerTile)),
  };
}
