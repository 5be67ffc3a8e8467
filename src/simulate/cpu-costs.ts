/**
 * What the CPU device takes for work: the numbers that its simulation computes with. Plain JSON, as the rest of a cost model.
 * Where each of them is spent stands in native/cpu: thread_pool.cc and attention/program.cc, attend.h and merge.h.
 */
import type { Schedule } from '../schedule/schedule';
import { TILE, TILE_STRIDE } from '../schedule/work-tile';
import { workListOf } from './work-list';

/** Costs of the CPU device, nanoseconds of a thread that is alone. */
export interface CpuCosts {
  /** From the end of a launch to the next one's first CTA, on the thread that launches. */
  readonly launchNs: number;
  /** How much later another thread takes its first CTA: one that still waits in a loop, and one that has gone to sleep. */
  readonly joinNs: number;
  readonly wakeNs: number;
  /** What the thread that launches takes to wake one that sleeps. */
  readonly signalNs: number;
  /** A virtual CTA, besides its tiles; a tile, besides its keys; more for each of its rows: queries, sums, the result. */
  readonly ctaNs: number;
  readonly tileNs: number;
  readonly tileRowNs: number;
  /** More for a tile that is drawn from a queue: its keys can't be asked for ahead. */
  readonly drawNs: number;
  /** A block of 64 keys, and each row of it: softmax. As long for few keys as for 64. */
  readonly blockNs: number;
  readonly blockRowNs: number;
  /** A key and its value, by the bytes that the whole launch reads (`CACHE_BYTES`); and each row's products with them. */
  readonly tokenNs: readonly number[];
  readonly tokenRowNs: number;
  /** A merge: each row, and each state of it. */
  readonly mergeRowNs: number;
  readonly mergeStateNs: number;
  /** Speed of a thread while 1, 2, … of them are busy, of a lone one's: they share caches, memory, perhaps cores. */
  readonly pace: readonly number[];
  /**
   * How far threads differ while a launch runs: every other one takes 1 − this, the others 1 + this times as long. A core whose other
   * half is busy for somebody else is slower; which ones, changes. A queue evens that out, a list less.
   */
  readonly threadSpread: number;
}

/**
 * Bytes that a launch reads, for which `tokenNs` tells what a token takes; between them by the logarithm. A launch that is run again
 * and again finds its keys in the caches that hold so much, its own or those that all share.
 */
export const CACHE_BYTES: readonly number[] = [2 ** 20, 2 ** 22, 2 ** 24, 2 ** 26];

/** Keys whose products are summed together (kBlockKeys in native/cpu/attention/kernels.h). */
const BLOCK = 64;

/** float64: what each tile and each merge takes on a thread that is alone, ns. */
export interface CpuTimes {
  readonly tileNs: Float64Array;
  readonly mergeNs: Float64Array;
  /** Tiles that a merge group waits for. */
  readonly groupArrivals: Int32Array;
  /** Keys and values that are read. */
  readonly bytes: number;
}

/** Times of a schedule's items. */
export function cpuTimesOf(schedule: Schedule, costs: CpuCosts): CpuTimes {
  const { tiles, machine, dispatch } = schedule;
  const { numTiles, tokens, bytes, groupStates, groupArrivals } = workListOf(schedule);
  const tileNs = new Float64Array(numTiles);
  const drawNs = dispatch === 'queue' ? costs.drawNs : 0;
  let read = 0;
  for (const one of bytes) read += one;
  const tokenNs = between(CACHE_BYTES, costs.tokenNs, read);
  for (let t = 0, at = 0; t < numTiles; t++, at += TILE_STRIDE) {
    const rows = tiles[at + TILE.rowCount];
    // Rows beyond those that are attended together read the keys again.
    const passes = Math.max(1, Math.ceil(rows / machine.tileClasses[tiles[at + TILE.tileClass]].queryRows));
    const blocks = Math.ceil(tokens[t] / BLOCK);
    tileNs[t] =
      drawNs +
      passes * (costs.tileNs + blocks * costs.blockNs + tokens[t] * tokenNs) +
      rows * (costs.tileRowNs + blocks * costs.blockRowNs + tokens[t] * costs.tokenRowNs);
  }
  const mergeNs = new Float64Array(groupArrivals.length);
  for (let g = 0; g < mergeNs.length; g++) {
    const rows = groupArrivals[g] > 0 ? groupStates[g] / groupArrivals[g] : 0;
    mergeNs[g] = rows * costs.mergeRowNs + groupStates[g] * costs.mergeStateNs;
  }
  return { tileNs, mergeNs, groupArrivals, bytes: read };
}

/** What a value is at `x`, of which `values` are known at rising `points`: linear in the logarithm of x, constant outside. */
function between(points: readonly number[], values: readonly number[], x: number): number {
  if (x <= points[0]) return values[0];
  for (let i = 1; i < points.length; i++) {
    if (x > points[i]) continue;
    const share = Math.log(x / points[i - 1]) / Math.log(points[i] / points[i - 1]);
    return values[i - 1] + share * (values[i] - values[i - 1]);
  }
  return values[values.length - 1];
}
