/** What policies share that cut all KV heads alike: cuts at multiples of a chunk, and pieces dealt longest first. */
import { ceilDiv, roundUp } from '../../units';
import { dealToGroups, groupWidth } from '../deal';
import { HeadTiles } from '../head-tiles';
import { type Machine, numCtaSlots } from '../machine';
import type { AttentionProblem } from '../problem';
import { QUERY_TILE, QUERY_TILE_STRIDE } from '../query-tiles';
import type { HeadPieces } from '../tile-record';

/** Every query tile as one piece. */
export function wholePieces(queryTiles: Int32Array): HeadPieces {
  const numQueryTiles = queryTiles.length / QUERY_TILE_STRIDE;
  const pieceIndptr = new Int32Array(numQueryTiles + 1);
  const pieceStarts = new Int32Array(numQueryTiles);
  for (let q = 0; q < numQueryTiles; q++) {
    pieceIndptr[q + 1] = q + 1;
    pieceStarts[q] = queryTiles[q * QUERY_TILE_STRIDE + QUERY_TILE.kvStart];
  }
  return { queryTiles, pieceIndptr, pieceStarts };
}

/** Pieces of a KV range that is cut at multiples of `chunk`; an empty one is a piece. */
export function countChunks(kvStart: number, kvEnd: number, chunk: number): number {
  return Math.max(1, Math.ceil(kvEnd / chunk) - Math.floor(kvStart / chunk));
}

/** Every query tile cut at multiples of `chunk` tokens. */
export function cutAtChunks(queryTiles: Int32Array, chunk: number): HeadPieces {
  const numQueryTiles = queryTiles.length / QUERY_TILE_STRIDE;
  const pieceIndptr = new Int32Array(numQueryTiles + 1);
  for (let q = 0, at = 0; q < numQueryTiles; q++, at += QUERY_TILE_STRIDE) {
    const count = countChunks(queryTiles[at + QUERY_TILE.kvStart], queryTiles[at + QUERY_TILE.kvEnd], chunk);
    pieceIndptr[q + 1] = pieceIndptr[q] + count;
  }
  const pieceStarts = new Int32Array(pieceIndptr[numQueryTiles]);
  for (let q = 0, at = 0; q < numQueryTiles; q++, at += QUERY_TILE_STRIDE) {
    const kvStart = queryTiles[at + QUERY_TILE.kvStart];
    const firstChunk = Math.floor(kvStart / chunk);
    const first = pieceIndptr[q];
    pieceStarts[first] = kvStart;
    for (let piece = first + 1; piece < pieceIndptr[q + 1]; piece++) {
      pieceStarts[piece] = (firstChunk + piece - first) * chunk;
    }
  }
  return { queryTiles, pieceIndptr, pieceStarts };
}

/**
 * Every query tile in up to as many equal pieces as `countOf` says, of whole steps; a short range gets fewer.
 * @param countOf pieces of the query tile at word `at` of the table, at least 1
 */
export function cutInCounts(queryTiles: Int32Array, countOf: (at: number) => number, stepTokens: number): HeadPieces {
  const pieceIndptr = new Int32Array(queryTiles.length / QUERY_TILE_STRIDE + 1);
  const pieceStarts: number[] = [];
  for (let q = 0, at = 0; at < queryTiles.length; q++, at += QUERY_TILE_STRIDE) {
    const kvStart = queryTiles[at + QUERY_TILE.kvStart];
    const kvEnd = queryTiles[at + QUERY_TILE.kvEnd];
    const chunk = roundUp(Math.max(1, ceilDiv(kvEnd - kvStart, countOf(at))), stepTokens);
    pieceStarts.push(kvStart);
    for (let cut = kvStart + chunk; cut < kvEnd; cut += chunk) pieceStarts.push(cut);
    pieceIndptr[q + 1] = pieceStarts.length;
  }
  return { queryTiles, pieceIndptr, pieceStarts: Int32Array.from(pieceStarts) };
}

/** Pieces on CTAs: one each where there are enough, otherwise longest first, heads together (see `dealToGroups`). */
export function dealPieces(problem: AttentionProblem, machine: Machine, pieces: HeadPieces): HeadTiles {
  const { queryTiles, pieceIndptr, pieceStarts } = pieces;
  const { numKvHeads } = problem;
  const numCtas = numCtaSlots(machine);
  if (pieceStarts.length * numKvHeads <= numCtas) return new HeadTiles(problem, pieces, { numCtas, width: 1 });
  const tokens = new Int32Array(pieceStarts.length);
  for (let q = 0; q + 1 < pieceIndptr.length; q++) {
    const last = pieceIndptr[q + 1] - 1;
    for (let piece = pieceIndptr[q]; piece < last; piece++) tokens[piece] = pieceStarts[piece + 1] - pieceStarts[piece];
    tokens[last] = queryTiles[q * QUERY_TILE_STRIDE + QUERY_TILE.kvEnd] - pieceStarts[last];
  }
  const width = groupWidth(numKvHeads, numCtas);
  const groups = dealToGroups(tokens, numKvHeads / width, Math.floor(numCtas / width));
  return new HeadTiles(problem, pieces, { numCtas, width, groups });
}
