/**
 * The Schedule: work tiles dealt out to CTAs, and the merge groups that say which partial states make up which output
 * rows. Immutable once built; the kernels, the CPU device, the charts and the simulator all read this object.
 *
 * It knows lengths, not memory: page numbers are filled in when it is packed (pack.ts). The tables of a built-in policy's
 * schedule are made when they are first looked at; packing doesn't need them.
 */
import { WarpbookError } from '../errors';
import type { Machine } from './machine';
import type { AttentionProblem } from './problem';
import { MadeTables, makeTables, type ScheduleTables, type TableSource } from './table-source';
import { type DispatchKind, TILE, TILE_STRIDE } from './work-tile';

export type { ScheduleTables };

/** A policy: a pure function. The same problem and machine must give the same schedule. */
export type Policy = (problem: AttentionProblem, machine: Machine) => Schedule;

/** One tile as an object, for reading in a cell; see {@link Schedule.tile}. */
export type TileView = { readonly [K in keyof typeof TILE]: number } & { readonly cta: number };

export class Schedule implements ScheduleTables {
  readonly policy: string;
  readonly problem: AttentionProblem;
  readonly machine: Machine;
  /** What the policy decided, for people: `{ kvChunkSizeTokens: 512 }`. */
  readonly decisions: Readonly<Record<string, number | string>>;
  private made: ScheduleTables | undefined;
  private from: TableSource;

  /**
   * @param tables the tables themselves, such as `{ ...schedule.tables, dispatch: 'queue' }`
   * @throws WarpbookError INVALID_SCHEDULE where a table is missing
   */
  constructor(
    policy: string,
    problem: AttentionProblem,
    machine: Machine,
    tables: ScheduleTables | TableSource,
    decisions: Record<string, number | string> = {},
  ) {
    this.policy = policy;
    this.problem = problem;
    this.machine = machine;
    this.decisions = decisions;
    if ('write' in tables) {
      this.from = tables;
    } else {
      requireTables(tables);
      this.made = tables;
      this.from = new MadeTables(tables);
    }
  }

  /** All tables as one plain object, to be spread into another schedule's. */
  get tables(): ScheduleTables {
    if (!this.made) {
      this.made = makeTables(this.from);
      // Whoever has the tables may write into them, and packs what was written.
      this.from = new MadeTables(this.made);
    }
    return this.made;
  }
  /** @internal What packing reads. */
  get source(): TableSource {
    return this.from;
  }
  get tiles(): Int32Array {
    return this.tables.tiles;
  }
  get ctaIndptr(): Int32Array {
    return this.tables.ctaIndptr;
  }
  get dispatch(): DispatchKind {
    return this.source.dispatch;
  }
  get kvSequences(): Int32Array {
    return this.tables.kvSequences;
  }
  get rows(): Int32Array {
    return this.tables.rows;
  }
  get segments(): Int32Array {
    return this.tables.segments;
  }
  get mergeGroups(): Int32Array {
    return this.tables.mergeGroups;
  }
  get mergeSlots(): Int32Array {
    return this.tables.mergeSlots;
  }
  get numPartialRows(): number {
    return this.source.counts.numPartialRows;
  }
  get numTiles(): number {
    return this.source.counts.numTiles;
  }
  get numCtas(): number {
    return this.source.counts.numCtas;
  }
  get numKvSequences(): number {
    return this.source.counts.numKvSequences;
  }
  get numRows(): number {
    return this.source.counts.numRows;
  }
  get numSegments(): number {
    return this.source.counts.numSegments;
  }
  get numMergeGroups(): number {
    return this.source.counts.numMergeGroups;
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

  /** Bytes of K and V that the tiles read; a prefix that a tile attends for many requests counts once. */
  get kvBytesRead(): number {
    let tokens = 0;
    for (let at = 0; at < this.tiles.length; at += TILE_STRIDE) {
      tokens += this.tiles[at + TILE.kvEnd] - this.tiles[at + TILE.kvStart];
    }
    return tokens * this.problem.headDim * 2 * this.problem.kvElementBytes;
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

const TABLES = ['tiles', 'ctaIndptr', 'kvSequences', 'rows', 'segments', 'mergeGroups', 'mergeSlots'] as const;

/** Spreading a Schedule copies no table, since they are getters: that is told here. */
function requireTables(tables: ScheduleTables): void {
  for (const name of TABLES) {
    if (tables[name] !== undefined) continue;
    throw new WarpbookError(
      'INVALID_SCHEDULE',
      `Got a schedule's tables without ${name}; wanted all of ${TABLES.join(', ')}. To change some tables of a schedule, ` +
        'spread its tables: { ...schedule.tables, … }.',
    );
  }
}
