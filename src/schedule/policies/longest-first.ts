/**
 * Longest first from one queue: no split, tiles in the order of their KV ranges, longest first, and every CTA draws the next one
 * when it is done. List scheduling (R. L. Graham, "Bounds on Multiprocessing Timing Anomalies", 1969) with the times that the
 * machine really takes: CTAs that share an SM, or the last ones of a batch, don't run at the speed that a dealing assumes.
 */
import { ScheduleBuilder } from '../builder';
import type { Machine } from '../machine';
import type { AttentionProblem } from '../problem';
import { queryTilesOfHead } from '../query-tiles';
import type { Schedule } from '../schedule';

/** For prefill: many tiles of unlike lengths. The KV heads of a query tile stay together, and read the same pages. */
export function longestFirst(problem: AttentionProblem, machine: Machine): Schedule {
  const builder = new ScheduleBuilder('longestFirst', problem, machine, { dispatch: 'queue' });
  const tiles = queryTilesOfHead(problem, machine.tileClasses[builder.tileClass].queryRows);
  tiles.sort((a, b) => b.kvEnd - b.kvStart - (a.kvEnd - a.kvStart));
  for (const tile of tiles) {
    for (tile.kvHead = 0; tile.kvHead < problem.numKvHeads; tile.kvHead++) builder.add(tile);
  }
  return builder.build('inOrder');
}
