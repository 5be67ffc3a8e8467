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
  /** Index into the machine's tile classes; undefined: the builder's. */
  tileClass?: number;
}

/**
 * Calls `visit` for every query tile, requests first, then rows, then KV heads. The object is reused between calls.
 * @param queryRows rows that a tile takes at most; see problem.ts for what a row is
 */
export function forEachQueryTile(problem: AttentionProblem, queryRows: number, visit: (tile: QueryTile) => void): void {
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
    // Named, so that all query tiles are alike to the compiler.
    tileClass: undefined,
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
      for (let head = 0; head < problem.numKvHeads; head++) {
        tile.kvHead = head;
        visit(tile);
      }
    }
  }
}

/** Word offsets of a query tile in the table of {@link collectQueryTiles}. */
export const QUERY_TILE = {
  request: 0,
  rowStart: 1,
  rowCount: 2,
  kvStart: 3,
  kvEnd: 4,
  fullStart: 5,
  fullEnd: 6,
} as const;
export const QUERY_TILE_STRIDE = 8;

/** The query tiles of one KV head as int32 records; every head has the same. See {@link forEachQueryTile}. */
export function collectQueryTiles(problem: AttentionProblem, queryRows: number): Int32Array {
  const { batchSize, qoIndptr, kvLens, groupSize } = problem;
  const rowsPerTile = queryRows >= groupSize ? queryRows - (queryRows % groupSize) : queryRows;
  const masked = problem.causal || problem.windowLeft >= 0;
  const rows = qoIndptr[batchSize] * groupSize;
  if (!masked && rows === batchSize * groupSize && groupSize <= rowsPerTile) {
    const tiles = decodeTiles(problem);
    if (tiles) return tiles;
  }
  let count = 0;
  for (let r = 0; r < batchSize; r++) count += Math.ceil(((qoIndptr[r + 1] - qoIndptr[r]) * groupSize) / rowsPerTile);
  const table = new Int32Array(count * QUERY_TILE_STRIDE);
  let at = 0;
  for (let r = 0; r < batchSize; r++) {
    const rowEnd = qoIndptr[r + 1] * groupSize;
    for (let row = qoIndptr[r] * groupSize; row < rowEnd; row += rowsPerTile) {
      const rowCount = Math.min(rowsPerTile, rowEnd - row);
      table[at + QUERY_TILE.request] = r;
      table[at + QUERY_TILE.rowStart] = row;
      table[at + QUERY_TILE.rowCount] = rowCount;
      if (masked) {
        const first = Math.floor(row / groupSize);
        const last = Math.floor((row + rowCount - 1) / groupSize);
        const start = visibleStart(problem, r, first);
        table[at + QUERY_TILE.kvStart] = start;
        table[at + QUERY_TILE.kvEnd] = Math.max(start, visibleEnd(problem, r, last));
        table[at + QUERY_TILE.fullStart] = visibleStart(problem, r, last);
        table[at + QUERY_TILE.fullEnd] = visibleEnd(problem, r, first);
      } else {
        table[at + QUERY_TILE.kvEnd] = kvLens[r];
        table[at + QUERY_TILE.fullEnd] = kvLens[r];
      }
      at += QUERY_TILE_STRIDE;
    }
  }
  return table;
}

/** The table where every request has one query token and sees all of its keys; undefined where one has another number. */
function decodeTiles({ batchSize, qoIndptr, kvLens, groupSize }: AttentionProblem): Int32Array | undefined {
  const table = new Int32Array(batchSize * QUERY_TILE_STRIDE);
  for (let r = 0, at = 0, row = 0; r < batchSize; r++, at += QUERY_TILE_STRIDE, row += groupSize) {
    if (qoIndptr[r] !== r) return undefined;
    const kvLen = kvLens[r];
    table[at + QUERY_TILE.request] = r;
    table[at + QUERY_TILE.rowStart] = row;
    table[at + QUERY_TILE.rowCount] = groupSize;
    table[at + QUERY_TILE.kvEnd] = kvLen;
    table[at + QUERY_TILE.fullEnd] = kvLen;
  }
  return table;
}

/** The query tiles of KV head 0 as objects, for policies that treat all heads alike; requests first, then rows. */
export function queryTilesOfHead(problem: AttentionProblem, queryRows: number, tileClass?: number): QueryTile[] {
  const table = collectQueryTiles(problem, queryRows);
  const tiles: QueryTile[] = [];
  for (let at = 0; at < table.length; at += QUERY_TILE_STRIDE) {
    tiles.push({
      request: table[at + QUERY_TILE.request],
      kvHead: 0,
      rowStart: table[at + QUERY_TILE.rowStart],
      rowCount: table[at + QUERY_TILE.rowCount],
      kvStart: table[at + QUERY_TILE.kvStart],
      kvEnd: table[at + QUERY_TILE.kvEnd],
      fullStart: table[at + QUERY_TILE.fullStart],
      fullEnd: table[at + QUERY_TILE.fullEnd],
      tileClass,
    });
  }
  return tiles;
}
