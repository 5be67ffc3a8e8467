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
import { type Machine, numCtaSlots } from '../machine';
import type { AttentionProblem } from '../problem';
import { forEachQueryTile, type QueryTile } from '../query-tiles';
import type { Schedule } from '../schedule';

/** Chunks below this many tokens aren't worth their merge. */
const MIN_CHUNK_TOKENS = 128;

/** Splits where requests × KV heads leave CTA slots idle, by the smallest chunk for which every piece has a slot. */
export function binarySearch(problem: AttentionProblem, machine: Machine): Schedule {
  return plan('binarySearch', problem, machine, false);
}

/**
 * As the original under a CUDA graph: whether anything is split depends on the batch size alone. In a small batch every
 * request goes through partial states and a merge, also one that is too short to be cut.
 */
export function binarySearchByBatchSize(problem: AttentionProblem, machine: Machine): Schedule {
  return plan('binarySearchByBatchSize', problem, machine, true);
}

function plan(name: string, problem: AttentionProblem, machine: Machine, byBatchSize: boolean): Schedule {
  const { numKvHeads, pageSize } = problem;
  const slots = numCtaSlots(machine);
  const tiles = queryTileRanges(problem, machine);
  const split = tiles.starts.length * numKvHeads < slots;
  const builder = new ScheduleBuilder(name, problem, machine, { alwaysPartial: byBatchSize && split });
  if (!split) {
    builder.forEachQueryTile((tile) => builder.add(tile));
    return builder.build('longestFirst', { split: 'no: the batch fills the machine' });
  }
  const chunkPages = smallestChunkPages(tiles, numKvHeads, pageSize, slots);
  builder.forEachQueryTile((tile) => builder.splitByChunk(tile, chunkPages * pageSize));
  return builder.build('longestFirst', { kvChunkSizePages: chunkPages, kvChunkSizeTokens: chunkPages * pageSize });
}

interface Ranges {
  starts: readonly number[];
  ends: readonly number[];
}

/** KV ranges of the query tiles of one KV head; every head has the same. */
function queryTileRanges(problem: AttentionProblem, machine: Machine): Ranges {
  const starts: number[] = [];
  const ends: number[] = [];
  const collect = (tile: QueryTile): void => {
    starts.push(tile.kvStart);
    ends.push(tile.kvEnd);
  };
  forEachQueryTile(problem, machine.tileClasses[0].queryRows, collect, 1);
  return { starts, ends };
}

function smallestChunkPages(tiles: Ranges, numKvHeads: number, pageSize: number, slots: number): number {
  const items = (chunkPages: number): number => {
    const chunk = chunkPages * pageSize;
    let sum = 0;
    for (let i = 0; i < tiles.starts.length; i++) {
      sum += Math.max(1, Math.ceil(tiles.ends[i] / chunk) - Math.floor(tiles.starts[i] / chunk));
    }
    return sum * numKvHeads;
  };
  let longest = 1;
  for (const end of tiles.ends) longest = Math.max(longest, end);
  let low = Math.max(Math.floor(MIN_CHUNK_TOKENS / pageSize), 1);
  let high = Math.max(low, ceilDiv(longest, pageSize));
  while (low < high) {
    const middle = (low + high) >> 1;
    if (items(middle) <= slots) high = middle;
    else low = middle + 1;
  }
  return low;
}
