/**
 * The work that a schedule's kernel drains, as plain columns: what each tile reads, how many steps it takes, which groups it
 * arrives at. Hides the records; knows no costs.
 */
import type { Schedule } from '../schedule/schedule';
import { MERGE_GROUP, MERGE_GROUP_STRIDE, SEGMENT, SEGMENT_STRIDE, TILE, TILE_STRIDE } from '../schedule/work-tile';

/** Columns by tile and by merge group, in the order of the schedule's tables. */
export interface WorkList {
  readonly numTiles: number;
  /** float64 [numTiles]: keys that the tile attends to. */
  readonly tokens: Float64Array;
  /** float64 [numTiles]: bytes that it asks memory for, where each key is read once; passes after the first find the L2. */
  readonly bytes: Float64Array;
  /** float64 [numTiles]: share of the bytes that no other tile of the launch reads too. */
  readonly cold: Float64Array;
  /** float64 [numTiles]: steps of the main loop, over all passes. */
  readonly steps: Float64Array;
  /** int32 [numGroups]: states that a merge reads, rows × slots. */
  readonly groupStates: Int32Array;
  /** int32 [numGroups]: tiles that a group waits for. */
  readonly groupArrivals: Int32Array;
}

/** Reads a schedule's tables; makes no copy of them. */
export function workListOf(schedule: Schedule): WorkList {
  const { problem, machine, tiles, segments, mergeGroups } = schedule;
  const numTiles = tiles.length / TILE_STRIDE;
  const tokens = new Float64Array(numTiles);
  const bytes = new Float64Array(numTiles);
  const cold = new Float64Array(numTiles).fill(1);
  const steps = new Float64Array(numTiles);
  const tokenBytes = 2 * problem.headDim * problem.kvElementBytes;
  let multiplePasses = false;
  let queryTilesPerRange = 1;
  for (let t = 0, at = 0; t < numTiles; t++, at += TILE_STRIDE) {
    const { queryRows, kvStep } = machine.tileClasses[tiles[at + TILE.tileClass]];
    let keys = tiles[at + TILE.kvEnd] - tiles[at + TILE.kvStart];
    const segCount = tiles[at + TILE.segCount];
    if (segCount > 0) {
      keys = 0;
      for (let s = tiles[at + TILE.segStart], end = s + segCount; s < end; s++) {
        keys += segments[s * SEGMENT_STRIDE + SEGMENT.kvEnd] - segments[s * SEGMENT_STRIDE + SEGMENT.kvStart];
      }
    }
    const passes = Math.max(1, Math.ceil(tiles[at + TILE.rowCount] / queryRows));
    if (passes > 1) multiplePasses = true;
    if (tiles[at + TILE.rowCount] > problem.groupSize) queryTilesPerRange = 2;
    tokens[t] = keys;
    bytes[t] = keys * tokenBytes * passes;
    steps[t] = Math.ceil(keys / kvStep) * passes;
  }
  const numQoTokens = problem.qoIndptr[problem.batchSize];
  if (multiplePasses || queryTilesPerRange > 1 || numQoTokens > problem.batchSize) {
    findColdShares(schedule, tokens, bytes, tokenBytes, cold);
  }

  const numGroups = mergeGroups.length / MERGE_GROUP_STRIDE;
  const groupStates = new Int32Array(numGroups);
  const groupArrivals = new Int32Array(numGroups);
  for (let g = 0, at = 0; g < numGroups; g++, at += MERGE_GROUP_STRIDE) {
    groupArrivals[g] = mergeGroups[at + MERGE_GROUP.slotCount];
    groupStates[g] = groupArrivals[g] * mergeGroups[at + MERGE_GROUP.rowCount];
  }
  return { numTiles, tokens, bytes, cold, steps, groupStates, groupArrivals };
}

/**
 * Keys of one sequence and head that several tiles read come from memory once and from the L2 after that: every reader is
 * given the same share of the first read.
 */
function findColdShares(
  { tiles, problem }: Schedule,
  tokens: Float64Array,
  bytes: Float64Array,
  tokenBytes: number,
  cold: Float64Array,
): void {
  const read = new Map<number, { first: number; last: number; bytes: number }>();
  const keyOf = (at: number): number => tiles[at + TILE.kvSeq] * problem.numKvHeads + tiles[at + TILE.kvHead];
  for (let t = 0, at = 0; t < tokens.length; t++, at += TILE_STRIDE) {
    const kvStart = tiles[at + TILE.kvStart];
    const kvEnd = tiles[at + TILE.kvEnd];
    const known = read.get(keyOf(at));
    if (known) {
      known.first = Math.min(known.first, kvStart);
      known.last = Math.max(known.last, kvEnd);
      known.bytes += bytes[t];
    } else {
      read.set(keyOf(at), { first: kvStart, last: kvEnd, bytes: bytes[t] });
    }
  }
  for (let t = 0, at = 0; t < tokens.length; t++, at += TILE_STRIDE) {
    const all = read.get(keyOf(at));
    if (all && all.bytes > 0) cold[t] = Math.min(1, ((all.last - all.first) * tokenBytes) / all.bytes);
  }
}
