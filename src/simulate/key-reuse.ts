/**
 * Which keys come from the L2 instead of memory, while tiles are under way. Several tiles of a launch may read the same keys: query
 * tiles of one prompt, say. A tile finds in the L2 what another one has read before it, if that wasn't long ago: a cache that
 * drops what was used longest ago still holds it if all that was read since then fits.
 *
 * Tiles walk over their keys at about the same speed. So at any moment how long ago a key was read is how many tokens ahead its last
 * reader is by now, and what was read meanwhile is the union of as many tokens behind each reader. The largest lead for which that
 * union fits the cache is the window: who follows another reader within it reads from the L2.
 */
import type { Schedule } from '../schedule/schedule';
import { TILE, TILE_STRIDE } from '../schedule/work-tile';
import type { EventHeap } from './event-heap';
import type { TileCosts } from './tile-costs';

/**
 * Share of the L2 that holds different lines where all SMs read the same ones: on GPUs of this size it has two halves, and each keeps
 * its own copy of what its SMs read.
 */
const L2_SHARE = 0.5;
/** Looks while a mean tile is read, and while as many tiles begin as there are CTAs. */
const LOOKS = 4;
/** Bisections of the window: to a thousandth of the longest lead. */
const BISECTIONS = 10;
/** More tokens than a sequence has. */
const FAR = 2 ** 31;

/**
 * Where the CTAs of a launch are in their keys. Each CTA is a reader twice: reader `cta` is at its present tile, reader `numCtas + cta` at
 * the one before, which has left its keys in the L2.
 */
export class KeyReuse {
  private readonly numCtas: number;
  /** Tokens that the cache holds. */
  private readonly room: number;
  /** Time between looks, by the clock of the streams. */
  private readonly interval: number;
  // By tile: its sequence and head, and its range.
  private readonly keys: Int32Array;
  private readonly starts: Int32Array;
  private readonly ends: Int32Array;
  // By reader: its tile, −1 for none; the token that it is at, beyond the tile's end once it has ended; when that was, and how fast it
  // was, tokens a nanosecond; and its place in the order.
  private readonly tile: Int32Array;
  private readonly at: Float64Array;
  private readonly ended: Float64Array;
  private readonly speed: Float64Array;
  private readonly rank: Float64Array;
  /** By CTA: half of the tokens that it reads until the next look. */
  private readonly stride: Float64Array;
  /** Readers with a tile, by sequence and head; of one those that have read furthest come first. */
  private readonly order: Int32Array;
  private count = 0;
  // By CTA: whether its present tile reads from the L2, whether that is new, how much of the tile has been counted, and its bytes from
  // memory so far.
  private readonly hot: Uint8Array;
  private readonly turned: Uint8Array;
  private readonly counted: Float64Array;
  private readonly coldBytes: Float64Array;
  private begun = 0;
  private nextLook = 0;

  constructor(
    schedule: Schedule,
    private readonly costs: TileCosts,
  ) {
    const { problem, machine, numCtas, tiles } = schedule;
    const { numTiles } = costs.work;
    this.numCtas = numCtas;
    this.room = (L2_SHARE * machine.l2Bytes) / (2 * problem.headDim * problem.kvElementBytes);
    this.keys = new Int32Array(numTiles);
    this.starts = new Int32Array(numTiles);
    this.ends = new Int32Array(numTiles);
    let totalNs = 0;
    for (let t = 0, at = 0; t < numTiles; t++, at += TILE_STRIDE) {
      this.keys[t] = tiles[at + TILE.kvSeq] * problem.numKvHeads + tiles[at + TILE.kvHead];
      this.starts[t] = tiles[at + TILE.kvStart];
      this.ends[t] = tiles[at + TILE.kvEnd];
      totalNs += costs.streamNs[t];
    }
    this.interval = totalNs / numTiles / LOOKS;
    const readers = 2 * numCtas;
    this.tile = new Int32Array(readers).fill(-1);
    this.at = new Float64Array(readers);
    this.ended = new Float64Array(readers);
    this.speed = new Float64Array(readers);
    this.rank = new Float64Array(readers);
    this.stride = new Float64Array(numCtas);
    this.order = new Int32Array(readers);
    this.hot = new Uint8Array(numCtas);
    this.turned = new Uint8Array(numCtas);
    this.counted = new Float64Array(numCtas);
    this.coldBytes = new Float64Array(numCtas);
  }

  /** A CTA begins a tile. Until the next look it reads from where its last tile did. */
  start(cta: number, tile: number): void {
    if (this.tile[cta] >= 0) {
      const past = this.numCtas + cta;
      this.put(past, this.tile[cta]);
      this.ended[past] = this.ended[cta];
      this.speed[past] = this.speed[cta];
    }
    this.put(cta, tile);
    this.counted[cta] = 0;
    this.coldBytes[cta] = 0;
    this.begun++;
  }

  private put(reader: number, tile: number): void {
    if (this.tile[reader] < 0) this.order[this.count++] = reader;
    this.tile[reader] = tile;
  }

  /** Bytes that a CTA's present tile asks memory for, if it goes on to its end as it is now. */
  bytesAsked(cta: number): number {
    const tile = this.tile[cta];
    return this.hot[cta] ? this.costs.hotBytes[tile] : this.costs.coldBytes[tile];
  }

  /**
   * A CTA has read all keys of its tile.
   * @param length of its stream, by the clock
   * @returns bytes of the keys that came from memory
   */
  finish(cta: number, clock: number, length: number): number {
    const tile = this.tile[cta];
    this.countUpTo(cta, 1);
    this.ended[cta] = clock;
    this.speed[cta] = length > 0 ? (this.ends[tile] - this.starts[tile]) / length : 0;
    return this.coldBytes[cta];
  }

  /** Whether so many tiles have begun, or so much time has passed, that another look is due. */
  isDue(clock: number): boolean {
    return this.begun * LOOKS >= this.numCtas || clock >= this.nextLook;
  }

  /**
   * Finds out who reads from the L2.
   * @param streams when the present tiles' streams end; CTAs between tiles have none
   * @param lengths how long these streams are in all, by CTA
   */
  look(clock: number, streams: EventHeap, lengths: Float64Array): void {
    const { numCtas, tile, at, rank, order, count } = this;
    this.begun = 0;
    this.nextLook = clock + this.interval;
    for (let o = 0; o < count; o++) {
      const reader = order[o];
      const t = tile[reader];
      const end = reader < numCtas ? streams.keyOf(reader) : undefined;
      if (end === undefined) {
        at[reader] = this.ends[t] + (clock - this.ended[reader]) * this.speed[reader];
      } else {
        const left = (end - clock) / lengths[reader];
        this.countUpTo(reader, 1 - left);
        const range = this.ends[t] - this.starts[t];
        at[reader] = this.ends[t] - left * range;
        this.stride[reader] = (0.5 * range * this.interval) / lengths[reader];
      }
      rank[reader] = this.keys[t] * FAR - Math.min(at[reader], this.ends[t]);
    }
    this.sort();
    this.findHot();
  }

  /** Whether the last look has found that a CTA reads from elsewhere than before. */
  hasTurned(cta: number): boolean {
    return this.turned[cta] === 1;
  }

  private countUpTo(cta: number, progress: number): void {
    const { bytes, firstPass } = this.costs.work;
    const tile = this.tile[cta];
    if (!this.hot[cta]) this.coldBytes[cta] += (progress - this.counted[cta]) * bytes[tile] * firstPass[tile];
    this.counted[cta] = progress;
  }

  /** By insertion: little changes from look to look. */
  private sort(): void {
    const { order, rank, count } = this;
    for (let i = 1; i < count; i++) {
      const reader = order[i];
      let place = i;
      for (; place > 0 && rank[order[place - 1]] > rank[reader]; place--) order[place] = order[place - 1];
      order[place] = reader;
    }
  }

  private findHot(): void {
    const { keys, starts, ends, tile, at, stride, hot, numCtas, order, count } = this;
    const window = this.window();
    for (let from = 0, to = 0; from < count; from = to) {
      const key = keys[tile[order[from]]];
      while (to < count && keys[tile[order[to]]] === key) to++;
      for (let o = from; o < to; o++) {
        const reader = order[o];
        if (reader >= numCtas) continue;
        let found = 0;
        for (let p = from; p < to && found === 0; p++) {
          const other = order[p];
          const lead = at[other] - at[reader];
          // Of readers that are side by side one reads from memory: the first CTA.
          const ahead = lead > 0 || (lead === 0 && other < reader);
          if (!ahead || lead > window) continue;
          // What it reads in the meantime, for the most part.
          const here = Math.min(at[reader] + stride[reader], ends[tile[reader]] - 1);
          if (starts[tile[other]] <= here && here < ends[tile[other]]) found = 1;
        }
        this.turned[reader] = found ^ hot[reader];
        hot[reader] = found;
      }
    }
  }

  /** The largest lead, tokens, for which all that was read in that time fits. */
  private window(): number {
    if (this.readWithin(Number.POSITIVE_INFINITY) <= this.room) return Number.POSITIVE_INFINITY;
    let fits = 0;
    let most = this.room;
    for (let i = 0; i < BISECTIONS; i++) {
      const lead = (fits + most) / 2;
      if (this.readWithin(lead) <= this.room) fits = lead;
      else most = lead;
    }
    return fits;
  }

  /** Different tokens that were read while readers went on by `lead` tokens. */
  private readWithin(lead: number): number {
    const { keys, starts, ends, tile, at, order, count } = this;
    let sum = 0;
    let key = -1;
    let lowest = 0;
    for (let o = 0; o < count; o++) {
      const reader = order[o];
      const t = tile[reader];
      if (keys[t] !== key) {
        key = keys[t];
        lowest = Number.POSITIVE_INFINITY;
      }
      const from = Math.max(starts[t], at[reader] - lead);
      const to = Math.min(ends[t], at[reader], lowest);
      if (to <= from) continue;
      sum += to - from;
      lowest = from;
    }
    return sum;
  }
}
