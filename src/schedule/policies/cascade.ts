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
import { orderByCta, sequencePerRequest } from '../builder';
import { type Machine, numCtaSlots } from '../machine';
import type { AttentionProblem } from '../problem';
import { type Policy, Schedule } from '../schedule';
import { KV_SEQUENCE, KV_SEQUENCE_STRIDE, TILE, TILE_STRIDE } from '../work-tile';
import { MIN_CHUNK_TOKENS } from './binary-search';
import { type DealtRanges, dealRanges, type KeyRange } from './cascade-deal';
import { CascadeTables } from './cascade-tables';
import { type CascadeWork, gatherPrefixes } from './cascade-work';
import { type ConfigurablePolicy, configurable } from './configurable';

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

/** Needs room for gathered rows: make the wrapper with `sharedPrefixes: true`. Without shared prefixes, equal shares. */
export const cascade: ConfigurablePolicy<CascadeOptions> = configurable(
  'cascade',
  ({ minPrefixTokens = MIN_CHUNK_TOKENS, chunkTokens, tileTokens = 384 }: CascadeOptions): Policy => {
    requireInteger('cascade: minPrefixTokens', minPrefixTokens, 1);
    if (chunkTokens !== undefined) requireInteger('cascade: chunkTokens', chunkTokens, 1);
    requireInteger('cascade: tileTokens', tileTokens, 0, 2 ** 20);
    return (problem, machine) => cascadeSchedule(problem, machine, { minPrefixTokens });
  },
);

export interface Settings {
  minPrefixTokens?: number;
  pieceSteps?: number;
  ranked?: boolean;
  ownCuts?: number;
  more?: number;
  force?: number;
  forceOwn?: number;
  together?: boolean;
  ownFirst?: boolean;
  sharedFirst?: boolean;
  fallBack?: boolean;
}

export function cascadeSchedule(
  problem: AttentionProblem,
  machine: Machine,
  {
    minPrefixTokens = MIN_CHUNK_TOKENS,
    pieceSteps = 3,
    together = true,
    ownFirst = false,
    ranked = false,
    ownCuts = 4,
    more,
    force,
    forceOwn,
    sharedFirst = true,
  }: Settings = {},
): Schedule {
  const { numKvHeads } = problem;
  const { queryRows, kvStep } = machine.tileClasses[0];
  const work = gatherPrefixes(problem, queryRows, minPrefixTokens);
  const numCtas = numCtaSlots(machine);
  const shared = work.sharedTiles.map(({ kvStart, kvEnd }) => ({ start: kvStart, end: kvEnd }));
  const own: KeyRange[] = [];
  const ownOf = work.units.map((unit) => {
    if (unit.ownStart >= unit.kvEnd && unit.shared.length > 0) return -1;
    return shared.length + own.push({ start: unit.ownStart, end: Math.max(unit.ownStart, unit.kvEnd) }) - 1;
  });
  const tables = new CascadeTables(problem, work);
  const copies = together ? numKvHeads : 1;
  const numBins = together ? numCtas : Math.max(1, Math.floor(numCtas / numKvHeads));
  const dealt = dealRanges(shared, own, { stepTokens: kvStep, pieceSteps, numBins, ownCuts, more, force, forceOwn }, copies);
  const longest = dealt.longest;
  const place = ranked ? rank(dealt, numBins) : undefined;
  const ctas: number[] = [];
  const numRanges = shared.length + own.length;
  for (let h = 0; h < numKvHeads; h++) {
    const from = tables.bins.length;
    tables.addHead(h, together ? dealt.pieces.slice(h * numRanges, (h + 1) * numRanges) : dealt.pieces, ownOf);
    for (let t = from; t < tables.bins.length; t++) {
      const bin = place ? place[tables.bins[t]] : tables.bins[t];
      ctas.push(together ? bin : (bin * numKvHeads + h) % numCtas);
    }
  }
  const tiles = Int32Array.from(tables.tiles);
  const numTiles = tiles.length / TILE_STRIDE;
  let sorted = tiles;
  if (ownFirst || sharedFirst) {
    const sign = ownFirst ? 1 : -1;
    const order = Array.from({ length: numTiles }, (_, t) => t).sort(
      (a, b) =>
        sign * ((tiles[a * TILE_STRIDE + TILE.flags] & 2) - (tiles[b * TILE_STRIDE + TILE.flags] & 2)) || a - b,
    );
    sorted = new Int32Array(tiles.length);
    order.forEach((from, t) => {
      sorted.set(tiles.subarray(from * TILE_STRIDE, (from + 1) * TILE_STRIDE), t * TILE_STRIDE);
    });
    const before = [...ctas];
    order.forEach((from, t) => {
      ctas[t] = before[from];
    });
  }
  const { ordered, ctaIndptr } = orderByCta('cascade', sorted, numTiles, ctas, numCtas);
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
    { numSharedPrefixes: work.prefixes.length, longestSteps: longest },
  );
}

/** CTAs start in the order of their numbers, so the bin with most to do comes first. */
function rank({ loads }: DealtRanges, numBins: number): Int32Array {
  const order = Array.from({ length: numBins }, (_, b) => b).sort((a, b) => loads[b] - loads[a] || a - b);
  const place = new Int32Array(numBins);
  order.forEach((bin, at) => {
    place[bin] = at;
  });
  return place;
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
