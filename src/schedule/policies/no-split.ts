/** No split: one work tile for each query tile, however long its KV range. */
import { dealToGroups, groupWidth } from '../deal';
import { type HeadPieces, HeadTiles, type Placement } from '../head-tiles';
import { type Machine, numCtaSlots } from '../machine';
import type { AttentionProblem } from '../problem';
import { collectQueryTiles, QUERY_TILE, QUERY_TILE_STRIDE } from '../query-tiles';
import { Schedule } from '../schedule';

/** Right where requests × KV heads fill the machine and lengths are alike; one long request then holds up all. */
export function noSplit(problem: AttentionProblem, machine: Machine): Schedule {
  const queryTiles = collectQueryTiles(problem, machine.tileClasses[0].queryRows);
  return new Schedule('noSplit', problem, machine, wholeTiles(problem, machine, queryTiles));
}

/** Every query tile whole, dealt longest first. */
export function wholeTiles(problem: AttentionProblem, machine: Machine, queryTiles: Int32Array): HeadTiles {
  const numQueryTiles = queryTiles.length / QUERY_TILE_STRIDE;
  const pieces: HeadPieces = {
    queryTiles,
    pieceIndptr: new Int32Array(numQueryTiles + 1),
    pieceStarts: new Int32Array(numQueryTiles),
  };
  const tokens = new Int32Array(numQueryTiles);
  for (let q = 0; q < numQueryTiles; q++) {
    const at = q * QUERY_TILE_STRIDE;
    pieces.pieceIndptr[q + 1] = q + 1;
    pieces.pieceStarts[q] = queryTiles[at + QUERY_TILE.kvStart];
    tokens[q] = queryTiles[at + QUERY_TILE.kvEnd] - queryTiles[at + QUERY_TILE.kvStart];
  }
  const numCtas = numCtaSlots(machine);
  const { numKvHeads } = problem;
  if (numQueryTiles * numKvHeads <= numCtas) return new HeadTiles(problem, pieces, { numCtas, width: 1 });
  const width = groupWidth(numKvHeads, numCtas);
  const placement: Placement = {
    numCtas,
    width,
    groups: dealToGroups(tokens, numKvHeads / width, Math.floor(numCtas / width)),
  };
  return new HeadTiles(problem, pieces, placement);
}
