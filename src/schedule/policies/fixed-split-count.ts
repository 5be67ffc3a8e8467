/**
 * Fixed split count: every KV range in up to `count` equal pieces, as in Flash-Decoding (T. Dao, D. Haziza, F. Massa,
 * G. Sizov, "Flash-Decoding for long-context inference", 2023).
 */
import { requireInteger } from '../../errors';
import { ceilDiv, roundUp } from '../../units';
import { ScheduleBuilder } from '../builder';
import { trustPolicy } from '../run-policy';
import type { Policy } from '../schedule';

/**
 * A policy that cuts each query tile's KV range into `count` pieces of whole KV steps; a short range gets fewer.
 * @param count pieces, at least 1
 */
export function fixedSplitCount(count: number): Policy {
  requireInteger('fixedSplitCount: count', count, 1, 65536);
  return trustPolicy((problem, machine) => {
    const builder = new ScheduleBuilder(`fixedSplitCount(${count})`, problem, machine);
    const { kvStep } = machine.tileClasses[builder.tileClass];
    builder.forEachQueryTile((tile) => {
      const chunk = roundUp(Math.max(1, ceilDiv(tile.kvEnd - tile.kvStart, count)), kvStep);
      const cuts: number[] = [];
      for (let cut = tile.kvStart + chunk; cut < tile.kvEnd; cut += chunk) cuts.push(cut);
      builder.split(tile, cuts);
    });
    return builder.build('longestFirst', { splitCount: count });
  });
}
