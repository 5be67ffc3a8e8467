/**
 * Prefill and decode on the same SM at the same time (A. K. Kamath et al., "POD-Attention: Unlocking Full Prefill-Decode
 * Overlap for Faster LLM Inference", 2024): prefill is bound by the matrix units, decode by memory, so each runs in what the other
 * leaves idle. POD's CTAs choose their kind when they start, by the SM that they find themselves on. Here the list says it:
 * of the CTAs that share an SM, the last takes the decode tiles, strung out over its prefill tiles, and the others prefill.
 *
 * CTA c is taken to be on SM c mod numSms, which is how a grid of exactly the CTAs that fit fills an empty GPU. Nothing but the
 * overlap depends on it.
 */
import { requireInteger, WarpbookError } from '../../errors';
import { roundUp } from '../../units';
import { ScheduleBuilder } from '../builder';
import { packByLeastLoad, splitEvenly } from '../helpers';
import type { Machine } from '../machine';
import type { AttentionProblem } from '../problem';
import type { QueryTile } from '../query-tiles';
import type { Policy } from '../schedule';
import { MIN_CHUNK_TOKENS } from './binary-search';
import { type ConfigurablePolicy, configurable } from './configurable';

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

/** A piece of a query tile; as they are added to the builder, one after the other. */
interface Piece {
  readonly decode: boolean;
  /** Time on an SM of its own, ns. */
  readonly costNs: number;
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
      const isDecode = (r: number): boolean => problem.qoIndptr[r + 1] - problem.qoIndptr[r] <= decodeTokens;
      const decode = builder.queryTiles(classes.decode).filter(({ request }) => isDecode(request));
      const prefill = builder.queryTiles(classes.prefill).filter(({ request }) => !isDecode(request));
      const cuts = [...cutPrefill(prefill, machine, classes.prefill), ...cutDecode(decode, machine, classes.decode)];
      const pieces = [prefill, decode].flatMap((tiles, kind) =>
        tiles.flatMap((tile, t) => {
          const ends = [...cuts[kind === 0 ? t : prefill.length + t], tile.kvEnd];
          return ends.map((end, i): Piece => {
            const tokens = end - (i === 0 ? tile.kvStart : ends[i - 1]);
            const bytesNs = decodeNs(tokens + FIXED_TOKENS, problem, machine);
            if (kind === 1) return { decode: true, costNs: bytesNs };
            const { queryRows } = machine.tileClasses[classes.prefill];
            return { decode: false, costNs: Math.max(bytesNs, prefillNs(queryRows, tokens, problem, machine)) };
          });
        }),
      );
      const ctas = dealBySm(pieces, machine.numSms, builder.numCtas);
      let next = 0;
      [...prefill, ...decode].forEach((tile, t) => {
        builder.split(tile, cuts[t], ctas.subarray(next, next + cuts[t].length + 1));
        next += cuts[t].length + 1;
      });
      const lists = orderWithinCtas(pieces, ctas, builder.numCtas);
      builder.reorder(dispatch === 'static' ? lists.flat() : byRound(lists));
      const decisions = { prefillTiles: prefill.length, decodeTiles: decode.length, ...classes };
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
function cutPrefill(tiles: readonly QueryTile[], machine: Machine, index: number): number[][] {
  const { kvStep, ctasPerSm } = machine.tileClasses[index];
  let tokens = 0;
  for (const { kvStart, kvEnd } of tiles) tokens += kvEnd - kvStart;
  const share = Math.max(MIN_PREFILL_CHUNK_TOKENS, tokens / (machine.numSms * ctasPerSm));
  return tiles.map((tile) => splitEvenly(tile, Math.max(1, Math.floor((tile.kvEnd - tile.kvStart) / share)), kvStep));
}

function cutDecode(tiles: readonly QueryTile[], machine: Machine, index: number): number[][] {
  const { kvStep } = machine.tileClasses[index];
  let tokens = 0;
  for (const { kvStart, kvEnd } of tiles) tokens += kvEnd - kvStart;
  const share = Math.max(1, tokens / (machine.numSms * DECODE_PIECES));
  const chunk = Math.max(MIN_CHUNK_TOKENS, roundUp(share, kvStep));
  return tiles.map((tile) => splitEvenly(tile, Math.max(1, Math.ceil((tile.kvEnd - tile.kvStart) / chunk)), kvStep));
}

/**
 * The CTA of each piece. Where there is more prefill than the other CTAs of an SM do in the same time, decode keeps to the last
 * CTA of each SM and prefill fills up everywhere; where there is less, prefill keeps to the others and decode fills up.
 */
function dealBySm(pieces: readonly Piece[], numSms: number, numCtas: number): Int32Array {
  const total = (decode: boolean): number =>
    pieces.reduce((sum, piece) => (piece.decode === decode ? sum + piece.costNs : sum), 0);
  const [decodeTotal, prefillTotal] = [total(true), total(false)];
  const shared = numCtas > numSms;
  const firstDecodeCta = shared ? numCtas - numSms : 0;
  const numPrefillCtas = shared ? firstDecodeCta : numCtas;
  const prefillFitsBeside = prefillTotal * numCtas <= (prefillTotal + decodeTotal) * numPrefillCtas;
  const ctas = new Int32Array(pieces.length);
  const loads = new Float64Array(numCtas);
  const pack = (decode: boolean, firstCta: number, endCta: number): void => {
    const chosen = pieces.flatMap((piece, i) => (piece.decode === decode ? [i] : []));
    const costs = chosen.map((i) => pieces[i].costNs);
    const bins = packByLeastLoad(costs, endCta - firstCta, { initialLoads: loads.subarray(firstCta, endCta) });
    chosen.forEach((i, k) => {
      ctas[i] = firstCta + bins[k];
      loads[ctas[i]] += pieces[i].costNs;
    });
  };
  if (prefillFitsBeside) {
    pack(false, 0, numPrefillCtas);
    pack(true, 0, numCtas);
  } else {
    pack(true, firstDecodeCta, numCtas);
    pack(false, 0, numCtas);
  }
  return ctas;
}

/** Each CTA's pieces: prefill longest first, and decode strung out in between, by the share of either that is done. */
function orderWithinCtas(pieces: readonly Piece[], ctas: Int32Array, numCtas: number): number[][] {
  const lists: { prefill: number[]; decode: number[] }[] = Array.from({ length: numCtas }, () => ({
    prefill: [],
    decode: [],
  }));
  pieces.forEach((piece, i) => void lists[ctas[i]][piece.decode ? 'decode' : 'prefill'].push(i));
  return lists.map(({ prefill, decode }) => {
    prefill.sort((a, b) => pieces[b].costNs - pieces[a].costNs || a - b);
    const total = (list: readonly number[]): number => list.reduce((sum, i) => sum + pieces[i].costNs, 0);
    const [prefillTotal, decodeTotal] = [total(prefill), total(decode)];
    const merged: number[] = [];
    let [p, d, prefillDone, decodeDone] = [0, 0, 0, 0];
    while (p < prefill.length || d < decode.length) {
      const decodeNext = d < decode.length && decodeDone * prefillTotal <= prefillDone * decodeTotal;
      const index = decodeNext || p === prefill.length ? decode[d++] : prefill[p++];
      if (pieces[index].decode) decodeDone += pieces[index].costNs;
      else prefillDone += pieces[index].costNs;
      merged.push(index);
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
