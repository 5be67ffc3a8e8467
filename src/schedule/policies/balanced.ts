/**
 * FlashInfer's balanced plan for batches of prefill and decode (Z. Ye et al., "FlashInfer: Efficient and Customizable
 * Attention Engine for LLM Inference Serving", 2025; `TwoStageHolisticPlan` of flashinfer-ai/flashinfer,
 * include/flashinfer/attention/scheduler.cuh). Two stages. First a limit for the length of a piece: an equal share of all keys,
 * rounded up to 128 or a multiple of 256 tokens, half of it for prefill tiles. Then the pieces, prefill before decode, go one
 * by one to the CTA that has the least cost so far, where a piece costs 2 × the query rows of its tile + its keys.
 */
import { ceilDiv, roundUp } from '../../units';
import { ScheduleBuilder } from '../builder';
import { LeastLoaded } from '../least-loaded';
import type { Machine } from '../machine';
import type { AttentionProblem } from '../problem';
import { type QueryTile, queryTilesOfHead } from '../query-tiles';
import type { Schedule } from '../schedule';

/** Requests with more query rows than this are prefill. */
const DECODE_ROWS = 16;
const MIN_LIMIT = 128;
const LIMIT_STEP = 256;

/** Counts what a tile's rows cost beside its keys, so that short ranges of many rows aren't taken for nothing. */
export function balanced(problem: AttentionProblem, machine: Machine): Schedule {
  const builder = new ScheduleBuilder('balanced', problem, machine);
  const { numKvHeads, qoIndptr, groupSize } = problem;
  const { queryRows } = machine.tileClasses[builder.tileClass];
  const prefill: QueryTile[] = [];
  const decode: QueryTile[] = [];
  let totalTokens = 0;
  for (const tile of queryTilesOfHead(problem, queryRows)) {
    const rows = (qoIndptr[tile.request + 1] - qoIndptr[tile.request]) * groupSize;
    (rows > DECODE_ROWS ? prefill : decode).push(tile);
    totalTokens += tile.kvEnd - tile.kvStart;
  }
  const share = ceilDiv(totalTokens * numKvHeads, builder.numCtas);
  const limit = share <= MIN_LIMIT ? MIN_LIMIT : roundUp(share, LIMIT_STEP);
  const prefillLimit = limit / Math.min(numKvHeads, 2);

  const loads = new LeastLoaded(builder.numCtas);
  // Loads are int32; batches beyond that are weighed in coarser units.
  const numTiles = prefill.length + decode.length;
  const most =
    (totalTokens + numTiles * (limit + 2 * queryRows) + (2 * queryRows * totalTokens) / MIN_LIMIT) * numKvHeads;
  const coarseness = Math.max(1, most / LeastLoaded.MAX_LOAD);
  const place = (tiles: readonly QueryTile[], tileRows: number, longest: number): void => {
    const cuts: number[] = [];
    for (const tile of tiles) {
      cuts.length = 0;
      for (let cut = tile.kvStart + longest; cut < tile.kvEnd; cut += longest) cuts.push(cut);
      const ctas: Int32Array[] = Array.from({ length: numKvHeads }, () => new Int32Array(cuts.length + 1));
      for (let piece = 0; piece <= cuts.length; piece++) {
        const start = piece === 0 ? tile.kvStart : cuts[piece - 1];
        const end = piece === cuts.length ? tile.kvEnd : cuts[piece];
        const cost = Math.floor((2 * tileRows + end - start) / coarseness);
        for (let head = 0; head < numKvHeads; head++) ctas[head][piece] = loads.take(cost);
      }
      for (let head = 0; head < numKvHeads; head++) {
        tile.kvHead = head;
        builder.split(tile, cuts, ctas[head]);
      }
    }
  };
  place(prefill, queryRows, prefillLimit);
  place(decode, Math.min(DECODE_ROWS, queryRows), limit);
  return builder.build('explicit', { kvLimitTokens: limit, prefillKvLimitTokens: prefillLimit });
}
