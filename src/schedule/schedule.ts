/**
 * The Schedule: work tiles dealt out to CTAs, and the merge groups that say which partial states make up which output
 * rows. Immutable once built; the kernels, the CPU device, the charts and the simulator all read this object.
 *
 * It knows lengths, not memory: page numbers are filled in when it is packed (pack.ts).
 */
import type { Machine } from './machine';
import type { AttentionProblem } from './problem';
import {
  type DispatchKind,
  KV_SEQUENCE_STRIDE,
  MERGE_GROUP_STRIDE,
  ROW_STRIDE,
  SEGMENT_STRIDE,
  TILE,
  TILE_STRIDE,
} from './work-tile';

/** A policy: a pure function. The same problem and machine must give the same schedule. */
export type Policy = (problem: AttentionProblem, machine: Machine) => Schedule;

/** The tables of a schedule; strides and field offsets are those of work-tile.ts. */
export interface ScheduleTables {
  /** int32 [numTiles, TILE_STRIDE], ordered by CTA. */
  tiles: Int32Array;
  /** int32 [numCtas + 1]: CTA c owns tiles [ctaIndptr[c], ctaIndptr[c + 1]). */
  ctaIndptr: Int32Array;
  dispatch: DispatchKind;
  /** int32 [numKvSequences, KV_SEQUENCE_STRIDE]; pageStart counts from the first page of the request. */
  kvSequences: Int32Array;
  /** int32 [numRows, ROW_STRIDE]; empty unless rows are gathered. */
  rows: Int32Array;
  /** int32 [numSegments, SEGMENT_STRIDE] */
  segments: Int32Array;
  /** int32 [numMergeGroups, MERGE_GROUP_STRIDE] */
  mergeGroups: Int32Array;
  /** int32 [numMergeSlots] */
  mergeSlots: Int32Array;
  /** Rows of partial state that the tiles write. */
  numPartialRows: number;
}

/** One tile as an object, for reading in a cell; see {@link Schedule.tile}. */
export type TileView = { readonly [K in keyof typeof TILE]: number } & { readonly cta: number };

export class Schedule implements ScheduleTables {
  readonly policy: string;
  readonly problem: AttentionProblem;
  readonly machine: Machine;
  readonly tiles: Int32Array;
  readonly ctaIndptr: Int32Array;
  readonly dispatch: DispatchKind;
  readonly kvSequences: Int32Array;
  readonly rows: Int32Array;
  readonly segments: Int32Array;
  readonly mergeGroups: Int32Array;
  readonly mergeSlots: Int32Array;
  readonly numPartialRows: number;
  /** What the policy decided, for people: `{ kvChunkSizeTokens: 512 }`. */
  readonly decisions: Readonly<Record<string, number | string>>;

  constructor(
    policy: string,
    problem: AttentionProblem,
    machine: Machine,
    tables: ScheduleTables,
    decisions: Record<string, number | string> = {},
  ) {
    this.policy = policy;
    this.problem = problem;
    this.machine = machine;
    this.tiles = tables.tiles;
    this.ctaIndptr = tables.ctaIndptr;
    this.dispatch = tables.dispatch;
    this.kvSequences = tables.kvSequences;
    this.rows = tables.rows;
    this.segments = tables.segments;
    this.mergeGroups = tables.mergeGroups;
    this.mergeSlots = tables.mergeSlots;
    this.numPartialRows = tables.numPartialRows;
    this.decisions = decisions;
  }

  get numTiles(): number {
    return this.tiles.length / TILE_STRIDE;
  }
  get numCtas(): number {
    return this.ctaIndptr.length - 1;
  }
  get numKvSequences(): number {
    return this.kvSequences.length / KV_SEQUENCE_STRIDE;
  }
  get numRows(): number {
    return this.rows.length / ROW_STRIDE;
  }
  get numSegments(): number {
    return this.segments.length / SEGMENT_STRIDE;
  }
  get numMergeGroups(): number {
    return this.mergeGroups.length / MERGE_GROUP_STRIDE;
  }

  /** Tile `index` as an object, with the CTA that owns it. */
  tile(index: number): TileView {
    const view: Record<string, number> = {};
    for (const [name, offset] of Object.entries(TILE)) view[name] = this.tiles[index * TILE_STRIDE + offset];
    let cta = 0;
    while (cta + 1 < this.numCtas && this.ctaIndptr[cta + 1] <= index) cta++;
    view.cta = cta;
    return view as unknown as TileView;
  }

  /** KV tokens that each CTA attends to, summed over its tiles; float64 [numCtas]. */
  tokensPerCta(): Float64Array {
    const tokens = new Float64Array(this.numCtas);
    for (let cta = 0; cta < this.numCtas; cta++) {
      for (let t = this.ctaIndptr[cta]; t < this.ctaIndptr[cta + 1]; t++) {
        const at = t * TILE_STRIDE;
        tokens[cta] += this.tiles[at + TILE.kvEnd] - this.tiles[at + TILE.kvStart];
      }
    }
    return tokens;
  }

  /** Bytes of partial output and LSE that the tiles write and the merge reads (float32). */
  get partialBytes(): number {
    return this.numPartialRows * (this.problem.headDim + 1) * 4;
  }

  /** The largest CTA's tokens over the mean: 1 is perfectly even. */
  get imbalance(): number {
    const tokens = this.tokensPerCta();
    let sum = 0;
    let max = 0;
    for (const t of tokens) {
      sum += t;
      if (t > max) max = t;
    }
    return sum === 0 ? 1 : max / (sum / tokens.length);
  }

  toString(): string {
    const { batchSize, numQoHeads, numKvHeads } = this.problem;
    return (
      `Schedule(${this.policy}: ${batchSize} requests, ${numQoHeads}/${numKvHeads} heads → ${this.numTiles} tiles on ` +
      `${this.numCtas} CTAs, ${this.numMergeGroups} merges, imbalance ${this.imbalance.toFixed(2)})`
    );
  }
}
