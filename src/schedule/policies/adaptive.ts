/**
 * For decode: `binarySearch` where its chunks come out nearly even, `headGroups` elsewhere.
 *
 * A piece that has its CTA to itself saves the end of a second tile, which takes as long as two steps of the main loop; but the
 * longest chunk is what the launch waits for, and with few unlike requests it is much longer than an equal share. Memory is
 * shared: CTAs that are done early leave their part to the others, so a chunk may be somewhat longer than a share at no cost.
 * Measured on an H100 over 140 batches of two traces, equal shares win from 600 tokens too much on (docs/policies.md).
 */
import type { Machine } from '../machine';
import { numCtaSlots } from '../machine';
import type { AttentionProblem } from '../problem';
import { collectQueryTiles, QUERY_TILE, QUERY_TILE_STRIDE } from '../query-tiles';
import type { Schedule } from '../schedule';
import { inChunks, smallestChunkPages, splits } from './binary-search';
import { inShares } from './head-groups';

/** Steps of the main loop by which the longest chunk may exceed a CTA's equal share of all keys. */
export const SLACK_STEPS = 4;

/** Chunks that each have a CTA, where they are nearly as short as equal shares for groups of CTAs, which it takes otherwise. */
export function adaptive(problem: AttentionProblem, machine: Machine): Schedule {
  const { queryRows, kvStep } = machine.tileClasses[0];
  const queryTiles = collectQueryTiles(problem, queryRows);
  const slots = numCtaSlots(machine);
  if (splits(problem, queryTiles, slots)) {
    const chunkPages = smallestChunkPages(problem, queryTiles, slots);
    let tokens = 0;
    for (let at = 0; at < queryTiles.length; at += QUERY_TILE_STRIDE) {
      tokens += queryTiles[at + QUERY_TILE.kvEnd] - queryTiles[at + QUERY_TILE.kvStart];
    }
    const excess = chunkPages * problem.pageSize - SLACK_STEPS * kvStep;
    if (excess * slots <= tokens * problem.numKvHeads) {
      return inChunks('adaptive', problem, machine, queryTiles, chunkPages);
    }
  }
  return inShares('adaptive', problem, machine, queryTiles);
}
