/** No split: one work tile for each query tile, however long its KV range. */
import type { Machine } from '../machine';
import type { AttentionProblem } from '../problem';
import { collectQueryTiles } from '../query-tiles';
import { Schedule } from '../schedule';
import { dealPieces, wholePieces } from './pieces';

/** Right where requests × KV heads fill the machine and lengths are alike; one long request then holds up all. */
export function noSplit(problem: AttentionProblem, machine: Machine): Schedule {
  const pieces = wholePieces(collectQueryTiles(problem, machine.tileClasses[0].queryRows));
  return new Schedule('noSplit', problem, machine, dealPieces(problem, machine, pieces));
}
