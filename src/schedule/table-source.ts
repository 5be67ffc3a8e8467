/** How a Schedule comes by its tables: something that can count them and write them, at once or when they are asked for. */
import type { SectionName } from './layout';
import {
  type DispatchKind,
  KV_SEQUENCE,
  KV_SEQUENCE_STRIDE,
  MERGE_GROUP_STRIDE,
  ROW_STRIDE,
  SEGMENT_STRIDE,
  TILE,
  TILE_STRIDE,
} from './work-tile';

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

/** Records of each table. */
export interface TableCounts {
  readonly numTiles: number;
  readonly numCtas: number;
  readonly numKvSequences: number;
  readonly numRows: number;
  readonly numSegments: number;
  readonly numMergeGroups: number;
  readonly numMergeSlots: number;
  readonly numPartialRows: number;
}

/** Where the tables of a schedule come from when somebody looks at them. */
export interface TableSource {
  readonly counts: TableCounts;
  readonly dispatch: DispatchKind;
  /**
   * Writes every table.
   * @param offsets where each section starts in `image`, words
   * @param pageStarts int32 [batchSize]: index of each request's first page; undefined: pages count from the request's own
   */
  write(
    image: Int32Array,
    offsets: Readonly<Record<SectionName, number>>,
    pageStarts: ArrayLike<number> | undefined,
  ): void;
}

/** Words of each section for these counts. */
export function sectionWords(counts: TableCounts): Record<SectionName, number> {
  return {
    ctaIndptr: counts.numCtas + 1,
    tiles: counts.numTiles * TILE_STRIDE,
    kvSequences: counts.numKvSequences * KV_SEQUENCE_STRIDE,
    rows: counts.numRows * ROW_STRIDE,
    segments: counts.numSegments * SEGMENT_STRIDE,
    mergeGroups: counts.numMergeGroups * MERGE_GROUP_STRIDE,
    mergeSlots: counts.numMergeSlots,
  };
}

/** Tables that are there already. */
export class MadeTables implements TableSource {
  readonly counts: TableCounts;
  readonly dispatch: DispatchKind;

  constructor(readonly tables: ScheduleTables) {
    this.dispatch = tables.dispatch;
    this.counts = {
      numTiles: tables.tiles.length / TILE_STRIDE,
      numCtas: tables.ctaIndptr.length - 1,
      numKvSequences: tables.kvSequences.length / KV_SEQUENCE_STRIDE,
      numRows: tables.rows.length / ROW_STRIDE,
      numSegments: tables.segments.length / SEGMENT_STRIDE,
      numMergeGroups: tables.mergeGroups.length / MERGE_GROUP_STRIDE,
      numMergeSlots: tables.mergeSlots.length,
      numPartialRows: tables.numPartialRows,
    };
  }

  write(
    image: Int32Array,
    offsets: Readonly<Record<SectionName, number>>,
    pageStarts: ArrayLike<number> | undefined,
  ): void {
    for (const name of Object.keys(offsets) as SectionName[]) image.set(this.tables[name], offsets[name]);
    if (!pageStarts) return;
    const sequences = offsets.kvSequences;
    for (let s = 0; s < this.counts.numKvSequences; s++) {
      const at = sequences + s * KV_SEQUENCE_STRIDE;
      image[at + KV_SEQUENCE.pageStart] += pageStarts[image[at + KV_SEQUENCE.request]];
    }
    const end = offsets.tiles + this.counts.numTiles * TILE_STRIDE;
    for (let at = offsets.tiles; at < end; at += TILE_STRIDE) {
      const sequence = sequences + image[at + TILE.kvSeq] * KV_SEQUENCE_STRIDE;
      image[at + TILE.pageStart] = image[sequence + KV_SEQUENCE.pageStart];
    }
  }
}

/** Writes a source into tables of their own. */
export function makeTables(source: TableSource): ScheduleTables {
  const words = sectionWords(source.counts);
  const names = Object.keys(words) as SectionName[];
  const offsets = { ...words };
  let total = 0;
  for (const name of names) {
    offsets[name] = total;
    total += words[name];
  }
  const image = new Int32Array(total);
  source.write(image, offsets, undefined);
  const table = (name: SectionName): Int32Array => image.subarray(offsets[name], offsets[name] + words[name]);
  return {
    tiles: table('tiles'),
    ctaIndptr: table('ctaIndptr'),
    dispatch: source.dispatch,
    kvSequences: table('kvSequences'),
    rows: table('rows'),
    segments: table('segments'),
    mergeGroups: table('mergeGroups'),
    mergeSlots: table('mergeSlots'),
    numPartialRows: source.counts.numPartialRows,
  };
}
