/**
 * FlashAttention-3's choice of one split count for a whole batch (J. Shah et al., "FlashAttention-3: Fast and Accurate
 * Attention with Asynchrony and Low-precision", 2024; `num_splits_heuristic` of Dao-AILab/flash-attention, hopper/heuristics.h).
 *
 * One split where the query tiles fill at least 0.8 of the CTA slots, or where the longest range has at most 4 KV blocks.
 * Otherwise each split count is judged by how full it leaves its last wave (tiles × splits / slots, over the same rounded
 * up), and the fewest splits within 85 % of the best are taken. As in the original, a batch that fills the machine is split
 * after all where one head's keys are beyond the L2 cache and its queries go over them often, unless a mask spares some keys.
 */
import { requireInteger } from '../../errors';
import { ceilDiv } from '../../units';
import { numCtaSlots } from '../machine';
import { collectQueryTiles, QUERY_TILE, QUERY_TILE_STRIDE } from '../query-tiles';
import { type Policy, Schedule } from '../schedule';
import { type ConfigurablePolicy, configurable } from './configurable';
import { cutInCounts, dealPieces } from './pieces';

/** Options of `policies.fa3Heuristic`. */
export interface Fa3HeuristicOptions {
  /** Tokens of a KV block, at which ranges are cut; default 128, FlashAttention-3's for head dim 128. */
  kvBlockTokens?: number;
  /** Default 128. */
  maxSplits?: number;
}

/** What the choice depends on. */
export interface SplitChoice {
  /** Query tiles of all requests and KV heads. */
  numTiles: number;
  /** Query tiles of the request that has most. */
  tilesPerHead: number;
  numSlots: number;
  /** KV blocks of the longest range. */
  numBlocks: number;
  maxSplits: number;
  /** Keys and values of one head of the longest request. */
  headBytes: number;
  l2Bytes: number;
  /** Causal, or with a window. */
  masked: boolean;
}

/** How full the slots must be for one split. */
const FULL = 0.8;
/** Ranges of as few blocks are never split. */
const FEW_BLOCKS = 4;
/** Share of the best wave efficiency that is good enough. */
const GOOD_ENOUGH = 0.85;

/** The number of splits; see the file head. */
export function fa3SplitCount(choice: SplitChoice): number {
  const { numTiles, tilesPerHead, numSlots, numBlocks, headBytes, l2Bytes } = choice;
  if (numTiles >= FULL * numSlots) {
    const overflows = headBytes > l2Bytes && tilesPerHead >= 2 * numSlots && !choice.masked;
    return overflows ? Math.min(ceilDiv(headBytes, l2Bytes), choice.maxSplits) : 1;
  }
  if (numBlocks <= FEW_BLOCKS) return 1;
  const most = Math.min(choice.maxSplits, numSlots, numBlocks);
  const efficiency = (splits: number): number => {
    const waves = (numTiles * splits) / numSlots;
    return waves / Math.ceil(waves);
  };
  let best = 0;
  for (let splits = 1; splits <= most; splits++) best = Math.max(best, efficiency(splits));
  let splits = 1;
  while (efficiency(splits) < GOOD_ENOUGH * best) splits++;
  return splits;
}

/** Good for uniform batches; blind to how unlike the lengths are, as it looks at the longest alone. */
export const fa3Heuristic: ConfigurablePolicy<Fa3HeuristicOptions> = configurable(
  'fa3Heuristic',
  ({ kvBlockTokens = 128, maxSplits = 128 }: Fa3HeuristicOptions): Policy => {
    requireInteger('fa3Heuristic: kvBlockTokens', kvBlockTokens, 1);
    requireInteger('fa3Heuristic: maxSplits', maxSplits, 1);
    return (problem, machine) => {
      const queryTiles = collectQueryTiles(problem, machine.tileClasses[0].queryRows);
      const numTiles = (queryTiles.length / QUERY_TILE_STRIDE) * problem.numKvHeads;
      let [longest, tilesPerHead, run, request, longestKv] = [0, 0, 0, -1, 0];
      for (let at = 0; at < queryTiles.length; at += QUERY_TILE_STRIDE) {
        longest = Math.max(longest, queryTiles[at + QUERY_TILE.kvEnd] - queryTiles[at + QUERY_TILE.kvStart]);
        run = queryTiles[at + QUERY_TILE.request] === request ? run + 1 : 1;
        request = queryTiles[at + QUERY_TILE.request];
        tilesPerHead = Math.max(tilesPerHead, run);
        longestKv = Math.max(longestKv, problem.kvLens[request]);
      }
      const splits =
        numTiles === 0
          ? 1
          : fa3SplitCount({
              numTiles,
              tilesPerHead,
              numSlots: numCtaSlots(machine),
              numBlocks: ceilDiv(longest, kvBlockTokens),
              maxSplits,
              headBytes: longestKv * problem.headDim * 2 * problem.kvElementBytes,
              l2Bytes: machine.l2Bytes,
              masked: problem.causal || problem.windowLeft >= 0,
            });
      const tiles = dealPieces(
        problem,
        machine,
        cutInCounts(queryTiles, () => splits, kvBlockTokens),
      );
      return new Schedule('fa3Heuristic', problem, machine, tiles, { splitCount: splits });
    };
  },
);
