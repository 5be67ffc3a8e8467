/**
 * Fixed split count: every KV range in up to `count` equal pieces, as in Flash-Decoding (T. Dao, D. Haziza, F. Massa,
 * G. Sizov, "Flash-Decoding for long-context inference", 2023).
 */
import { requireInteger } from '../../errors';
import { collectQueryTiles } from '../query-tiles';
import { type Policy, Schedule } from '../schedule';
import { trustPolicy } from '../trusted';
import { refuseProblem } from './configurable';
import { cutInCounts, dealPieces } from './pieces';

/**
 * A policy that cuts each query tile's KV range into `count` pieces of whole KV steps; a short range gets fewer.
 * @param count pieces, at least 1
 */
export function fixedSplitCount(count: number): Policy {
  refuseProblem('fixedSplitCount', count);
  requireInteger('fixedSplitCount: count', count, 1, 65536);
  return trustPolicy((problem, machine) => {
    const { queryRows, kvStep } = machine.tileClasses[0];
    const pieces = cutInCounts(collectQueryTiles(problem, queryRows), () => count, kvStep);
    const tiles = dealPieces(problem, machine, pieces);
    return new Schedule(`fixedSplitCount(${count})`, problem, machine, tiles, { splitCount: count });
  });
}
