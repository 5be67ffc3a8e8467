/**
 * The work that a schedule's kernel drains, as plain columns: what each tile reads, how many steps it takes, which groups it
 * arrives at. Hides the records; knows no costs.
 */
import type { Schedule } from '../schedule/schedule';
import {
  MERGE_GROUP,
  MERGE_GROUP_STRIDE,
  SEGMENT,
  SEGMENT_STRIDE,
  TILE,
  TILE_FLAG,
  TILE_STRIDE,
} from '../schedule/work-tile';

/** Columns by tile and by merge group, in the order of the schedule's tables. */
export interface WorkList {
  readonly numTiles: number;
  /** float64 [numTiles]: keys that the tile attends to. */
  readonly tokens: Float64Array;
  /** float64 [numTiles]: bytes that it reads, in all its passes over the keys. */
  readonly bytes: Float64Array;
  /** float64 [numTiles]: share of them that the first pass reads; the others find the L2. */
  readonly firstPass: Float64Array;
  /** Keys may be read by several tiles, so that some of them come out of the L2. */
  readonly sharesKeys: boolean;
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
  const firstPass = new Float64Array(numTiles).fill(1);
  const steps = new Float64Array(numTiles);
  const tokenBytes = 2 * problem.headDim * problem.kvElementBytes;
  // Of decode with a tile for all query rows of a request and head no two tiles read the same keys.
  let sharesKeys = problem.qoIndptr[problem.batchSize] > problem.batchSize;
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
    if (tiles[at + TILE.rowCount] < problem.groupSize || tiles[at + TILE.flags] & TILE_FLAG.gatherRows)
      sharesKeys = true;
    firstPass[t] = 1 / passes;
    tokens[t] = keys;
    bytes[t] = keys * tokenBytes * passes;
    steps[t] = Math.ceil(keys / kvStep) * passes;
  }

  const numGroups = mergeGroups.length / MERGE_GROUP_STRIDE;
  const groupStates = new Int32Array(numGroups);
  const groupArrivals = new Int32Array(numGroups);
  for (let g = 0, at = 0; g < numGroups; g++, at += MERGE_GROUP_STRIDE) {
    groupArrivals[g] = mergeGroups[at + MERGE_GROUP.slotCount];
    groupStates[g] = groupArrivals[g] * mergeGroups[at + MERGE_GROUP.rowCount];
  }
  return { numTiles, tokens, bytes, firstPass, sharesKeys, steps, groupStates, groupArrivals };
}
