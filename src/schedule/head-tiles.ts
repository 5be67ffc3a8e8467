/**
 * Schedules whose cuts are the same for every KV head: what the built-in policies make. They are kept as the pieces of
 * one head and written out, head by head, only where the tables are wanted: at once into a workspace image, or later
 * for a person who looks at them. A plan of 128 requests is 128 pieces then, and 1,024 records that differ in a word.
 *
 * Knows neither why a range was cut nor why a piece went to its group.
 */
import type { SectionName } from './layout';
import type { AttentionProblem } from './problem';
import { QUERY_TILE, QUERY_TILE_STRIDE } from './query-tiles';
import type { TableCounts, TableSource } from './table-source';
import { type HeadPieces, writeSequences, writeTile } from './tile-record';
import { MERGE_GROUP, MERGE_GROUP_STRIDE, TILE, TILE_STRIDE } from './work-tile';

/**
 * Where the pieces go. CTAs [group * width, (group + 1) * width) form a group; it takes `width` heads of a piece, one a
 * CTA. `groups` holds the group of each item, int32 [numPieces * numKvHeads / width]: an item is a piece and the next
 * `width` heads. Without `groups`, tile t goes to CTA t, in the order of query tile, head, piece.
 */
export interface Placement {
  readonly numCtas: number;
  readonly width: number;
  readonly groups?: Int32Array;
}

export class HeadTiles implements TableSource {
  readonly counts: TableCounts;
  readonly dispatch = 'static';
  private readonly numSplit: number;

  constructor(
    private readonly problem: AttentionProblem,
    private readonly pieces: HeadPieces,
    private readonly placement: Placement,
  ) {
    const { queryTiles, pieceIndptr } = pieces;
    const numQueryTiles = pieceIndptr.length - 1;
    let numSplit = 0;
    let numSlots = 0;
    let numPartialRows = 0;
    for (let q = 0; q < numQueryTiles; q++) {
      const count = pieceIndptr[q + 1] - pieceIndptr[q];
      if (count === 1) continue;
      numSplit++;
      numSlots += count;
      numPartialRows += count * queryTiles[q * QUERY_TILE_STRIDE + QUERY_TILE.rowCount];
    }
    const heads = problem.numKvHeads;
    this.numSplit = numSplit;
    this.counts = {
      numTiles: pieceIndptr[numQueryTiles] * heads,
      numCtas: placement.numCtas,
      numKvSequences: problem.batchSize,
      numRows: 0,
      numSegments: 0,
      numMergeGroups: numSplit * heads,
      numMergeSlots: numSlots * heads,
      numPartialRows: numPartialRows * heads,
    };
  }

  write(
    image: Int32Array,
    offsets: Readonly<Record<SectionName, number>>,
    pageStarts: ArrayLike<number> | undefined,
  ): void {
    writeSequences(this.problem, image, offsets.kvSequences, pageStarts);
    if (this.numSplit > 0) this.writeMergeGroups(image, offsets);
    if (this.placement.groups) this.writeGrouped(image, offsets, pageStarts, this.placement.groups);
    else this.writeInOrder(image, offsets, pageStarts);
  }

  private writeMergeGroups(image: Int32Array, offsets: Readonly<Record<SectionName, number>>): void {
    const { queryTiles, pieceIndptr } = this.pieces;
    const heads = this.problem.numKvHeads;
    let at = offsets.mergeGroups;
    let slotAt = offsets.mergeSlots;
    let row = 0;
    for (let q = 0; q + 1 < pieceIndptr.length; q++) {
      const count = pieceIndptr[q + 1] - pieceIndptr[q];
      if (count === 1) continue;
      const rowStart = queryTiles[q * QUERY_TILE_STRIDE + QUERY_TILE.rowStart];
      const rowCount = queryTiles[q * QUERY_TILE_STRIDE + QUERY_TILE.rowCount];
      for (let head = 0; head < heads; head++) {
        image[at + MERGE_GROUP.rowStart] = rowStart;
        image[at + MERGE_GROUP.rowCount] = rowCount;
        image[at + MERGE_GROUP.kvHead] = head;
        image[at + MERGE_GROUP.slotStart] = slotAt - offsets.mergeSlots;
        image[at + MERGE_GROUP.slotCount] = count;
        image[at + MERGE_GROUP.flags] = 0;
        image[at + MERGE_GROUP.reserved0] = 0;
        image[at + MERGE_GROUP.reserved1] = 0;
        at += MERGE_GROUP_STRIDE;
        for (let i = 0; i < count; i++, row += rowCount) image[slotAt++] = row;
      }
    }
  }

  /** Tile t on CTA t. */
  private writeInOrder(
    image: Int32Array,
    offsets: Readonly<Record<SectionName, number>>,
    pageStarts: ArrayLike<number> | undefined,
  ): void {
    const { problem, pieces } = this;
    const { numTiles, numCtas } = this.counts;
    for (let cta = 0; cta <= numCtas; cta++) image[offsets.ctaIndptr + cta] = Math.min(cta, numTiles);
    let at = offsets.tiles;
    let row = 0;
    let group = 0;
    for (let q = 0; q + 1 < pieces.pieceIndptr.length; q++) {
      const first = pieces.pieceIndptr[q];
      const count = pieces.pieceIndptr[q + 1] - first;
      const rowCount = pieces.queryTiles[q * QUERY_TILE_STRIDE + QUERY_TILE.rowCount];
      for (let head = 0; head < problem.numKvHeads; head++) {
        for (let i = 0; i < count; i++, at += TILE_STRIDE) {
          writeTile(problem, pieces, q, first + i, pageStarts, image, at);
          image[at + TILE.kvHead] = head;
          if (count === 1) continue;
          image[at + TILE.partialSlot] = row;
          image[at + TILE.mergeGroup] = group;
          row += rowCount;
        }
        if (count > 1) group++;
      }
    }
  }

  /**
   * The tiles of a group's first CTA are written one by one; those of its other CTAs are copies of them all, in which
   * the head and the place of partial states are then set.
   */
  private writeGrouped(
    image: Int32Array,
    offsets: Readonly<Record<SectionName, number>>,
    pageStarts: ArrayLike<number> | undefined,
    groups: Int32Array,
  ): void {
    const { problem, pieces } = this;
    const { numCtas, width } = this.placement;
    const numGroups = Math.floor(numCtas / width);
    const counts = new Int32Array(numGroups);
    for (let item = 0; item < groups.length; item++) counts[groups[item]]++;
    let tile = 0;
    let cta = offsets.ctaIndptr;
    for (let group = 0; group < numGroups; group++) {
      for (let w = 0; w < width; w++, tile += counts[group]) image[cta++] = tile;
    }
    while (cta <= offsets.ctaIndptr + numCtas) image[cta++] = tile;
    if (width === problem.numKvHeads && isSorted(groups)) {
      this.writeInTurn(image, offsets.tiles, pageStarts, counts);
      return;
    }

    const next = new Int32Array(numGroups);
    for (let group = 1; group < numGroups; group++) next[group] = next[group - 1] + counts[group - 1] * width;
    const blocks = problem.numKvHeads / width;
    const places = new Int32Array(groups.length);
    for (let q = 0, item = 0; q + 1 < pieces.pieceIndptr.length; q++) {
      for (let piece = pieces.pieceIndptr[q]; piece < pieces.pieceIndptr[q + 1]; piece++) {
        for (let block = 0; block < blocks; block++, item++) {
          const place = next[groups[item]]++;
          places[item] = place;
          writeTile(problem, pieces, q, piece, pageStarts, image, offsets.tiles + place * TILE_STRIDE);
        }
      }
    }
    for (let group = 0; group < numGroups; group++) {
      const size = counts[group] * TILE_STRIDE;
      const start = offsets.tiles + next[group] * TILE_STRIDE - size;
      // Each copy takes all that is there already: three for eight heads.
      for (let done = 1; done < width && size > 0; done *= 2) {
        image.copyWithin(start + done * size, start, start + Math.min(done, width - done) * size);
      }
    }
    this.writeHeads(image, offsets.tiles, groups, counts, places);
  }

  /**
   * As writeGrouped, where groups take all heads, and their pieces in turn: a group is finished, heads and all, while it is
   * in the nearest cache.
   */
  private writeInTurn(
    image: Int32Array,
    tiles: number,
    pageStarts: ArrayLike<number> | undefined,
    counts: Int32Array,
  ): void {
    const { problem, pieces } = this;
    const { queryTiles, pieceIndptr } = pieces;
    const { numKvHeads } = problem;
    const { kvHead, partialSlot, mergeGroup } = TILE;
    // Of each piece: partial rows from a head to the next, 0 where it is all of its query tile.
    const rowSteps = new Int32Array(pieces.pieceStarts.length);
    let q = 0;
    let piece = 0;
    let row = 0;
    let merged = 0;
    let at = tiles;
    for (let group = 0; group < counts.length; group++) {
      const start = at;
      const firstPiece = piece;
      for (const end = piece + counts[group]; piece < end; piece++, at += TILE_STRIDE) {
        writeTile(problem, pieces, q, piece, pageStarts, image, at);
        const first = pieceIndptr[q];
        const count = pieceIndptr[q + 1] - first;
        if (count > 1) {
          const rowCount = queryTiles[q * QUERY_TILE_STRIDE + QUERY_TILE.rowCount];
          image[at + partialSlot] = row + (piece - first) * rowCount;
          image[at + mergeGroup] = merged;
          rowSteps[piece] = count * rowCount;
        }
        if (piece + 1 < first + count) continue;
        q++;
        if (count === 1) continue;
        row += rowSteps[piece] * numKvHeads;
        merged += numKvHeads;
      }
      const size = at - start;
      // Each copy takes all that is there already: three for eight heads.
      for (let done = 1; done < numKvHeads && size > 0; done *= 2) {
        image.copyWithin(start + done * size, start, start + Math.min(done, numKvHeads - done) * size);
      }
      at = start + size * numKvHeads;
      for (let p = firstPiece, tile = start; p < piece; p++, tile += TILE_STRIDE) {
        const rowStep = rowSteps[p];
        for (let head = 1, to = tile + size + kvHead; head < numKvHeads; head++, to += size) image[to] = head;
        if (rowStep === 0) continue;
        for (let head = 1, to = tile + size; head < numKvHeads; head++, to += size) {
          image[to + partialSlot] += head * rowStep;
          image[to + mergeGroup] += head;
        }
      }
    }
  }

  private writeHeads(
    image: Int32Array,
    tiles: number,
    groups: Int32Array,
    counts: Int32Array,
    places: Int32Array,
  ): void {
    const { queryTiles, pieceIndptr } = this.pieces;
    const { width } = this.placement;
    const heads = this.problem.numKvHeads;
    let row = 0;
    let mergeGroup = 0;
    for (let q = 0, item = 0; q + 1 < pieceIndptr.length; q++) {
      const count = pieceIndptr[q + 1] - pieceIndptr[q];
      const rowCount = queryTiles[q * QUERY_TILE_STRIDE + QUERY_TILE.rowCount];
      for (let i = 0; i < count; i++) {
        for (let firstHead = 0; firstHead < heads; firstHead += width, item++) {
          const step = counts[groups[item]] * TILE_STRIDE;
          let at = tiles + places[item] * TILE_STRIDE;
          for (let head = firstHead; head < firstHead + width; head++, at += step) {
            image[at + TILE.kvHead] = head;
            if (count === 1) continue;
            image[at + TILE.partialSlot] = row + (head * count + i) * rowCount;
            image[at + TILE.mergeGroup] = mergeGroup + head;
          }
        }
      }
      if (count === 1) continue;
      row += heads * count * rowCount;
      mergeGroup += heads;
    }
  }
}

function isSorted(groups: Int32Array): boolean {
  for (let item = 1; item < groups.length; item++) if (groups[item] < groups[item - 1]) return false;
  return true;
}
