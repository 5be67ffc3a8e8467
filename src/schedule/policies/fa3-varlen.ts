/**
 * FlashAttention-3's rule for batches of unlike lengths, which its kernel `prepare_varlen_num_blocks` applies on the device
 * (Dao-AILab/flash-attention, hopper/flash_prepare_scheduler.cu): what an SM should do, with a margin of 10 %, is
 * ceil(1.1 × KV blocks of all query tiles × heads / SMs) blocks, and each request is split into as many pieces as its own
 * blocks hold of that.
 */
import { requireInteger } from '../../errors';
import { ceilDiv } from '../../units';
import { numCtaSlots } from '../machine';
import { collectQueryTiles, QUERY_TILE, QUERY_TILE_STRIDE } from '../query-tiles';
import { type Policy, Schedule } from '../schedule';
import { type ConfigurablePolicy, configurable } from './configurable';
import { cutInCounts, dealPieces } from './pieces';

/** Options of `policies.fa3Varlen`. */
export interface Fa3VarlenOptions {
  /** Tokens of a KV block, at which ranges are cut; default 128, FlashAttention-3's for head dim 128. */
  kvBlockTokens?: number;
  /** Most pieces of a range; default 128. */
  maxSplits?: number;
}

const MARGIN = 1.1;

/** Long requests are cut, short ones stay whole: no piece is much longer than an equal share. */
export const fa3Varlen: ConfigurablePolicy<Fa3VarlenOptions> = configurable(
  'fa3Varlen',
  ({ kvBlockTokens = 128, maxSplits = 128 }: Fa3VarlenOptions): Policy => {
    requireInteger('fa3Varlen: kvBlockTokens', kvBlockTokens, 1);
    requireInteger('fa3Varlen: maxSplits', maxSplits, 1);
    return (problem, machine) => {
      const queryTiles = collectQueryTiles(problem, machine.tileClasses[0].queryRows);
      const blocksOf = (at: number): number =>
        ceilDiv(queryTiles[at + QUERY_TILE.kvEnd] - queryTiles[at + QUERY_TILE.kvStart], kvBlockTokens);
      let totalBlocks = 0;
      for (let at = 0; at < queryTiles.length; at += QUERY_TILE_STRIDE) totalBlocks += blocksOf(at);
      // At least one: a batch without keys has no blocks.
      const blocksPerCta = Math.max(1, ceilDiv(totalBlocks * MARGIN * problem.numKvHeads, numCtaSlots(machine)));
      const splitsOf = (at: number): number => Math.max(1, Math.min(ceilDiv(blocksOf(at), blocksPerCta), maxSplits));
      const tiles = dealPieces(problem, machine, cutInCounts(queryTiles, splitsOf, kvBlockTokens));
      return new Schedule('fa3Varlen', problem, machine, tiles, { blocksPerCta, kvBlockTokens });
    };
  },
);
