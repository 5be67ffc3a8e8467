/** What each tile of a schedule reads and computes, from lengths alone: for achieved rates and for comparing schedules. */
import type { Schedule } from './schedule';
import { MERGE_GROUP, MERGE_GROUP_STRIDE, SEGMENT, SEGMENT_STRIDE, TILE, TILE_STRIDE } from './work-tile';

/** Of partial outputs and LSE. */
const FLOAT32_BYTES = 4;

/** What the items of a schedule read and compute, by item. */
export interface TileWork {
  /**
   * float64 [numTiles]: keys and values that a tile reads, and the partial state (float32) that it writes. What several tiles
   * read counts each time, wherever it comes from.
   */
  readonly bytes: Float64Array;
  /** float64 [numTiles]: 4 × rows × keys × head dim; keys that a mask hides inside a tile are computed and counted. */
  readonly flops: Float64Array;
  /** float64 [numMergeGroups]: partial states that a merge reads. */
  readonly mergeBytes: Float64Array;
}

/** Takes segments into account: a tile reads only the keys of its segments where it has some. */
export function tileWork(schedule: Schedule): TileWork {
  const { tiles, numTiles, mergeGroups, numMergeGroups, problem } = schedule;
  const { headDim, kvElementBytes } = problem;
  const rowBytes = (headDim + 1) * FLOAT32_BYTES;
  const bytes = new Float64Array(numTiles);
  const flops = new Float64Array(numTiles);
  for (let t = 0; t < numTiles; t++) {
    const at = t * TILE_STRIDE;
    const rows = tiles[at + TILE.rowCount];
    const keys = keysOf(schedule, at);
    const partial = tiles[at + TILE.partialSlot] >= 0 ? rows * rowBytes : 0;
    bytes[t] = keys * headDim * 2 * kvElementBytes + partial;
    flops[t] = 4 * rows * keys * headDim;
  }
  const mergeBytes = Float64Array.from({ length: numMergeGroups }, (_, group) => {
    const at = group * MERGE_GROUP_STRIDE;
    return mergeGroups[at + MERGE_GROUP.rowCount] * mergeGroups[at + MERGE_GROUP.slotCount] * rowBytes;
  });
  return { bytes, flops, mergeBytes };
}

function keysOf({ tiles, segments }: Schedule, at: number): number {
  const count = tiles[at + TILE.segCount];
  if (count === 0) return tiles[at + TILE.kvEnd] - tiles[at + TILE.kvStart];
  let keys = 0;
  for (let s = tiles[at + TILE.segStart], end = s + count; s < end; s++) {
    keys += segments[s * SEGMENT_STRIDE + SEGMENT.kvEnd] - segments[s * SEGMENT_STRIDE + SEGMENT.kvStart];
  }
  return keys;
}
