/**
 * Fixed split count: every KV range in up to `count` equal pieces, as in Flash-Decoding (T. Dao, D. Haziza, F. Massa,
 * G. Sizov, "Flash-Decoding for long-context inference", 2023).
 */
import { requireInteger } from '../../errors';
import { ceilDiv, roundUp } from '../../units';
import { collectQueryTiles, QUERY_TILE, QUERY_TILE_STRIDE } from '../query-tiles';
import { trustPolicy } from '../run-policy';
import { type Policy, Schedule } from '../schedule';
import type { HeadPieces } from '../tile-record';
import { dealPieces } from './pieces';

/**
 * A policy that cuts each query tile's KV range into `count` pieces of whole KV steps; a short range gets fewer.
 * @param count pieces, at least 1
 */
export function fixedSplitCount(count: number): Policy {
  requireInteger('fixedSplitCount: count', count, 1, 65536);
  return trustPolicy((problem, machine) => {
    const { queryRows, kvStep } = machine.tileClasses[0];
    const pieces = cutInCount(collectQueryTiles(problem, queryRows), count, kvStep);
    const tiles = dealPieces(problem, machine, pieces);
    return new Schedule(`fixedSplitCount(${count})`, problem, machine, tiles, { splitCount: count });
  });
}

function cutInCount(queryTiles: Int32Array, count: number, kvStep: number): HeadPieces {
  const pieceIndptr = new Int32Array(queryTiles.length / QUERY_TILE_STRIDE + 1);
  const pieceStarts: number[] = [];
  for (let q = 0, at = 0; at < queryTiles.length; q++, at += QUERY_TILE_STRIDE) {
    const kvStart = queryTiles[at + QUERY_TILE.kvStart];
    const kvEnd = queryTiles[at + QUERY_TILE.kvEnd];
    const chunk = roundUp(Math.max(1, ceilDiv(kvEnd - kvStart, count)), kvStep);
    pieceStarts.push(kvStart);
    for (let cut = kvStart + chunk; cut < kvEnd; cut += chunk) pieceStarts.push(cut);
    pieceIndptr[q + 1] = pieceStarts.length;
  }
  return { queryTiles, pieceIndptr, pieceStarts: Int32Array.from(pieceStarts) };
}
