/** What policies are put together from: even cuts, packing by least load, counts of tiles. Pure functions of plain values. */
import { requireInteger, WarpbookError } from '../errors';
import { ceilDiv, roundUp } from '../units';
import { LeastLoaded } from './least-loaded';

/** A range of keys, such as a query tile's. */
export interface KvRange {
  readonly kvStart: number;
  readonly kvEnd: number;
}

/**
 * Where to cut a range into `pieces` pieces of equal length, each of whole steps but the last: what `ScheduleBuilder.split`
 * takes. A range of fewer steps gets fewer pieces, an empty one none.
 * @param pieces at least 1
 * @param stepTokens tokens of a step, such as the tile class's `kvStep`; default 1
 * @returns increasing positions strictly inside the range
 */
export function splitEvenly(range: KvRange, pieces: number, stepTokens: number = 1): number[] {
  requireInteger('splitEvenly: pieces', pieces, 1);
  requireInteger('splitEvenly: stepTokens', stepTokens, 1);
  const chunk = roundUp(Math.max(1, ceilDiv(range.kvEnd - range.kvStart, pieces)), stepTokens);
  const cuts: number[] = [];
  for (let cut = range.kvStart + chunk; cut < range.kvEnd; cut += chunk) cuts.push(cut);
  return cuts;
}

/**
 * How many tiles `ScheduleBuilder.splitByChunk` would make of these: an empty range counts as one.
 * @param chunkTokens length of a piece, at least 1
 */
export function countTiles(ranges: Iterable<KvRange>, chunkTokens: number): number {
  let count = 0;
  for (const { kvStart, kvEnd } of ranges)
    count += Math.max(1, Math.ceil(kvEnd / chunkTokens) - Math.floor(kvStart / chunkTokens));
  return count;
}

/** Tokens of all ranges. */
export function countTokens(ranges: Iterable<KvRange>): number {
  let tokens = 0;
  for (const { kvStart, kvEnd } of ranges) tokens += kvEnd - kvStart;
  return tokens;
}

/** Options of {@link packByLeastLoad}. */
export interface PackOptions {
  /** Largest load first (Graham's rule, at most 4/3 of the best makespan); default true. Otherwise in the order given. */
  longestFirst?: boolean;
  /** What each bin holds already, [numBins]; default: nothing. */
  initialLoads?: ArrayLike<number>;
}

/**
 * Packs items into bins, each into the one with the least load so far; of equal bins the first.
 * @param loads what each item weighs: any unit, finite, at least 0
 * @param numBins at least 1, say `builder.numCtas`
 * @returns the bin of each item, int32 [loads.length]
 * @throws WarpbookError INVALID_ARGUMENT
 */
export function packByLeastLoad(loads: ArrayLike<number>, numBins: number, options: PackOptions = {}): Int32Array {
  requireInteger('packByLeastLoad: numBins', numBins, 1, 2 ** 20);
  const { longestFirst = true, initialLoads } = options;
  let total = 0;
  for (const [name, values] of [
    ['loads', loads],
    ['initialLoads', initialLoads ?? []],
  ] as const) {
    for (let i = 0; i < values.length; i++) {
      if (!(values[i] >= 0 && values[i] < Number.POSITIVE_INFINITY)) {
        const what = `packByLeastLoad: ${name}[${i}] is ${values[i]}; wanted a finite number of at least 0.`;
        throw new WarpbookError('INVALID_ARGUMENT', what);
      }
      total += values[i];
    }
  }
  // LeastLoaded holds integers up to 2^30 in sum. As many bits as that allows are kept of a load; small ones may round to 0.
  const scale = total > 0 ? (LeastLoaded.MAX_LOAD - loads.length - numBins) / total : 0;
  const bins = new LeastLoaded(numBins);
  if (initialLoads) bins.start(Array.from(initialLoads, (load) => Math.round(load * scale)));
  const scaled = Int32Array.from(loads, (load) => Math.round(load * scale));
  const packed = new Int32Array(loads.length);
  if (longestFirst) for (const i of longestFirstOrder(scaled)) packed[i] = bins.take(scaled[i]);
  else for (let i = 0; i < scaled.length; i++) packed[i] = bins.take(scaled[i]);
  return packed;
}

/**
 * Indices by load, the largest first; equal loads keep their order.
 * @param loads integers from 0 to 2^30
 */
export function longestFirstOrder(loads: ArrayLike<number>): Uint32Array {
  const count = loads.length;
  // As numbers that sort as wanted, without a function to compare them: load in the high part, index reversed in the low one.
  const keys = new Float64Array(count);
  for (let i = 0; i < count; i++) keys[i] = loads[i] * count + (count - 1 - i);
  keys.sort();
  const order = new Uint32Array(count);
  for (let k = 0; k < count; k++) order[k] = count - 1 - (keys[count - 1 - k] % count);
  return order;
}
