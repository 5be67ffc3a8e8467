/**
 * The record of a work tile whose cuts are the same for every KV head, and that of a KV sequence. They are written for each piece
 * of every plan, so the fields' places are constants of this module: V8 folds those, but looks a property of another
 * module's object up each time (a fifth of the time of a plan).
 */
import type { AttentionProblem } from './problem';
import { QUERY_TILE, QUERY_TILE_STRIDE } from './query-tiles';
import { KV_SEQUENCE, KV_SEQUENCE_STRIDE, TILE, TILE_FLAG } from './work-tile';

const { tileClass, kvHead, kvSeq, rowStart, rowCount, kvStart, kvEnd, segStart, segCount, partialSlot } = TILE;
const { mergeGroup, flags, request: requestField, pageStart, qoPositionBase, mergeGroupCount } = TILE;
const { request: REQUEST, rowStart: ROW_START, rowCount: ROW_COUNT, kvEnd: KV_END } = QUERY_TILE;
const { fullStart: FULL_START, fullEnd: FULL_END } = QUERY_TILE;
const STRIDE = QUERY_TILE_STRIDE;
const NEEDS_MASK = TILE_FLAG.needsMask;

/** The pieces of one KV head, in the order of the query tiles. */
export interface HeadPieces {
  /** Records of {@link QUERY_TILE}, from `collectQueryTiles`. */
  readonly queryTiles: Int32Array;
  /** First piece of each query tile, and the number of pieces; int32 [numQueryTiles + 1]. */
  readonly pieceIndptr: Int32Array;
  /** First token of each piece; it ends where the next one of its query tile starts. int32 [numPieces]. */
  readonly pieceStarts: Int32Array;
}

/** The record of a piece; head, partial slot and merge group are the caller's where it isn't the whole tile of head 0. */
export function writeTile(
  problem: AttentionProblem,
  { queryTiles, pieceIndptr, pieceStarts }: HeadPieces,
  q: number,
  piece: number,
  pageStarts: ArrayLike<number> | undefined,
  image: Int32Array,
  at: number,
): void {
  const tile = q * STRIDE;
  const request = queryTiles[tile + REQUEST];
  const last = pieceIndptr[q + 1] - 1;
  const whole = last === pieceIndptr[q];
  const start = pieceStarts[piece];
  const end = piece === last ? queryTiles[tile + KV_END] : pieceStarts[piece + 1];
  image[at + tileClass] = 0;
  image[at + kvHead] = 0;
  image[at + kvSeq] = request;
  image[at + rowStart] = queryTiles[tile + ROW_START];
  image[at + rowCount] = queryTiles[tile + ROW_COUNT];
  image[at + kvStart] = start;
  image[at + kvEnd] = end;
  image[at + segStart] = 0;
  image[at + segCount] = 0;
  image[at + partialSlot] = -1;
  image[at + mergeGroup] = -1;
  const masked = start < queryTiles[tile + FULL_START] || end > queryTiles[tile + FULL_END];
  image[at + flags] = masked ? NEEDS_MASK : 0;
  image[at + requestField] = request;
  image[at + pageStart] = pageStarts ? pageStarts[request] : 0;
  image[at + qoPositionBase] = problem.kvLens[request] - problem.qoIndptr[request + 1];
  image[at + mergeGroupCount] = whole ? 0 : 1;
}

/** The plain table of KV sequences: one for each request. */
export function writeSequences(
  problem: AttentionProblem,
  image: Int32Array,
  offset: number,
  pageStarts: ArrayLike<number> | undefined,
): void {
  for (let r = 0, at = offset; r < problem.batchSize; r++, at += KV_SEQUENCE_STRIDE) {
    image[at + KV_SEQUENCE.pageStart] = pageStarts ? pageStarts[r] : 0;
    image[at + KV_SEQUENCE.kvLen] = problem.kvLens[r];
    image[at + KV_SEQUENCE.positionOffset] = 0;
    image[at + KV_SEQUENCE.request] = r;
  }
}
