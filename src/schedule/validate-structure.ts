/**
 * Tables and tiles of a schedule, one by one: every index is in range, and what a tile says of its request, rows, pages
 * and positions is true. Groups are validate-groups.ts's affair, and what keys are covered validate.ts's.
 */
import { ceilDiv } from '../units';
import { type Coverage, coverageOf } from './coverage';
import { policyError } from './policy-error';
import { queryPosition } from './problem';
import type { Schedule } from './schedule';
import {
  DISPATCH,
  KV_SEQUENCE,
  KV_SEQUENCE_STRIDE,
  ROW,
  ROW_STRIDE,
  SEGMENT,
  SEGMENT_STRIDE,
  TILE,
  TILE_FLAG,
  TILE_STRIDE,
} from './work-tile';

/**
 * Tells whether two requests have the same pages at the same place of their page lists: [firstPage, firstPage + numPages).
 * Only then may rows of one attend to a KV sequence of the other.
 */
export type SharesPages = (a: number, b: number, firstPage: number, numPages: number) => boolean;

/** Throws INVALID_SCHEDULE. */
export function refuseSchedule(schedule: Schedule, what: string, coverage?: Coverage): never {
  const { policy } = schedule;
  throw policyError('INVALID_SCHEDULE', policy, `Policy ${policy} returned an invalid schedule: ${what}.`, coverage);
}

const TABLES = ['tiles', 'ctaIndptr', 'kvSequences', 'rows', 'segments', 'mergeGroups', 'mergeSlots'] as const;

/** What a schedule that was put together by hand may get wrong before anything else can be looked at. */
function checkTables(schedule: Schedule): void {
  for (const name of TABLES) {
    if (!(schedule[name] instanceof Int32Array)) refuseSchedule(schedule, `${name} is no Int32Array`);
  }
  if (!Object.hasOwn(DISPATCH, schedule.dispatch)) {
    refuseSchedule(schedule, `dispatch is '${schedule.dispatch}'; wanted one of ${Object.keys(DISPATCH).join(', ')}`);
  }
  if (!Number.isInteger(schedule.numPartialRows) || schedule.numPartialRows < 0) {
    refuseSchedule(schedule, `numPartialRows is ${schedule.numPartialRows}; wanted an integer of at least 0`);
  }
}

/** Ranges and indices of CTAs, sequences, rows, segments and tiles. */
export function checkTiles(schedule: Schedule, sharesPages: SharesPages): void {
  checkTables(schedule);
  const { problem, ctaIndptr } = schedule;
  if (ctaIndptr[0] !== 0 || ctaIndptr[schedule.numCtas] !== schedule.numTiles) {
    refuseSchedule(
      schedule,
      `ctaIndptr runs from ${ctaIndptr[0]} to ${ctaIndptr[schedule.numCtas]}; wanted 0 to ${schedule.numTiles}`,
    );
  }
  for (let c = 0; c < schedule.numCtas; c++) {
    if (ctaIndptr[c + 1] < ctaIndptr[c]) refuseSchedule(schedule, `ctaIndptr decreases at CTA ${c}`);
  }
  for (let s = 0; s < schedule.numKvSequences; s++) {
    const at = s * KV_SEQUENCE_STRIDE;
    const request = schedule.kvSequences[at + KV_SEQUENCE.request];
    if (!(request >= 0 && request < problem.batchSize))
      refuseSchedule(schedule, `KV sequence ${s} names request ${request} of ${problem.batchSize}`);
    checkSequence(schedule, s);
  }
  checkRowTable(schedule);
  for (let t = 0; t < schedule.numTiles; t++) checkTile(schedule, t, sharesPages);
}

function checkSequence(schedule: Schedule, s: number): void {
  const { problem } = schedule;
  const at = s * KV_SEQUENCE_STRIDE;
  const request = schedule.kvSequences[at + KV_SEQUENCE.request];
  const pageStart = schedule.kvSequences[at + KV_SEQUENCE.pageStart];
  const kvLen = schedule.kvSequences[at + KV_SEQUENCE.kvLen];
  const firstToken = pageStart * problem.pageSize;
  if (pageStart < 0 || kvLen < 0 || firstToken + kvLen > problem.kvLens[request]) {
    const range = `[${firstToken}, ${firstToken + kvLen})`;
    refuseSchedule(
      schedule,
      `KV sequence ${s} covers tokens ${range} of request ${request}, which has ${problem.kvLens[request]}`,
    );
  }
  const offset = schedule.kvSequences[at + KV_SEQUENCE.positionOffset];
  if (offset !== firstToken) {
    refuseSchedule(
      schedule,
      `KV sequence ${s} starts at page ${pageStart} with positionOffset ${offset}; wanted ${firstToken}`,
    );
  }
}

function checkRowTable(schedule: Schedule): void {
  const { problem } = schedule;
  for (let i = 0; i < schedule.numRows; i++) {
    const at = i * ROW_STRIDE;
    const request = schedule.rows[at + ROW.request];
    const token = schedule.rows[at + ROW.qoToken];
    const head = schedule.rows[at + ROW.qoHead];
    if (!(request >= 0 && request < problem.batchSize))
      refuseSchedule(schedule, `row table entry ${i} names request ${request}`);
    if (!(token >= problem.qoIndptr[request] && token < problem.qoIndptr[request + 1])) {
      refuseSchedule(schedule, `row table entry ${i}: query token ${token} is not of request ${request}`);
    }
    if (!(head >= 0 && head < problem.numQoHeads))
      refuseSchedule(schedule, `row table entry ${i}: query head ${head} of ${problem.numQoHeads}`);
    const position = schedule.rows[at + ROW.qoPosition];
    const wanted = queryPosition(problem, request, token);
    if (position !== wanted)
      refuseSchedule(schedule, `row table entry ${i} has qoPosition ${position}; wanted ${wanted}`);
  }
}

function checkTile(schedule: Schedule, t: number, sharesPages: SharesPages): void {
  const { problem, machine, tiles } = schedule;
  const at = t * TILE_STRIDE;
  const tileClass = machine.tileClasses[tiles[at + TILE.tileClass]];
  if (!tileClass)
    refuseSchedule(
      schedule,
      `tile ${t} has tile class ${tiles[at + TILE.tileClass]}; the machine has ${machine.tileClasses.length}`,
    );
  const kvHead = tiles[at + TILE.kvHead];
  if (!(kvHead >= 0 && kvHead < problem.numKvHeads))
    refuseSchedule(schedule, `tile ${t} has KV head ${kvHead} of ${problem.numKvHeads}`);
  const kvSeq = tiles[at + TILE.kvSeq];
  if (!(kvSeq >= 0 && kvSeq < schedule.numKvSequences))
    refuseSchedule(schedule, `tile ${t} has KV sequence ${kvSeq} of ${schedule.numKvSequences}`);
  const kvLen = schedule.kvSequences[kvSeq * KV_SEQUENCE_STRIDE + KV_SEQUENCE.kvLen];
  const [kvStart, kvEnd] = [tiles[at + TILE.kvStart], tiles[at + TILE.kvEnd]];
  if (!(kvStart >= 0 && kvStart <= kvEnd && kvEnd <= kvLen)) {
    const request = schedule.kvSequences[kvSeq * KV_SEQUENCE_STRIDE + KV_SEQUENCE.request];
    const what = `tile ${t} covers KV range [${kvStart}, ${kvEnd}) of a KV sequence of ${kvLen} tokens (request ${request})`;
    const fault = { start: Math.max(0, Math.min(kvLen, kvStart)), end: Math.max(kvStart, kvEnd) };
    const row = problem.qoIndptr[request] * problem.groupSize;
    refuseSchedule(schedule, what, coverageOf(schedule, request, kvHead, row, fault));
  }
  const rowCount = tiles[at + TILE.rowCount];
  if (!(rowCount >= 1 && rowCount <= tileClass.queryRows)) {
    refuseSchedule(schedule, `tile ${t} has ${rowCount} query rows; its tile class takes 1 to ${tileClass.queryRows}`);
  }
  const rowStart = tiles[at + TILE.rowStart];
  if (tiles[at + TILE.flags] & TILE_FLAG.gatherRows) {
    if (!(rowStart >= 0 && rowStart + rowCount <= schedule.numRows)) {
      refuseSchedule(schedule, `tile ${t} gathers rows [${rowStart}, ${rowStart + rowCount}) of ${schedule.numRows}`);
    }
    for (let i = rowStart; i < rowStart + rowCount; i++) checkGatheredRow(schedule, t, i, sharesPages);
  } else {
    const request = tiles[at + TILE.request];
    if (!(request >= 0 && request < problem.batchSize))
      refuseSchedule(schedule, `tile ${t} names request ${request} of ${problem.batchSize}`);
    const first = problem.qoIndptr[request] * problem.groupSize;
    const end = problem.qoIndptr[request + 1] * problem.groupSize;
    const owner = schedule.kvSequences[kvSeq * KV_SEQUENCE_STRIDE + KV_SEQUENCE.request];
    if (owner !== request)
      refuseSchedule(schedule, `tile ${t} of request ${request} attends to a KV sequence of request ${owner}`);
    if (rowStart < first || rowStart + rowCount > end) {
      refuseSchedule(
        schedule,
        `tile ${t} has query rows [${rowStart}, ${rowStart + rowCount}); request ${request} has [${first}, ${end})`,
      );
    }
    const base = problem.kvLens[request] - problem.qoIndptr[request + 1];
    if (tiles[at + TILE.qoPositionBase] !== base) {
      refuseSchedule(schedule, `tile ${t} has qoPositionBase ${tiles[at + TILE.qoPositionBase]}; wanted ${base}`);
    }
  }
  checkSegments(schedule, t);
}

/** A gathered row belongs to the tile's KV head and, unless the pages are shared, to the request of its KV sequence. */
function checkGatheredRow(schedule: Schedule, t: number, index: number, sharesPages: SharesPages): void {
  const { problem } = schedule;
  const kvHead = schedule.tiles[t * TILE_STRIDE + TILE.kvHead];
  const head = schedule.rows[index * ROW_STRIDE + ROW.qoHead];
  if (Math.floor(head / problem.groupSize) !== kvHead) {
    refuseSchedule(
      schedule,
      `tile ${t} of KV head ${kvHead} gathers a row of query head ${head}, which another KV head serves`,
    );
  }
  const sequence = schedule.tiles[t * TILE_STRIDE + TILE.kvSeq] * KV_SEQUENCE_STRIDE;
  const owner = schedule.kvSequences[sequence + KV_SEQUENCE.request];
  const request = schedule.rows[index * ROW_STRIDE + ROW.request];
  if (owner === request) return;
  const firstPage = schedule.kvSequences[sequence + KV_SEQUENCE.pageStart];
  const numPages = ceilDiv(schedule.kvSequences[sequence + KV_SEQUENCE.kvLen], problem.pageSize);
  if (!sharesPages(owner, request, firstPage, numPages)) {
    refuseSchedule(
      schedule,
      `tile ${t} gathers a row of request ${request} for a KV sequence of request ${owner}, whose pages it does not share`,
    );
  }
}

function checkSegments(schedule: Schedule, t: number): void {
  const at = t * TILE_STRIDE;
  const [start, count] = [schedule.tiles[at + TILE.segStart], schedule.tiles[at + TILE.segCount]];
  if (count === 0) return;
  if (!(start >= 0 && count > 0 && start + count <= schedule.numSegments)) {
    refuseSchedule(schedule, `tile ${t} names segments [${start}, ${start + count}) of ${schedule.numSegments}`);
  }
  let end = schedule.tiles[at + TILE.kvStart];
  for (let s = start; s < start + count; s++) {
    const from = schedule.segments[s * SEGMENT_STRIDE + SEGMENT.kvStart];
    const to = schedule.segments[s * SEGMENT_STRIDE + SEGMENT.kvEnd];
    if (from < end || to < from || to > schedule.tiles[at + TILE.kvEnd]) {
      refuseSchedule(schedule, `tile ${t}: segment [${from}, ${to}) is out of order or outside the tile's KV range`);
    }
    end = to;
  }
}
