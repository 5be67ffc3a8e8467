/**
 * Cascade: a prefix that several requests share is attended once for all of them, by tiles that gather their query rows; each
 * request attends to the rest of its keys on its own, and its partial states are merged. So the prefix is read once instead of
 * once a request (Z. Ye et al., "Cascade Inference: Memory Bandwidth Efficient Shared Prefix Batch Decoding", FlashInfer, 2024;
 * J. Juravsky et al., "Hydragen: High-Throughput LLM Inference with Shared Prefixes", 2024; for trees of prefixes: L. Ye et al.,
 * "ChunkAttention: Efficient Self-Attention with Prefix-Aware KV Cache and Two-Phase Partition", 2024).
 *
 * Prefixes are those of the problem, nested ones included. Everything is cut into about equal shares and dealt longest first.
 */
import { requireInteger } from '../../errors';
import { roundUp } from '../../units';
import { orderByCta, sequencePerRequest } from '../builder';
import { deal } from '../deal';
import { numCtaSlots, type TileClass } from '../machine';
import type { AttentionProblem } from '../problem';
import { type Policy, Schedule } from '../schedule';
import { KV_SEQUENCE, KV_SEQUENCE_STRIDE, TILE_STRIDE } from '../work-tile';
import { MIN_CHUNK_TOKENS } from './binary-search';
import { CascadeTables } from './cascade-tables';
import { type CascadeWork, gatherPrefixes } from './cascade-work';
import { type ConfigurablePolicy, configurable } from './configurable';

export interface CascadeOptions {
  /** Prefixes that are shorter beyond the one around them are left to each request; default 128 tokens. */
  minPrefixTokens?: number;
  /** Ranges are cut at multiples of this; default: an equal share of all keys, in whole KV steps, at least 128. */
  chunkTokens?: number;
}

/** Needs room for gathered rows: make the wrapper with `sharedPrefixes: true`. Without shared prefixes, equal shares. */
export const cascade: ConfigurablePolicy<CascadeOptions> = configurable(
  'cascade',
  ({ minPrefixTokens = MIN_CHUNK_TOKENS, chunkTokens }: CascadeOptions): Policy => {
    requireInteger('cascade: minPrefixTokens', minPrefixTokens, 1);
    if (chunkTokens !== undefined) requireInteger('cascade: chunkTokens', chunkTokens, 1);
    return (problem, machine) => {
      const tileClass = machine.tileClasses[0];
      const work = gatherPrefixes(problem, tileClass.queryRows, minPrefixTokens);
      const numCtas = numCtaSlots(machine);
      const chunk = chunkTokens ?? shareTokens(work, problem, tileClass, numCtas);
      const tables = new CascadeTables(problem, work, chunk);
      for (let kvHead = 0; kvHead < problem.numKvHeads; kvHead++) tables.addHead(kvHead);

      const tiles = Int32Array.from(tables.tiles);
      const numTiles = tiles.length / TILE_STRIDE;
      const ctas = new Int32Array(numTiles);
      deal('longestFirst', tiles, numTiles, ctas, numCtas);
      const { ordered, ctaIndptr } = orderByCta('cascade', tiles, numTiles, ctas, numCtas);
      return new Schedule(
        'cascade',
        problem,
        machine,
        {
          tiles: ordered,
          ctaIndptr,
          dispatch: 'static',
          kvSequences: sequences(problem, work),
          rows: Int32Array.from(tables.rows),
          segments: new Int32Array(0),
          mergeGroups: Int32Array.from(tables.mergeGroups),
          mergeSlots: Int32Array.from(tables.mergeSlots),
          numPartialRows: tables.numPartialRows,
        },
        { numSharedPrefixes: work.prefixes.length, kvChunkSizeTokens: chunk },
      );
    };
  },
);

/** An equal share of all keys, a prefix counted once; in whole KV steps. */
function shareTokens(work: CascadeWork, problem: AttentionProblem, { kvStep }: TileClass, numCtas: number): number {
  let tokens = 0;
  for (const tile of work.sharedTiles) tokens += tile.kvEnd - tile.kvStart;
  for (const unit of work.units) tokens += Math.max(0, unit.kvEnd - unit.ownStart);
  return Math.max(MIN_CHUNK_TOKENS, roundUp(Math.max(1, (tokens * problem.numKvHeads) / numCtas), kvStep));
}

/** Each request's own keys, and each prefix as a sequence of its own: the first pages of one of its requests. */
function sequences(problem: AttentionProblem, { prefixes }: CascadeWork): Int32Array {
  const own = sequencePerRequest(problem);
  const table = new Int32Array(own.length + prefixes.length * KV_SEQUENCE_STRIDE);
  table.set(own);
  prefixes.forEach(({ length, requests }, i) => {
    const at = own.length + i * KV_SEQUENCE_STRIDE;
    table[at + KV_SEQUENCE.kvLen] = length;
    table[at + KV_SEQUENCE.request] = requests[0];
  });
  return table;
}
