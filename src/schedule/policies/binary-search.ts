/**
 * FlashInfer's decode planner: the smallest KV chunk for which all work items fit the machine at once (Z. Ye et al.,
 * "FlashInfer: Efficient and Customizable Attention Engine for LLM Inference Serving", 2025; the planner of v0.0.5 on).
 *
 * Two departures. An empty request counts as one item in the search, as it is in the list (the original counts it as
 * none and can overrun). And the original in a CUDA graph decides *whether* to split from the batch size alone, because
 * its grid and buffers are frozen; a schedule in device memory doesn't need that, so it is a policy of its own here.
 */
import { ceilDiv } from '../../units';
import { ScheduleBuilder } from '../builder';
import { HeadTiles } from '../head-tiles';
import { type Machine, numCtaSlots } from '../machine';
import type { AttentionProblem } from '../problem';
import { collectQueryTiles, QUERY_TILE, QUERY_TILE_STRIDE } from '../query-tiles';
import { Schedule } from '../schedule';
import { countChunks, cutAtChunks, dealPieces, wholePieces } from './pieces';

/** Chunks below this many tokens aren't worth their merge. */
export const MIN_CHUNK_TOKENS = 128;

/** Splits where requests × KV heads leave CTA slots idle, by the smallest chunk for which every piece has a slot. */
export function binarySearch(problem: AttentionProblem, machine: Machine): Schedule {
  const queryTiles = collectQueryTiles(problem, machine.tileClasses[0].queryRows);
  const slots = numCtaSlots(machine);
  if (!splits(problem, queryTiles, slots)) {
    const decisions = { split: 'no: the batch fills the machine' };
    return new Schedule(
      'binarySearch',
      problem,
      machine,
      dealPieces(problem, machine, wholePieces(queryTiles)),
      decisions,
    );
  }
  const chunkPages = smallestChunkPages(problem, queryTiles, slots);
  return inChunks('binarySearch', problem, machine, queryTiles, chunkPages);
}

/** @internal All query tiles in chunks of so many pages, of which every piece has a slot of its own. */
export function inChunks(
  policy: string,
  problem: AttentionProblem,
  machine: Machine,
  queryTiles: Int32Array,
  chunkPages: number,
): Schedule {
  const chunk = chunkPages * problem.pageSize;
  const tiles = new HeadTiles(problem, cutAtChunks(queryTiles, chunk), { numCtas: numCtaSlots(machine), width: 1 });
  const decisions = { kvChunkSizePages: chunkPages, kvChunkSizeTokens: chunk };
  return new Schedule(policy, problem, machine, tiles, decisions);
}

/**
 * As the original under a CUDA graph: whether anything is split depends on the batch size alone. In a small batch every
 * request goes through partial states and a merge, also one that is too short to be cut.
 */
export function binarySearchByBatchSize(problem: AttentionProblem, machine: Machine): Schedule {
  const queryTiles = collectQueryTiles(problem, machine.tileClasses[0].queryRows);
  const slots = numCtaSlots(machine);
  const split = splits(problem, queryTiles, slots);
  const builder = new ScheduleBuilder('binarySearchByBatchSize', problem, machine, { alwaysPartial: split });
  if (!split) {
    builder.forEachQueryTile((tile) => builder.add(tile));
    return builder.build('longestFirst', { split: 'no: the batch fills the machine' });
  }
  const chunkPages = smallestChunkPages(problem, queryTiles, slots);
  const chunk = chunkPages * problem.pageSize;
  builder.forEachQueryTile((tile) => builder.splitByChunk(tile, chunk));
  return builder.build('longestFirst', { kvChunkSizePages: chunkPages, kvChunkSizeTokens: chunk });
}

/** @internal Whether query tiles × KV heads leave CTA slots idle. */
export function splits(problem: AttentionProblem, queryTiles: Int32Array, slots: number): boolean {
  return (queryTiles.length / QUERY_TILE_STRIDE) * problem.numKvHeads < slots;
}

/** @internal The smallest chunk, in pages, for which all pieces have a slot at once. */
export function smallestChunkPages(problem: AttentionProblem, queryTiles: Int32Array, slots: number): number {
  const { numKvHeads, pageSize } = problem;
  const items = (chunkPages: number): number => {
    const chunk = chunkPages * pageSize;
    let sum = 0;
    for (let at = 0; at < queryTiles.length; at += QUERY_TILE_STRIDE) {
      sum += countChunks(queryTiles[at + QUERY_TILE.kvStart], queryTiles[at + QUERY_TILE.kvEnd], chunk);
    }
    return sum * numKvHeads;
  };
  let longest = 1;
  for (let at = 0; at < queryTiles.length; at += QUERY_TILE_STRIDE) {
    longest = Math.max(longest, queryTiles[at + QUERY_TILE.kvEnd]);
  }
  let low = Math.max(Math.floor(MIN_CHUNK_TOKENS / pageSize), 1);
  let high = Math.max(low, ceilDiv(longest, pageSize));
  while (low < high) {
    const middle = (low + high) >> 1;
    if (items(middle) <= slots) high = middle;
    else low = middle + 1;
  }
  return low;
}
