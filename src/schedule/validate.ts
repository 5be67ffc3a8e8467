/**
 * Checks a Schedule against its problem: each (query row, KV head) is written once, and the tiles' ranges are disjoint
 * and cover every key that the row sees. Pure and independent of how the schedule was built.
 */
import { WarpbookError } from '../errors';
import { coverageOf } from './coverage';
import { type AttentionProblem, visibleEnd, visibleStart } from './problem';
import type { Schedule } from './schedule';
import { checkGroups } from './validate-groups';
import { checkTiles, refuseSchedule, type SharesPages } from './validate-structure';
import {
  KV_SEQUENCE,
  KV_SEQUENCE_STRIDE,
  MERGE_GROUP,
  MERGE_GROUP_STRIDE,
  ROW,
  ROW_STRIDE,
  SEGMENT,
  SEGMENT_STRIDE,
  TILE,
  TILE_FLAG,
  TILE_STRIDE,
} from './work-tile';

/** A stretch of keys in the coordinates of a request's positions. */
interface Range {
  start: number;
  end: number;
  /** Tile that attends to it. */
  tile: number;
  /** Whether the kernel applies the mask in it. */
  masked: boolean;
}

/** Options of {@link validate}. */
export interface ValidateOptions {
  /**
   * Tells whether two requests have the same pages; needed where a tile serves rows of several requests from one of
   * them. Default: as the problem's `prefixes` say. The wrappers' `plan` answers from the page table.
   */
  sharesPages?: SharesPages;
}

/**
 * Throws at the first violation.
 * @throws WarpbookError INVALID_SCHEDULE naming request, KV head and KV range
 */
export function validate(schedule: Schedule, options: ValidateOptions = {}): void {
  checkTiles(schedule, options.sharesPages ?? sharedByPrefixes(schedule.problem));
  checkGroups(schedule);
  const slotTile = tileOfSlot(schedule);
  const written = new Uint8Array(numRows(schedule) * schedule.problem.numKvHeads);
  for (let t = 0; t < schedule.numTiles; t++) {
    const at = t * TILE_STRIDE;
    if (schedule.tiles[at + TILE.partialSlot] >= 0) continue;
    const gathered = (schedule.tiles[at + TILE.flags] & TILE_FLAG.gatherRows) !== 0;
    const start = schedule.tiles[at + TILE.rowStart];
    checkRows(
      schedule,
      start,
      schedule.tiles[at + TILE.rowCount],
      gathered,
      schedule.tiles[at + TILE.kvHead],
      [t],
      written,
    );
  }
  for (let g = 0; g < schedule.numMergeGroups; g++) {
    const at = g * MERGE_GROUP_STRIDE;
    const words = schedule.mergeGroups;
    const slotStart = words[at + MERGE_GROUP.slotStart];
    const tiles: number[] = [];
    for (let s = slotStart; s < slotStart + words[at + MERGE_GROUP.slotCount]; s++) {
      tiles.push(slotTile[schedule.mergeSlots[s]]);
    }
    const gathered = (words[at + MERGE_GROUP.flags] & TILE_FLAG.gatherRows) !== 0;
    checkRows(
      schedule,
      words[at + MERGE_GROUP.rowStart],
      words[at + MERGE_GROUP.rowCount],
      gathered,
      words[at + MERGE_GROUP.kvHead],
      tiles,
      written,
    );
  }
  for (let i = 0; i < written.length; i++) {
    if (written[i] === 0) {
      const row = Math.floor(i / schedule.problem.numKvHeads);
      const head = i % schedule.problem.numKvHeads;
      const request = requestOfRow(schedule, row);
      fail(
        schedule,
        request,
        head,
        row,
        `is never attended: no tile writes query row ${row}`,
        0,
        schedule.problem.kvLens[request],
      );
    }
  }
}

/** Requests share the pages of the prefixes that they have in common. */
function sharedByPrefixes({ prefixes, pageSize }: AttentionProblem): SharesPages {
  return (a, b, firstPage, numPages) =>
    prefixes.some(
      ({ length, requests }) =>
        (firstPage + numPages) * pageSize <= length && requests.includes(a) && requests.includes(b),
    );
}

/** Collects the first violation as a message, or returns undefined: for property tests and displays. */
export function findViolation(schedule: Schedule, options: ValidateOptions = {}): string | undefined {
  try {
    validate(schedule, options);
    return undefined;
  } catch (error) {
    if (error instanceof WarpbookError && error.code === 'INVALID_SCHEDULE') return error.message;
    throw error;
  }
}

function numRows(schedule: Schedule): number {
  const { qoIndptr, batchSize, groupSize } = schedule.problem;
  return qoIndptr[batchSize] * groupSize;
}

function requestOfToken(schedule: Schedule, token: number): number {
  const { qoIndptr } = schedule.problem;
  let low = 0;
  let high = schedule.problem.batchSize - 1;
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if (qoIndptr[middle] <= token) low = middle;
    else high = middle - 1;
  }
  return low;
}

function requestOfRow(schedule: Schedule, row: number): number {
  return requestOfToken(schedule, Math.floor(row / schedule.problem.groupSize));
}

/** For each partial row, the tile that writes it. */
function tileOfSlot(schedule: Schedule): Int32Array {
  const owner = new Int32Array(schedule.numPartialRows).fill(-1);
  for (let t = 0; t < schedule.numTiles; t++) {
    const slot = schedule.tiles[t * TILE_STRIDE + TILE.partialSlot];
    if (slot < 0) continue;
    const count = schedule.tiles[t * TILE_STRIDE + TILE.rowCount];
    owner.fill(t, slot, slot + count);
  }
  return owner;
}

/** Rows [start, start + count) of one output, attended by `tiles`: each row written once, its keys covered once. */
function checkRows(
  schedule: Schedule,
  start: number,
  count: number,
  gathered: boolean,
  head: number,
  tiles: readonly number[],
  written: Uint8Array,
): void {
  const { problem } = schedule;
  const outputRow = (i: number): number => {
    if (!gathered) return start + i;
    const at = (start + i) * ROW_STRIDE;
    return schedule.rows[at + ROW.qoToken] * problem.groupSize + (schedule.rows[at + ROW.qoHead] % problem.groupSize);
  };
  for (let i = 0; i < count; i++) {
    const row = outputRow(i);
    const request = requestOfRow(schedule, row);
    const index = row * problem.numKvHeads + head;
    if (written[index]++ > 0) {
      fail(
        schedule,
        request,
        head,
        row,
        `is attended twice: query row ${row} is written by several outputs`,
        0,
        problem.kvLens[request],
      );
    }
  }
  // Consecutive rows of one request see nested or sliding ranges, so their first and last decide for all.
  for (let i = 0; i < count; ) {
    const request = requestOfRow(schedule, outputRow(i));
    let last = i;
    while (!gathered && last + 1 < count && requestOfRow(schedule, outputRow(last + 1)) === request) last++;
    const firstToken = Math.floor(outputRow(i) / problem.groupSize);
    const lastToken = Math.floor(outputRow(last) / problem.groupSize);
    checkCoverage(schedule, request, head, firstToken, lastToken, tiles);
    i = last + 1;
  }
}

function checkCoverage(
  schedule: Schedule,
  request: number,
  head: number,
  firstToken: number,
  lastToken: number,
  tiles: readonly number[],
): void {
  const { problem } = schedule;
  const ranges: Range[] = [];
  for (const t of tiles) collectRanges(schedule, t, ranges);
  ranges.sort((a, b) => a.start - b.start || a.end - b.end);
  const needStart = visibleStart(problem, request, firstToken);
  const needEnd = visibleEnd(problem, request, lastToken);
  // The row that sees the keys at fault: the first row's window begins first, the last one sees the last keys.
  const refuse = (what: string, start: number, end: number): never => {
    const token = start < visibleStart(problem, request, lastToken) ? firstToken : lastToken;
    return fail(schedule, request, head, token * problem.groupSize, what, start, end);
  };
  let covered = needStart;
  let previous: Range | undefined;
  for (const range of ranges) {
    if (range.start === range.end) continue;
    if (previous && range.start < previous.end) {
      const what = `is covered twice, by tiles ${previous.tile} and ${range.tile}`;
      refuse(what, range.start, Math.min(range.end, previous.end));
    }
    if (range.start > covered && covered < needEnd) {
      refuse('is not covered by any tile', covered, Math.min(range.start, needEnd));
    }
    covered = Math.max(covered, range.end);
    previous = range;
    checkMaskFlag(schedule, range, request, head, firstToken, lastToken);
  }
  if (covered < needEnd) refuse('is not covered by any tile', covered, needEnd);
}

/** A range that some row doesn't see whole must be masked. */
function checkMaskFlag(
  schedule: Schedule,
  range: Range,
  request: number,
  head: number,
  firstToken: number,
  lastToken: number,
): void {
  if (range.masked) return;
  const fullStart = visibleStart(schedule.problem, request, lastToken);
  const fullEnd = visibleEnd(schedule.problem, request, firstToken);
  if (range.start < fullStart || range.end > fullEnd) {
    const row = firstToken * schedule.problem.groupSize;
    const what = `needs a mask, but tile ${range.tile} has none there`;
    fail(schedule, request, head, row, what, range.start, range.end);
  }
}

function collectRanges(schedule: Schedule, tile: number, ranges: Range[]): void {
  const at = tile * TILE_STRIDE;
  const words = schedule.tiles;
  const offset = schedule.kvSequences[words[at + TILE.kvSeq] * KV_SEQUENCE_STRIDE + KV_SEQUENCE.positionOffset];
  const segCount = words[at + TILE.segCount];
  if (segCount === 0) {
    const masked = (words[at + TILE.flags] & TILE_FLAG.needsMask) !== 0;
    ranges.push({ start: words[at + TILE.kvStart] + offset, end: words[at + TILE.kvEnd] + offset, tile, masked });
    return;
  }
  for (let s = 0; s < segCount; s++) {
    const segment = (words[at + TILE.segStart] + s) * SEGMENT_STRIDE;
    ranges.push({
      start: schedule.segments[segment + SEGMENT.kvStart] + offset,
      end: schedule.segments[segment + SEGMENT.kvEnd] + offset,
      tile,
      masked: schedule.segments[segment + SEGMENT.masked] !== 0,
    });
  }
}

/** Throws INVALID_SCHEDULE about the keys [start, end) of a request, as a query row sees them. */
function fail(
  schedule: Schedule,
  request: number,
  kvHead: number,
  row: number,
  what: string,
  start: number,
  end: number,
): never {
  const message = `request ${request}, KV head ${kvHead}: KV range [${start}, ${end}) ${what}`;
  refuseSchedule(schedule, message, coverageOf(schedule, request, kvHead, row, { start, end }));
}
