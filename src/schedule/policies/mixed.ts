/**
 * Prefill and decode on the same SM at the same time (A. K. Kamath et al., "POD-Attention: Unlocking Full Prefill-Decode
 * Overlap for Faster LLM Inference", 2024): prefill is bound by the matrix units, decode by memory, so each runs in what the other
 * leaves idle. POD's CTAs choose their kind when they start, by the SM that they find themselves on. Here the list says it:
 * of the CTAs that share an SM, the last takes the decode tiles, strung out over its prefill tiles, and the others prefill.
 *
 * Of the CTAs of an SM, one is taken to have a number below numSms, one a number of the next numSms, and so on: which is how
 * a grid of exactly the CTAs that fit fills an empty GPU (traced on an H100: CTA c shares with c + 132, c + 124 or c + 80). Launches
 * that begin while their predecessor ends fill SMs as they become free, and mix CTAs otherwise; nothing but the overlap depends on it.
 */
import { requireInteger, WarpbookError } from '../../errors';
import { roundUp } from '../../units';
import { ScheduleBuilder } from '../builder';
import { countTokens, longestFirstOrder, packByLeastLoad, splitEvenly } from '../helpers';
import type { Machine } from '../machine';
import type { AttentionProblem } from '../problem';
import { type QueryTile, queryTilesOfHead } from '../query-tiles';
import type { Policy } from '../schedule';
import { MIN_CHUNK_TOKENS } from './binary-search';
import { type ConfigurablePolicy, configurable } from './configurable';

/** Options of `policies.mixed`. */
export interface MixedOptions {
  /** Requests of up to as many query tokens are decode; default 8, so that speculative decoding is. */
  decodeTokens?: number;
  /** static (default), or queue: CTAs draw the tiles in the order in which a static schedule would begin them. */
  dispatch?: 'static' | 'queue';
}

/** Share of the matrix units' peak that prefill reaches. */
const PREFILL_EFFICIENCY = 0.6;
/** What a tile costs beside its keys, in tokens of memory traffic. */
const FIXED_TOKENS = 32;
/** Pieces into which an SM's share of decode keys is cut at least, so that they can be strung out. */
const DECODE_PIECES = 2;
/** Prefill tiles aren't cut finer: each piece loads its queries anew and writes partial rows. */
const MIN_PREFILL_CHUNK_TOKENS = 512;

/** Pieces of query tiles, in the order in which they are added to the builder: prefill first. */
interface Pieces {
  readonly numPrefill: number;
  /** Time of each on an SM of its own, ns. */
  readonly costNs: Float64Array;
  /** Prefill and decode pieces, longest first. */
  readonly prefillOrder: Uint32Array;
  readonly decodeOrder: Uint32Array;
}

export const mixed: ConfigurablePolicy<MixedOptions> = configurable(
  'mixed',
  ({ decodeTokens = 8, dispatch = 'static' }: MixedOptions): Policy => {
    requireInteger('mixed: decodeTokens', decodeTokens, 0);
    if (dispatch !== 'static' && dispatch !== 'queue') {
      const what = `mixed: dispatch is '${String(dispatch)}'; wanted static or queue.`;
      throw new WarpbookError('INVALID_ARGUMENT', what);
    }
    return (problem, machine) => {
      const classes = classesOf(machine, problem.groupSize);
      const builder = new ScheduleBuilder('mixed', problem, machine, { tileClass: classes.prefill, dispatch });
      const { numKvHeads, qoIndptr } = problem;
      const isDecode = (r: number): boolean => qoIndptr[r + 1] - qoIndptr[r] <= decodeTokens;
      // All KV heads are cut alike.
      const tilesOf = (tileClass: number, decode: boolean): QueryTile[] =>
        queryTilesOfHead(problem, machine.tileClasses[tileClass].queryRows, tileClass).filter(
          ({ request }) => isDecode(request) === decode,
        );
      const prefill = tilesOf(classes.prefill, false);
      const decode = tilesOf(classes.decode, true);
      const tiles = [...prefill, ...decode];
      const cuts = [
        ...cutPrefill(prefill, numKvHeads, machine, classes.prefill),
        ...cutDecode(decode, numKvHeads, machine, classes.decode),
      ];
      const pieces = weighPieces(tiles, prefill.length, cuts, problem, machine, classes.prefill);
      const ctas = dealBySm(pieces, machine.numSms, builder.numCtas);
      let next = 0;
      tiles.forEach((tile, t) => {
        for (tile.kvHead = 0; tile.kvHead < numKvHeads; tile.kvHead++) {
          builder.split(tile, cuts[t], ctas.subarray(next, next + cuts[t].length + 1));
          next += cuts[t].length + 1;
        }
      });
      const lists = orderWithinCtas(pieces, ctas, builder.numCtas);
      builder.reorder(dispatch === 'static' ? lists.flat() : byRound(lists));
      const decisions = {
        prefillTiles: prefill.length * numKvHeads,
        decodeTiles: decode.length * numKvHeads,
        prefillTileClass: classes.prefill,
        decodeTileClass: classes.decode,
      };
      return builder.build(dispatch === 'static' ? 'explicit' : 'inOrder', decisions);
    };
  },
);

/**
 * Prefill takes the tile class of most rows; decode the one of fewest that still holds a token's rows and leaves room on the SM
 * for as many CTAs, or the same.
 */
function classesOf({ tileClasses }: Machine, groupSize: number): { prefill: number; decode: number } {
  let prefill = 0;
  for (const [i, tile] of tileClasses.entries()) if (tile.queryRows > tileClasses[prefill].queryRows) prefill = i;
  let decode = prefill;
  for (const [i, { queryRows, ctasPerSm }] of tileClasses.entries()) {
    const fits = ctasPerSm >= tileClasses[prefill].ctasPerSm && queryRows >= groupSize;
    if (fits && queryRows < tileClasses[decode].queryRows) decode = i;
  }
  return { prefill, decode };
}

function decodeNs(tokens: number, { headDim, kvElementBytes }: AttentionProblem, machine: Machine): number {
  return (tokens * headDim * 2 * kvElementBytes * machine.numSms) / machine.memoryBandwidthGBs;
}

function prefillNs(rows: number, tokens: number, { headDim }: AttentionProblem, machine: Machine): number {
  return (4 * rows * tokens * headDim * machine.numSms) / (machine.bf16Tflops * 1e3 * PREFILL_EFFICIENCY);
}

/** Only what is longer than all CTAs' share is cut. */
function cutPrefill(tiles: readonly QueryTile[], numKvHeads: number, machine: Machine, tileClass: number): number[][] {
  const { kvStep, ctasPerSm } = machine.tileClasses[tileClass];
  const share = Math.max(MIN_PREFILL_CHUNK_TOKENS, (countTokens(tiles) * numKvHeads) / (machine.numSms * ctasPerSm));
  return tiles.map((tile) => splitEvenly(tile, Math.max(1, Math.floor((tile.kvEnd - tile.kvStart) / share)), kvStep));
}

function cutDecode(tiles: readonly QueryTile[], numKvHeads: number, machine: Machine, tileClass: number): number[][] {
  const { kvStep } = machine.tileClasses[tileClass];
  const share = Math.max(1, (countTokens(tiles) * numKvHeads) / (machine.numSms * DECODE_PIECES));
  const chunk = Math.max(MIN_CHUNK_TOKENS, roundUp(share, kvStep));
  return tiles.map((tile) => splitEvenly(tile, Math.max(1, Math.ceil((tile.kvEnd - tile.kvStart) / chunk)), kvStep));
}

function weighPieces(
  tiles: readonly QueryTile[],
  numPrefillTiles: number,
  cuts: readonly (readonly number[])[],
  problem: AttentionProblem,
  machine: Machine,
  prefillClass: number,
): Pieces {
  const { numKvHeads } = problem;
  const { queryRows } = machine.tileClasses[prefillClass];
  const costNs = new Float64Array(cuts.reduce((sum, { length }) => sum + length + 1, 0) * numKvHeads);
  let count = 0;
  let numPrefill = 0;
  tiles.forEach(({ kvStart, kvEnd }, t) => {
    const first = count;
    const numPieces = cuts[t].length + 1;
    for (let i = 0; i < numPieces; i++) {
      const tokens = (i < cuts[t].length ? cuts[t][i] : kvEnd) - (i === 0 ? kvStart : cuts[t][i - 1]);
      const bytesNs = decodeNs(tokens + FIXED_TOKENS, problem, machine);
      costNs[count++] =
        t < numPrefillTiles ? Math.max(bytesNs, prefillNs(queryRows, tokens, problem, machine)) : bytesNs;
    }
    for (let head = 1; head < numKvHeads; head++, count += numPieces)
      costNs.copyWithin(count, first, first + numPieces);
    if (t < numPrefillTiles) numPrefill = count;
  });
  const order = (from: number, end: number): Uint32Array =>
    // Whole nanoseconds are fine enough to sort by.
    longestFirstOrder(costNs.subarray(from, end).map(Math.round)).map((i) => from + i);
  return { numPrefill, costNs, prefillOrder: order(0, numPrefill), decodeOrder: order(numPrefill, count) };
}

/**
 * The CTA of each piece; CTAs of the last numSms are the last ones of their SMs. Where there is more prefill than the other CTAs of an SM do in the same time, decode keeps to the last
 * CTA of each SM and prefill fills up everywhere; where there is less, prefill keeps to the others and decode fills up.
 */
function dealBySm(
  { costNs, numPrefill, prefillOrder, decodeOrder }: Pieces,
  numSms: number,
  numCtas: number,
): Int32Array {
  let prefillTotal = 0;
  let decodeTotal = 0;
  costNs.forEach((cost, i) => {
    if (i < numPrefill) prefillTotal += cost;
    else decodeTotal += cost;
  });
  const firstDecodeCta = numCtas > numSms ? numCtas - numSms : 0;
  const numPrefillCtas = numCtas > numSms ? firstDecodeCta : numCtas;
  const ctas = new Int32Array(costNs.length);
  const loads = new Float64Array(numCtas);
  const pack = (order: Uint32Array, firstCta: number, endCta: number): void => {
    const costs = Float64Array.from(order, (i) => costNs[i]);
    const bins = packByLeastLoad(costs, endCta - firstCta, {
      longestFirst: false,
      initialLoads: loads.subarray(firstCta, endCta),
    });
    order.forEach((i, k) => {
      ctas[i] = firstCta + bins[k];
      loads[ctas[i]] += costNs[i];
    });
  };
  if (prefillTotal * numCtas <= (prefillTotal + decodeTotal) * numPrefillCtas) {
    pack(prefillOrder, 0, numPrefillCtas);
    pack(decodeOrder, 0, numCtas);
  } else {
    pack(decodeOrder, firstDecodeCta, numCtas);
    pack(prefillOrder, 0, numCtas);
  }
  return ctas;
}

/** Each CTA's pieces: prefill longest first, and decode strung out in between, by the share of either that is done. */
function orderWithinCtas({ costNs, prefillOrder, decodeOrder }: Pieces, ctas: Int32Array, numCtas: number): number[][] {
  const listsOf = (order: Uint32Array): { lists: number[][]; totals: Float64Array } => {
    const lists: number[][] = Array.from({ length: numCtas }, () => []);
    const totals = new Float64Array(numCtas);
    for (const i of order) {
      lists[ctas[i]].push(i);
      totals[ctas[i]] += costNs[i];
    }
    return { lists, totals };
  };
  const prefills = listsOf(prefillOrder);
  const decodes = listsOf(decodeOrder);
  return prefills.lists.map((prefill, cta) => {
    const decode = decodes.lists[cta];
    const merged: number[] = [];
    let [p, d, prefillDone, decodeDone] = [0, 0, 0, 0];
    while (p < prefill.length || d < decode.length) {
      const decodeIsBehind = decodeDone * prefills.totals[cta] <= prefillDone * decodes.totals[cta];
      if (d < decode.length && (decodeIsBehind || p === prefill.length)) {
        decodeDone += costNs[decode[d]];
        merged.push(decode[d++]);
      } else {
        prefillDone += costNs[prefill[p]];
        merged.push(prefill[p++]);
      }
    }
    return merged;
  });
}

/** The first tile of every CTA, then the second of every CTA, and so on. */
function byRound(lists: readonly (readonly number[])[]): number[] {
  const order: number[] = [];
  const rounds = lists.reduce((most, list) => Math.max(most, list.length), 0);
  for (let round = 0; round < rounds; round++) {
    for (const list of lists) if (round < list.length) order.push(list[round]);
  }
  return order;
}
