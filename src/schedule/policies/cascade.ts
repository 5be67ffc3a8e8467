/**
 * Cascade: a prefix that several requests share is attended once for all of them, by tiles that gather their query rows; each
 * request attends to the rest of its keys on its own, and its partial states are merged. So the prefix is read once instead of
 * once a request (Z. Ye et al., "Cascade Inference: Memory Bandwidth Efficient Shared Prefix Batch Decoding", FlashInfer, 2024;
 * J. Juravsky et al., "Hydragen: High-Throughput LLM Inference with Shared Prefixes", 2024; for trees of prefixes: L. Ye et al.,
 * "ChunkAttention: Efficient Self-Attention with Prefix-Aware KV Cache and Two-Phase Partition", 2024).
 *
 * Prefixes are those of the problem, nested ones included. Everything is cut at multiples of one length and dealt longest first.
 */
import { requireInteger } from '../../errors';
import { roundUp } from '../../units';
import { orderByCta, sequencePerRequest } from '../builder';
import { packByLeastLoad } from '../helpers';
import { numCtaSlots, type TileClass } from '../machine';
import type { AttentionProblem } from '../problem';
import { type Policy, Schedule } from '../schedule';
import { KV_SEQUENCE, KV_SEQUENCE_STRIDE, TILE, TILE_STRIDE } from '../work-tile';
import { MIN_CHUNK_TOKENS } from './binary-search';
import { CascadeTables } from './cascade-tables';
import { type CascadeWork, gatherPrefixes } from './cascade-work';
import { type ConfigurablePolicy, configurable } from './configurable';
import { countChunks } from './pieces';

/** Options of `policies.cascade`. */
export interface CascadeOptions {
  /** Prefixes that are shorter beyond the one around them are left to each request; default 128 tokens. */
  minPrefixTokens?: number;
  /** Ranges are cut at multiples of this; default: what makes the longest CTA shortest, of a few lengths. */
  chunkTokens?: number;
  /**
   * What a tile costs beside its keys, in tokens; default 384. A prefix leaves each request a short rest, and a CTA that takes
   * several of them is not done sooner than one with a long piece.
   */
  tileTokens?: number;
}

/** Chunks that are tried, as shares of an equal one. */
const CHUNK_SHARES = [0.5, 0.75, 1, 1.5, 2, 3] as const;

/** Needs room for gathered rows: make the wrapper with `sharedPrefixes: true`. Without shared prefixes, equal shares. */
export const cascade: ConfigurablePolicy<CascadeOptions> = configurable(
  'cascade',
  ({ minPrefixTokens = MIN_CHUNK_TOKENS, chunkTokens, tileTokens = 384 }: CascadeOptions): Policy => {
    requireInteger('cascade: minPrefixTokens', minPrefixTokens, 1);
    if (chunkTokens !== undefined) requireInteger('cascade: chunkTokens', chunkTokens, 1);
    requireInteger('cascade: tileTokens', tileTokens, 0, 2 ** 20);
    return (problem, machine) => {
      const tileClass = machine.tileClasses[0];
      const work = gatherPrefixes(problem, tileClass.queryRows, minPrefixTokens);
      const numCtas = numCtaSlots(machine);
      const chunk = chunkTokens ?? bestChunk(work, problem.numKvHeads, tileClass, numCtas, tileTokens);
      const tables = new CascadeTables(problem, work, chunk);
      for (let kvHead = 0; kvHead < problem.numKvHeads; kvHead++) tables.addHead(kvHead);

      const tiles = Int32Array.from(tables.tiles);
      const numTiles = tiles.length / TILE_STRIDE;
      const costs = new Float64Array(numTiles);
      for (let t = 0, at = 0; t < numTiles; t++, at += TILE_STRIDE) {
        costs[t] = tiles[at + TILE.kvEnd] - tiles[at + TILE.kvStart] + tileTokens;
      }
      const ctas = packByLeastLoad(costs, numCtas);
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

/**
 * The chunk for which the longest CTA is shortest, among lengths around an equal share (a prefix counted once). All in whole KV
 * steps.
 */
function bestChunk(
  work: CascadeWork,
  numKvHeads: number,
  { kvStep }: TileClass,
  numCtas: number,
  tileTokens: number,
): number {
  const ranges: [start: number, end: number][] = [
    ...work.sharedTiles.map(({ kvStart, kvEnd }): [number, number] => [kvStart, kvEnd]),
    ...work.units.flatMap(({ ownStart, kvEnd }): [number, number][] => (kvEnd > ownStart ? [[ownStart, kvEnd]] : [])),
  ];
  let tokens = 0;
  for (const [start, end] of ranges) tokens += end - start;
  const share = (tokens * numKvHeads) / numCtas;
  let best = Math.max(MIN_CHUNK_TOKENS, roundUp(Math.max(1, share), kvStep));
  let shortest = Number.POSITIVE_INFINITY;
  const tried = new Set(
    CHUNK_SHARES.map((part) => Math.max(MIN_CHUNK_TOKENS, roundUp(Math.max(1, part * share), kvStep))),
  );
  for (const chunk of tried) {
    const longest = longestCta(ranges, chunk, numKvHeads, numCtas, tileTokens);
    if (longest >= shortest) continue;
    best = chunk;
    shortest = longest;
  }
  return best;
}

/**
 * What the CTA with most to do has, where pieces of `chunk` are dealt longest first: of one head's pieces on its share of the
 * CTAs, which takes a fraction of the time.
 */
function longestCta(
  ranges: readonly (readonly [start: number, end: number])[],
  chunk: number,
  numKvHeads: number,
  numCtas: number,
  tileTokens: number,
): number {
  const costs: number[] = [];
  for (const [start, end] of ranges) {
    const first = Math.floor(start / chunk);
    const pieces = countChunks(start, end, chunk);
    for (let i = 0; i < pieces; i++) {
      costs.push(Math.min(end, (first + i + 1) * chunk) - Math.max(start, (first + i) * chunk) + tileTokens);
    }
  }
  const numBins = Math.max(1, Math.floor(numCtas / numKvHeads));
  const ctas = packByLeastLoad(costs, numBins);
  const loads = new Float64Array(numBins);
  for (let i = 0; i < costs.length; i++) loads[ctas[i]] += costs[i];
  return loads.reduce((most, load) => Math.max(most, load), 0);
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
