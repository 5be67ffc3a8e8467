/**
 * Builds a Schedule tile by tile: what a policy is written with.
 *
 * A policy walks over the *query tiles* (up to `queryRows` rows of one request and KV head, with the keys they can see),
 * cuts each one's KV range or leaves it whole, and then deals the tiles out to CTAs. Partial slots, merge groups, mask
 * flags and the order by CTA follow from that and are filled in here.
 */
import { requireInteger, WarpbookError } from '../errors';
import type { TileSource } from './coverage';
import { type Dealing, deal } from './deal';
import { longestFirstOrder } from './helpers';
import { type Machine, numCtaSlots } from './machine';
import { type AttentionProblem, queryPosition } from './problem';
import { forEachQueryTile, type QueryTile } from './query-tiles';
import { Schedule } from './schedule';
import {
  type DispatchKind,
  KV_SEQUENCE,
  KV_SEQUENCE_STRIDE,
  MERGE_GROUP_STRIDE,
  TILE,
  TILE_FLAG,
  TILE_STRIDE,
} from './work-tile';

/** Options of {@link ScheduleBuilder}. */
export interface BuilderOptions {
  /** Index into the machine's tile classes; default 0. */
  tileClass?: number;
  dispatch?: DispatchKind;
  /** Send every tile through partial states and a merge, also where a query tile isn't cut; default false. */
  alwaysPartial?: boolean;
}

/**
 * Growing buffers that builders hand on to each other: a plan a step would otherwise allocate and fault in half a
 * megabyte each time. A builder takes the spare pair when it is made and gives it back in build().
 */
interface Scratch {
  tiles: Int32Array;
  ctas: Int32Array;
}
let spare: Scratch | undefined;
const INITIAL_TILES = 1024;
/** The builder that was made last. */
const builders: { latest: ScheduleBuilder | undefined } = { latest: undefined };

/** Answers later with the builder that was made last from now on. */
export function watchBuilders(): () => ScheduleBuilder | undefined {
  builders.latest = undefined;
  return () => builders.latest;
}
/** A schedule of more tiles is a mistake; without a limit, one in a loop would take all memory. */
const MAX_TILES = 2 ** 22;

function takeScratch(): Scratch {
  const scratch = spare ?? { tiles: new Int32Array(INITIAL_TILES * TILE_STRIDE), ctas: new Int32Array(INITIAL_TILES) };
  spare = undefined;
  return scratch;
}

/** Builds a schedule out of query tiles: keeps slots, merge groups, mask flags and order in step while a policy says where to cut. */
export class ScheduleBuilder {
  readonly problem: AttentionProblem;
  readonly machine: Machine;
  readonly tileClass: number;
  /** CTA slots of the machine for this tile class. */
  readonly numCtas: number;
  private readonly dispatch: DispatchKind;
  private readonly alwaysPartial: boolean;
  private readonly policy: string;
  private tiles: Int32Array;
  private ctas: Int32Array;
  private built = false;
  private numTiles = 0;
  private groups: number[] = [];
  private slots: number[] = [];
  private numPartialRows = 0;
  /** The query tile that was handed out or added last. */
  private latest: QueryTile | undefined;

  constructor(policy: string, problem: AttentionProblem, machine: Machine, options: BuilderOptions = {}) {
    this.policy = policy;
    this.problem = problem;
    this.machine = machine;
    this.tileClass = options.tileClass ?? 0;
    this.dispatch = options.dispatch ?? 'static';
    this.alwaysPartial = options.alwaysPartial ?? false;
    if (!machine.tileClasses?.[this.tileClass]) {
      throw new WarpbookError(
        'INVALID_ARGUMENT',
        `tileClass ${this.tileClass} does not exist on ${machine.name}; it has ${machine.tileClasses?.length ?? 0}.`,
      );
    }
    this.numCtas = numCtaSlots(machine, this.tileClass);
    ({ tiles: this.tiles, ctas: this.ctas } = takeScratch());
    builders.latest = this;
  }

  /** How far a policy has come: for the error of one that throws or hangs. */
  progress(): { numTiles: number; tile: QueryTile | undefined; source: TileSource } {
    const { problem, numTiles, tiles } = this;
    const source = { problem, numTiles, tiles, rows: new Int32Array(0), kvSequences: sequencePerRequest(problem) };
    return { numTiles, tile: this.latest && { ...this.latest }, source };
  }

  /** Calls `visit` for every query tile, requests first, then rows, then KV heads. The object is reused between calls. */
  forEachQueryTile(visit: (tile: QueryTile) => void): void {
    forEachQueryTile(this.problem, this.machine.tileClasses[this.tileClass].queryRows, (tile) => {
      this.latest = tile;
      visit(tile);
    });
  }

  /**
   * All query tiles as separate objects, for policies that sort or pick among them.
   * @param tileClass cut for this tile class, and to be added as tiles of it; default: the builder's
   */
  queryTiles(tileClass: number = this.tileClass): QueryTile[] {
    const all: QueryTile[] = [];
    const { queryRows } = this.machine.tileClasses[tileClass];
    forEachQueryTile(this.problem, queryRows, (tile) => {
      // Field by field: spreading takes five times as long.
      const { request, kvHead, rowStart, rowCount, kvStart, kvEnd, fullStart, fullEnd } = tile;
      all.push({ request, kvHead, rowStart, rowCount, kvStart, kvEnd, fullStart, fullEnd, tileClass });
    });
    return all;
  }

  /** One work tile for the whole KV range of a query tile. */
  add(tile: QueryTile, cta: number = 0): void {
    if (!this.alwaysPartial) {
      this.push(tile, tile.kvStart, tile.kvEnd, -1, -1, cta);
      return;
    }
    const group = this.beginGroup(tile, 1);
    this.push(tile, tile.kvStart, tile.kvEnd, this.slots[this.slots.length - 1], group, cta);
  }

  /**
   * Cuts a query tile's KV range at multiples of `chunk` tokens and adds a work tile for each piece.
   * @param chunk tokens, at least 1
   */
  splitByChunk(tile: QueryTile, chunk: number, cta: number = 0): void {
    if (!(chunk >= 1) || !Number.isInteger(chunk)) requireInteger('splitByChunk: chunk', chunk, 1);
    const first = Math.floor(tile.kvStart / chunk);
    const pieces = Math.max(1, Math.ceil(tile.kvEnd / chunk) - first);
    if (pieces === 1) {
      this.add(tile, cta);
      return;
    }
    const group = this.beginGroup(tile, pieces);
    for (let i = 0; i < pieces; i++) {
      const start = Math.max(tile.kvStart, (first + i) * chunk);
      const end = Math.min(tile.kvEnd, (first + i + 1) * chunk);
      this.push(tile, start, end, this.slots[this.slots.length - pieces + i], group, cta);
    }
  }

  /**
   * Cuts a query tile's KV range at the given positions and adds a work tile for each piece.
   * @param cuts increasing token positions strictly inside (kvStart, kvEnd); empty: one tile
   * @param ctas CTA of each piece (cuts.length + 1 entries), with `build('explicit')`
   */
  split(tile: QueryTile, cuts: ArrayLike<number>, ctas?: ArrayLike<number>): void {
    const pieces = cuts.length + 1;
    if (pieces === 1) {
      this.add(tile, ctas ? ctas[0] : 0);
      return;
    }
    checkCuts(tile, cuts);
    const group = this.beginGroup(tile, pieces);
    for (let i = 0; i < pieces; i++) {
      const start = i === 0 ? tile.kvStart : cuts[i - 1];
      const end = i === pieces - 1 ? tile.kvEnd : cuts[i];
      this.push(tile, start, end, this.slots[this.slots.length - pieces + i], group, ctas ? ctas[i] : 0);
    }
  }

  private beginGroup(tile: QueryTile, pieces: number): number {
    const group = this.groups.length / MERGE_GROUP_STRIDE;
    this.groups.push(tile.rowStart, tile.rowCount, tile.kvHead, this.slots.length, pieces, 0, 0, 0);
    for (let i = 0; i < pieces; i++) {
      this.slots.push(this.numPartialRows);
      this.numPartialRows += tile.rowCount;
    }
    return group;
  }

  private push(tile: QueryTile, kvStart: number, kvEnd: number, slot: number, group: number, cta: number): void {
    this.latest = tile;
    const index = this.numTiles++;
    if (index === this.ctas.length) this.grow();
    const at = index * TILE_STRIDE;
    const words = this.tiles;
    words[at + TILE.tileClass] = tile.tileClass ?? this.tileClass;
    words[at + TILE.kvHead] = tile.kvHead;
    words[at + TILE.kvSeq] = tile.request;
    words[at + TILE.rowStart] = tile.rowStart;
    words[at + TILE.rowCount] = tile.rowCount;
    words[at + TILE.kvStart] = kvStart;
    words[at + TILE.kvEnd] = kvEnd;
    words[at + TILE.segStart] = 0;
    words[at + TILE.segCount] = 0;
    words[at + TILE.partialSlot] = slot;
    words[at + TILE.mergeGroup] = group;
    words[at + TILE.flags] = kvStart < tile.fullStart || kvEnd > tile.fullEnd ? TILE_FLAG.needsMask : 0;
    words[at + TILE.request] = tile.request;
    words[at + TILE.pageStart] = 0;
    words[at + TILE.qoPositionBase] = queryPosition(this.problem, tile.request, 0);
    words[at + TILE.mergeGroupCount] = group < 0 ? 0 : 1;
    this.ctas[index] = cta;
  }

  private grow(): void {
    if (this.numTiles > MAX_TILES) {
      throw new WarpbookError(
        'INVALID_POLICY',
        `Policy ${this.policy} added more than ${MAX_TILES} tiles for ${this.problem.batchSize} requests; does it loop?`,
      );
    }
    const tiles = new Int32Array(this.tiles.length * 2);
    tiles.set(this.tiles);
    this.tiles = tiles;
    const ctas = new Int32Array(this.ctas.length * 2);
    ctas.set(this.ctas);
    this.ctas = ctas;
  }

  /** Puts the tiles added so far in the order of their keys, longest first; equal ones keep their order. For a queue. */
  sortLongestFirst(): void {
    const { numTiles, tiles } = this;
    const lengths = new Int32Array(numTiles);
    for (let t = 0; t < numTiles; t++) {
      lengths[t] = tiles[t * TILE_STRIDE + TILE.kvEnd] - tiles[t * TILE_STRIDE + TILE.kvStart];
    }
    this.reorder(longestFirstOrder(lengths));
  }

  /**
   * Puts the tiles added so far in another order: that of a queue, or within CTAs.
   * @param order which of the tiles, counted as they were added, comes first, second, …: each of them once
   * @throws WarpbookError INVALID_ARGUMENT
   */
  reorder(order: ArrayLike<number>): void {
    const { numTiles, tiles, ctas } = this;
    const ctasBefore = ctas.slice(0, numTiles);
    const placed = new Uint8Array(numTiles);
    const before = tiles.slice(0, numTiles * TILE_STRIDE);
    for (let t = 0; t < numTiles; t++) {
      const from = order[t];
      if (order.length !== numTiles || !(from >= 0 && from < numTiles) || placed[from]++ > 0) {
        tiles.set(before);
        const what = `reorder: order[${t}] of ${order.length} is ${from}; wanted each number below ${numTiles} once.`;
        throw new WarpbookError('INVALID_ARGUMENT', what);
      }
      for (let w = 0; w < TILE_STRIDE; w++) tiles[t * TILE_STRIDE + w] = before[from * TILE_STRIDE + w];
      ctas[t] = ctasBefore[from];
    }
  }

  /**
   * Deals the tiles out and returns the schedule.
   * @param dealing default `longestFirst`; within a CTA tiles keep the order in which they were added
   * @param decisions what the policy decided, shown to people
   */
  build(dealing: Dealing = 'longestFirst', decisions: Record<string, number | string> = {}): Schedule {
    const { numTiles, numCtas } = this;
    if (this.built)
      throw new WarpbookError('INVALID_ARGUMENT', 'build() was called twice on one ScheduleBuilder; make another.');
    this.built = true;
    builders.latest = undefined;
    deal(dealing, this.tiles, numTiles, this.ctas, numCtas);
    const { ordered, ctaIndptr } = orderByCta(this.policy, this.tiles, numTiles, this.ctas, numCtas);
    spare = { tiles: this.tiles, ctas: this.ctas };
    return new Schedule(
      this.policy,
      this.problem,
      this.machine,
      {
        tiles: ordered,
        ctaIndptr,
        dispatch: this.dispatch,
        kvSequences: sequencePerRequest(this.problem),
        rows: new Int32Array(0),
        segments: new Int32Array(0),
        mergeGroups: Int32Array.from(this.groups),
        mergeSlots: Int32Array.from(this.slots),
        numPartialRows: this.numPartialRows,
      },
      decisions,
    );
  }
}

/**
 * Tiles in the order of their CTAs; within a CTA they keep theirs.
 * @param tiles records from the start of their buffer on
 * @throws WarpbookError INVALID_SCHEDULE for a CTA that the machine hasn't
 */
export function orderByCta(
  policy: string,
  tiles: Int32Array,
  numTiles: number,
  ctas: ArrayLike<number>,
  numCtas: number,
): { ordered: Int32Array; ctaIndptr: Int32Array } {
  const ctaIndptr = new Int32Array(numCtas + 1);
  for (let t = 0; t < numTiles; t++) {
    const cta = ctas[t];
    if (!(cta >= 0 && cta < numCtas)) {
      throw new WarpbookError(
        'INVALID_SCHEDULE',
        `Policy ${policy} put a tile on CTA ${cta}; the machine has ${numCtas}.`,
      );
    }
    ctaIndptr[cta + 1]++;
  }
  for (let c = 0; c < numCtas; c++) ctaIndptr[c + 1] += ctaIndptr[c];
  const next = ctaIndptr.slice(0, numCtas);
  const ordered = new Int32Array(numTiles * TILE_STRIDE);
  // Records move as 64-bit words: half the steps.
  const stride = TILE_STRIDE / 2;
  const target = new BigInt64Array(ordered.buffer);
  const source = new BigInt64Array(tiles.buffer, tiles.byteOffset, numTiles * stride);
  for (let t = 0; t < numTiles; t++) {
    const to = next[ctas[t]]++ * stride;
    const from = t * stride;
    for (let w = 0; w < stride; w++) target[to + w] = source[from + w];
  }
  return { ordered, ctaIndptr };
}

/** Cuts lie strictly inside the tile's range and increase; anything else would make empty or overlapping pieces. */
function checkCuts(tile: QueryTile, cuts: ArrayLike<number>): void {
  let previous = tile.kvStart;
  for (let i = 0; i < cuts.length; i++) {
    if (!Number.isInteger(cuts[i]) || cuts[i] <= previous || cuts[i] >= tile.kvEnd) {
      throw new WarpbookError(
        'INVALID_ARGUMENT',
        `split: cuts[${i}] is ${cuts[i]}; wanted an integer above ${previous} and below ${tile.kvEnd} ` +
          `(request ${tile.request}, KV head ${tile.kvHead}, KV range [${tile.kvStart}, ${tile.kvEnd})).`,
      );
    }
    previous = cuts[i];
  }
}

/** The plain table of KV sequences: one for each request, its own pages from the first on. */
export function sequencePerRequest(problem: AttentionProblem): Int32Array {
  const table = new Int32Array(problem.batchSize * KV_SEQUENCE_STRIDE);
  for (let r = 0; r < problem.batchSize; r++) {
    table[r * KV_SEQUENCE_STRIDE + KV_SEQUENCE.kvLen] = problem.kvLens[r];
    table[r * KV_SEQUENCE_STRIDE + KV_SEQUENCE.request] = r;
  }
  return table;
}
