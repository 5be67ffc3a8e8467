/** No split: one work tile for each query tile, however long its KV range. */
import { ScheduleBuilder } from '../builder';
import type { Machine } from '../machine';
import type { AttentionProblem } from '../problem';
import type { Schedule } from '../schedule';

/** Right where requests × KV heads fill the machine and lengths are alike; one long request then holds up all. */
export function noSplit(problem: AttentionProblem, machine: Machine): Schedule {
  const builder = new ScheduleBuilder('noSplit', problem, machine);
  builder.forEachQueryTile((tile) => builder.add(tile));
  return builder.build('longestFirst');
}
