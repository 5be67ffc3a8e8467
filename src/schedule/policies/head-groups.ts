/**
 * Stream-K over head groups. CTAs form groups of as many as there are KV heads; the keys of all query tiles, laid end to
 * end, are dealt to the groups in equal shares, and within a group each CTA takes one head. So the CTAs of a group read
 * the same pages at the same time (where a page holds all heads, whole pages), and no group has more than its share,
 * however uneven the requests (stream-K: M. Osama et al., "Stream-K: Work-centric Parallel Decomposition for Dense
 * Matrix-Matrix Multiplication on the GPU", 2023).
 */
import { HeadTiles } from '../head-tiles';
import { type Machine, numCtaSlots } from '../machine';
import type { AttentionProblem } from '../problem';
import { collectQueryTiles, QUERY_TILE, QUERY_TILE_STRIDE } from '../query-tiles';
import { Schedule } from '../schedule';
import { dealPieces, wholePieces } from './pieces';

/**
 * What a query tile costs beyond its keys, in units: putting the warps' states together and writing the result takes
 * about as long as another step of the main loop.
 */
export const TILE_UNITS = 1;

/** Equal shares for groups of CTAs, one KV head each; cuts at multiples of the kernel's KV step. */
export function headGroups(problem: AttentionProblem, machine: Machine): Schedule {
  return inShares('headGroups', problem, machine, collectQueryTiles(problem, machine.tileClasses[0].queryRows));
}

/** @internal The same under the name of the policy that chose it. */
export function inShares(
  policy: string,
  problem: AttentionProblem,
  machine: Machine,
  queryTiles: Int32Array,
): Schedule {
  const { numKvHeads } = problem;
  const numQueryTiles = queryTiles.length / QUERY_TILE_STRIDE;
  // A unit is a step of the main loop: a boundary that leaves slivers costs more than an uneven share.
  const unitTokens = machine.tileClasses[0].kvStep;
  const numCtas = numCtaSlots(machine);
  const numGroups = Math.floor(numCtas / numKvHeads);
  if (numGroups === 0) {
    const decisions = { split: 'no: fewer CTAs than KV heads' };
    const tiles = dealPieces(problem, machine, wholePieces(queryTiles));
    return new Schedule(policy, problem, machine, tiles, decisions);
  }

  const unitsOf = new Int32Array(numQueryTiles);
  let totalUnits = 0;
  for (let q = 0, at = 0; q < numQueryTiles; q++, at += QUERY_TILE_STRIDE) {
    unitsOf[q] = units(queryTiles[at + QUERY_TILE.kvStart], queryTiles[at + QUERY_TILE.kvEnd], unitTokens);
    totalUnits += unitsOf[q] + TILE_UNITS;
  }
  // Group g has the units [shareEnd(g - 1), shareEnd(g)). A share that ends among a tile's TILE_UNITS, which come last,
  // ends with the tile's keys. Boundaries within a tile's keys are cuts, so there are fewer cuts than groups.
  const shareEnd = (group: number): number => Math.floor(((group + 1) * totalUnits) / numGroups);

  // Shares without a unit are skipped, so that all work is on the first CTAs: behind another kernel they start first.
  const pieceIndptr = new Int32Array(numQueryTiles + 1);
  const pieceStarts = new Int32Array(numQueryTiles + numGroups);
  const groups = new Int32Array(numQueryTiles + numGroups);
  let numPieces = 0;
  let firstUnit = 0;
  let group = 0;
  let used = 0;
  let end = shareEnd(0);
  for (let q = 0, at = 0; q < numQueryTiles; q++, at += QUERY_TILE_STRIDE) {
    const kvStart = queryTiles[at + QUERY_TILE.kvStart];
    const endUnit = firstUnit + unitsOf[q];
    if (end <= firstUnit) {
      if (firstUnit > 0) used++;
      while (end <= firstUnit) end = shareEnd(++group);
    }
    pieceStarts[numPieces] = kvStart;
    groups[numPieces++] = used;
    if (end < endUnit) {
      const base = Math.floor(kvStart / unitTokens) - firstUnit;
      do {
        pieceStarts[numPieces] = (base + end) * unitTokens;
        groups[numPieces++] = ++used;
        const cut = end;
        do end = shareEnd(++group);
        while (end === cut);
      } while (end < endUnit);
    }
    firstUnit = endUnit + TILE_UNITS;
    pieceIndptr[q + 1] = numPieces;
  }
  const pieces = { queryTiles, pieceIndptr, pieceStarts: pieceStarts.subarray(0, numPieces) };
  const tiles = new HeadTiles(problem, pieces, {
    numCtas,
    width: numKvHeads,
    groups: groups.subarray(0, numPieces),
  });
  return new Schedule(policy, problem, machine, tiles, { numGroups, unitTokens });
}

/** Units that a KV range touches; an empty one still costs a turn. */
export function units(kvStart: number, kvEnd: number, unitTokens: number): number {
  return Math.max(1, Math.ceil(kvEnd / unitTokens) - Math.floor(kvStart / unitTokens));
}
