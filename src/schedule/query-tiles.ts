/** The walk over a batch's query tiles: the pieces of work that a policy cuts along the KV range and deals out. */
import { type AttentionProblem, visibleEnd, visibleStart } from './problem';

/** Up to `queryRows` rows of one request and KV head, and the range of keys that any of them sees. */
export interface QueryTile {
  request: number;
  kvHead: number;
  rowStart: number;
  rowCount: number;
  kvStart: number;
  kvEnd: number;
  /** Keys [fullStart, fullEnd) are seen by every row: a tile inside needs no mask. */
  fullStart: number;
  fullEnd: number;
}

/**
 * Calls `visit` for every query tile, requests first, then rows, then KV heads. The object is reused between calls.
 * @param queryRows rows that a tile takes at most; see problem.ts for what a row is
 * @param numKvHeads heads to visit; default: all. They all have the same tiles.
 */
export function forEachQueryTile(
  problem: AttentionProblem,
  queryRows: number,
  visit: (tile: QueryTile) => void,
  numKvHeads: number = problem.numKvHeads,
): void {
  const group = problem.groupSize;
  // Tiles hold whole tokens where a token's group fits, so that rows of one token share their mask.
  const rowsPerTile = queryRows >= group ? queryRows - (queryRows % group) : queryRows;
  const tile: QueryTile = {
    request: 0,
    kvHead: 0,
    rowStart: 0,
    rowCount: 0,
    kvStart: 0,
    kvEnd: 0,
    fullStart: 0,
    fullEnd: 0,
  };
  for (let r = 0; r < problem.batchSize; r++) {
    const rowEnd = problem.qoIndptr[r + 1] * group;
    tile.request = r;
    for (let row = problem.qoIndptr[r] * group; row < rowEnd; row += rowsPerTile) {
      tile.rowStart = row;
      tile.rowCount = Math.min(rowsPerTile, rowEnd - row);
      const first = Math.floor(row / group);
      const last = Math.floor((row + tile.rowCount - 1) / group);
      tile.kvStart = visibleStart(problem, r, first);
      tile.kvEnd = Math.max(tile.kvStart, visibleEnd(problem, r, last));
      tile.fullStart = visibleStart(problem, r, last);
      tile.fullEnd = visibleEnd(problem, r, first);
      for (let head = 0; head < numKvHeads; head++) {
        tile.kvHead = head;
        visit(tile);
      }
    }
  }
}
