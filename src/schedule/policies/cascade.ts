/**
 * Cascade: a prefix that several requests share is attended once for all of them, by tiles that gather their query rows; each
 * request attends to the rest of its keys on its own, and its partial states are merged. So the prefix is read once instead of
 * once a request (Z. Ye et al., "Cascade Inference: Memory Bandwidth Efficient Shared Prefix Batch Decoding", FlashInfer, 2024;
 * J. Juravsky et al., "Hydragen: High-Throughput LLM Inference with Shared Prefixes", 2024; for trees of prefixes: L. Ye et al.,
 * "ChunkAttention: Efficient Self-Attention with Prefix-Aware KV Cache and Two-Phase Partition", 2024).
 *
 * Prefixes are those of the problem, nested ones included. Where sharing them would take longer than reading them for each request
 * (two requests of a short one, say), nothing is shared.
 */
import { requireInteger } from '../../errors';
import { orderByCta, sequencePerRequest } from '../builder';
import { type Machine, numCtaSlots } from '../machine';
import type { AttentionProblem } from '../problem';
import { type Policy, Schedule } from '../schedule';
import { KV_SEQUENCE, KV_SEQUENCE_STRIDE, TILE_STRIDE } from '../work-tile';
import { MIN_CHUNK_TOKENS } from './binary-search';
import { bestCuts, type Cuts, type DealOptions, dealRanges, type KeyRange, type Ranges } from './cascade-deal';
import { CascadeTables } from './cascade-tables';
import { type CascadeWork, gatherPrefixes } from './cascade-work';
import { type ConfigurablePolicy, configurable } from './configurable';

/** Options of `policies.cascade`. */
export interface CascadeOptions {
  /** Prefixes that are shorter beyond the one around them are left to each request; default 128 tokens. */
  minPrefixTokens?: number;
  /** Ranges are cut into pieces of this length; default: what makes the longest CTA shortest, of several lengths. */
  chunkTokens?: number;
  /**
   * What a tile costs beside its keys, in tokens; default 384. A prefix leaves each request a short rest, and a CTA that takes
   * several of them is not done sooner than one with a long piece.
   */
  tileTokens?: number;
  /** Share all prefixes that `minPrefixTokens` allows, also where that is expected to take longer; default false. */
  always?: boolean;
}

/** Needs room for gathered rows: make the wrapper with `sharedPrefixes: true`. Without shared prefixes, even shares. */
export const cascade: ConfigurablePolicy<CascadeOptions> = configurable(
  'cascade',
  ({ minPrefixTokens = MIN_CHUNK_TOKENS, chunkTokens, tileTokens = 384, always = false }: CascadeOptions): Policy => {
    requireInteger('cascade: minPrefixTokens', minPrefixTokens, 1);
    if (chunkTokens !== undefined) requireInteger('cascade: chunkTokens', chunkTokens, 1);
    requireInteger('cascade: tileTokens', tileTokens, 0, 2 ** 20);
    return (problem, machine) => {
      const { queryRows, kvStep } = machine.tileClasses[0];
      const options: DealOptions = { numBins: numCtaSlots(machine), stepTokens: kvStep, pieceTokens: tileTokens };
      const gather = (least: number): Attempt => {
        const work = gatherPrefixes(problem, queryRows, least);
        const { ranges, ownOf } = rangesOf(work, problem.numKvHeads);
        const cuts = chunkTokens
          ? { sharedChunk: chunkTokens, ownChunk: chunkTokens, cost: 0 }
          : bestCuts(ranges, options);
        return { work, ranges, ownOf, cuts };
      };
      let attempt = gather(minPrefixTokens);
      if (attempt.work.prefixes.length > 0 && !always && chunkTokens === undefined) {
        const alone = gather(Number.POSITIVE_INFINITY);
        if (alone.cuts.cost < attempt.cuts.cost) attempt = alone;
      }
      return scheduleOf(problem, machine, attempt, options);
    };
  },
);

/** A way to do it: what is shared, and how it would be cut. */
interface Attempt {
  readonly work: CascadeWork;
  readonly ranges: Ranges;
  /** The place of each unit's own keys among the ranges, −1 where all its keys are shared. */
  readonly ownOf: Int32Array;
  readonly cuts: Cuts;
}

function rangesOf({ sharedTiles, units }: CascadeWork, copies: number): Pick<Attempt, 'ranges' | 'ownOf'> {
  const shared = sharedTiles.map(({ kvStart, kvEnd }): KeyRange => ({ start: kvStart, end: kvEnd }));
  const own: KeyRange[] = [];
  const ownOf = Int32Array.from(units, (unit) => {
    if (unit.ownStart >= unit.kvEnd && unit.shared.length > 0) return -1;
    return shared.length + own.push({ start: unit.ownStart, end: Math.max(unit.ownStart, unit.kvEnd) }) - 1;
  });
  return { ranges: { shared, own, copies }, ownOf };
}

function scheduleOf(
  problem: AttentionProblem,
  machine: Machine,
  { work, ranges, ownOf, cuts }: Attempt,
  options: DealOptions,
): Schedule {
  const dealt = dealRanges(ranges, options, cuts);
  const tables = new CascadeTables(problem, work);
  for (let kvHead = 0; kvHead < problem.numKvHeads; kvHead++) tables.addHead(kvHead, dealt, ownOf);
  const { tiles, ctas } = inTurn(tables);
  const { ordered, ctaIndptr } = orderByCta('cascade', tiles, ctas.length, ctas, options.numBins);
  const numSharedPrefixes = work.prefixes.length;
  return new Schedule(
    'cascade',
    problem,
    machine,
    {
      tiles: ordered,
      ctaIndptr,
      dispatch: 'static',
      kvSequences: sequences(problem, work),
      rows: new Int32Array(tables.rows),
      segments: new Int32Array(0),
      mergeGroups: new Int32Array(tables.mergeGroups),
      mergeSlots: new Int32Array(tables.mergeSlots),
      numPartialRows: tables.numPartialRows,
    },
    {
      numSharedPrefixes,
      ...(numSharedPrefixes > 0 && { sharedChunkTokens: cuts.sharedChunk }),
      ownChunkTokens: cuts.ownChunk,
    },
  );
}

/** The tiles and their CTAs, first turns first. */
function inTurn(tables: CascadeTables): { tiles: Int32Array; ctas: Int32Array } {
  const { turns } = tables;
  const before = new Int32Array(tables.tiles);
  const tiles = new Int32Array(before.length);
  const ctas = new Int32Array(turns.length);
  let next = 0;
  for (let turn = 0; next < turns.length; turn++) {
    for (let t = 0; t < turns.length; t++) {
      if (turns[t] !== turn) continue;
      tiles.set(before.subarray(t * TILE_STRIDE, (t + 1) * TILE_STRIDE), next * TILE_STRIDE);
      ctas[next++] = tables.ctas[t];
    }
  }
  return { tiles, ctas };
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
