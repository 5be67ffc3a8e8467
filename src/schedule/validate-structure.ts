/**
 * The bookkeeping half of schedule validation: every index is in range, partial rows are written once, and each merge
 * group waits for exactly the tiles that arrive at it. What keys are covered is validate.ts's question.
 */
import { WarpbookError } from '../errors';
import type { Schedule } from './schedule';
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

function fail(schedule: Schedule, what: string): never {
  throw new WarpbookError('INVALID_SCHEDULE', `Policy ${schedule.policy} returned an invalid schedule: ${what}.`, {
    policy: schedule.policy,
  });
}

/** Ranges and indices of CTAs, sequences, rows, segments and tiles. */
export function checkTiles(schedule: Schedule): void {
  const { problem, ctaIndptr } = schedule;
  if (ctaIndptr[0] !== 0 || ctaIndptr[schedule.numCtas] !== schedule.numTiles) {
    fail(
      schedule,
      `ctaIndptr runs from ${ctaIndptr[0]} to ${ctaIndptr[schedule.numCtas]}; wanted 0 to ${schedule.numTiles}`,
    );
  }
  for (let c = 0; c < schedule.numCtas; c++) {
    if (ctaIndptr[c + 1] < ctaIndptr[c]) fail(schedule, `ctaIndptr decreases at CTA ${c}`);
  }
  for (let s = 0; s < schedule.numKvSequences; s++) {
    const at = s * KV_SEQUENCE_STRIDE;
    const request = schedule.kvSequences[at + KV_SEQUENCE.request];
    if (!(request >= 0 && request < problem.batchSize))
      fail(schedule, `KV sequence ${s} names request ${request} of ${problem.batchSize}`);
    const end =
      schedule.kvSequences[at + KV_SEQUENCE.kvLen] +
      schedule.kvSequences[at + KV_SEQUENCE.pageStart] * problem.pageSize;
    if (schedule.kvSequences[at + KV_SEQUENCE.kvLen] < 0 || end > problem.kvLens[request]) {
      fail(
        schedule,
        `KV sequence ${s} reaches token ${end} of request ${request}, which has ${problem.kvLens[request]}`,
      );
    }
  }
  checkRowTable(schedule);
  for (let t = 0; t < schedule.numTiles; t++) checkTile(schedule, t);
}

function checkRowTable(schedule: Schedule): void {
  const { problem } = schedule;
  for (let i = 0; i < schedule.numRows; i++) {
    const at = i * ROW_STRIDE;
    const request = schedule.rows[at + ROW.request];
    const token = schedule.rows[at + ROW.qoToken];
    const head = schedule.rows[at + ROW.qoHead];
    if (!(request >= 0 && request < problem.batchSize)) fail(schedule, `row table entry ${i} names request ${request}`);
    if (!(token >= problem.qoIndptr[request] && token < problem.qoIndptr[request + 1])) {
      fail(schedule, `row table entry ${i}: query token ${token} is not of request ${request}`);
    }
    if (!(head >= 0 && head < problem.numQoHeads))
      fail(schedule, `row table entry ${i}: query head ${head} of ${problem.numQoHeads}`);
  }
}

function checkTile(schedule: Schedule, t: number): void {
  const { problem, machine, tiles } = schedule;
  const at = t * TILE_STRIDE;
  const tileClass = machine.tileClasses[tiles[at + TILE.tileClass]];
  if (!tileClass)
    fail(
      schedule,
      `tile ${t} has tile class ${tiles[at + TILE.tileClass]}; the machine has ${machine.tileClasses.length}`,
    );
  const kvHead = tiles[at + TILE.kvHead];
  if (!(kvHead >= 0 && kvHead < problem.numKvHeads))
    fail(schedule, `tile ${t} has KV head ${kvHead} of ${problem.numKvHeads}`);
  const kvSeq = tiles[at + TILE.kvSeq];
  if (!(kvSeq >= 0 && kvSeq < schedule.numKvSequences))
    fail(schedule, `tile ${t} has KV sequence ${kvSeq} of ${schedule.numKvSequences}`);
  const kvLen = schedule.kvSequences[kvSeq * KV_SEQUENCE_STRIDE + KV_SEQUENCE.kvLen];
  const [kvStart, kvEnd] = [tiles[at + TILE.kvStart], tiles[at + TILE.kvEnd]];
  if (!(kvStart >= 0 && kvStart <= kvEnd && kvEnd <= kvLen)) {
    fail(schedule, `tile ${t} covers KV range [${kvStart}, ${kvEnd}) of a KV sequence of ${kvLen} tokens`);
  }
  const rowCount = tiles[at + TILE.rowCount];
  if (!(rowCount >= 1 && rowCount <= tileClass.queryRows)) {
    fail(schedule, `tile ${t} has ${rowCount} query rows; its tile class takes 1 to ${tileClass.queryRows}`);
  }
  const rowStart = tiles[at + TILE.rowStart];
  if (tiles[at + TILE.flags] & TILE_FLAG.gatherRows) {
    if (!(rowStart >= 0 && rowStart + rowCount <= schedule.numRows)) {
      fail(schedule, `tile ${t} gathers rows [${rowStart}, ${rowStart + rowCount}) of ${schedule.numRows}`);
    }
    for (let i = rowStart; i < rowStart + rowCount; i++) {
      const head = schedule.rows[i * ROW_STRIDE + ROW.qoHead];
      if (Math.floor(head / problem.groupSize) !== kvHead) {
        fail(
          schedule,
          `tile ${t} of KV head ${kvHead} gathers a row of query head ${head}, which another KV head serves`,
        );
      }
    }
  } else {
    const request = tiles[at + TILE.request];
    if (!(request >= 0 && request < problem.batchSize))
      fail(schedule, `tile ${t} names request ${request} of ${problem.batchSize}`);
    const first = problem.qoIndptr[request] * problem.groupSize;
    const end = problem.qoIndptr[request + 1] * problem.groupSize;
    if (rowStart < first || rowStart + rowCount > end) {
      fail(
        schedule,
        `tile ${t} has query rows [${rowStart}, ${rowStart + rowCount}); request ${request} has [${first}, ${end})`,
      );
    }
    const base = problem.kvLens[request] - problem.qoIndptr[request + 1];
    if (tiles[at + TILE.qoPositionBase] !== base) {
      fail(schedule, `tile ${t} has qoPositionBase ${tiles[at + TILE.qoPositionBase]}; wanted ${base}`);
    }
  }
  checkSegments(schedule, t);
}

function checkSegments(schedule: Schedule, t: number): void {
  const at = t * TILE_STRIDE;
  const [start, count] = [schedule.tiles[at + TILE.segStart], schedule.tiles[at + TILE.segCount]];
  if (count === 0) return;
  if (!(start >= 0 && count > 0 && start + count <= schedule.numSegments)) {
    fail(schedule, `tile ${t} names segments [${start}, ${start + count}) of ${schedule.numSegments}`);
  }
  let end = schedule.tiles[at + TILE.kvStart];
  for (let s = start; s < start + count; s++) {
    const from = schedule.segments[s * SEGMENT_STRIDE + SEGMENT.kvStart];
    const to = schedule.segments[s * SEGMENT_STRIDE + SEGMENT.kvEnd];
    if (from < end || to < from || to > schedule.tiles[at + TILE.kvEnd]) {
      fail(schedule, `tile ${t}: segment [${from}, ${to}) is out of order or outside the tile's KV range`);
    }
    end = to;
  }
}

/** Partial rows are disjoint; each group's slots name rows of tiles that arrive at it, as many as it waits for. */
export function checkGroups(schedule: Schedule): void {
  const { tiles } = schedule;
  const writer = new Int32Array(schedule.numPartialRows).fill(-1);
  const arrivals = new Int32Array(schedule.numMergeGroups);
  for (let t = 0; t < schedule.numTiles; t++) {
    const at = t * TILE_STRIDE;
    const slot = tiles[at + TILE.partialSlot];
    const group = tiles[at + TILE.mergeGroup];
    const groupCount = tiles[at + TILE.mergeGroupCount];
    if (slot < 0) {
      if (group !== -1 || groupCount !== 0)
        fail(schedule, `tile ${t} writes the final output but names merge group ${group}`);
      continue;
    }
    const count = tiles[at + TILE.rowCount];
    if (slot + count > schedule.numPartialRows) {
      fail(schedule, `tile ${t} writes partial rows [${slot}, ${slot + count}) of ${schedule.numPartialRows}`);
    }
    for (let i = slot; i < slot + count; i++) {
      if (writer[i] >= 0) fail(schedule, `partial row ${i} is written by tiles ${writer[i]} and ${t}`);
      writer[i] = t;
    }
    if (!(group >= 0 && groupCount >= 1 && group + groupCount <= schedule.numMergeGroups)) {
      fail(
        schedule,
        `tile ${t} arrives at merge groups [${group}, ${group + groupCount}) of ${schedule.numMergeGroups}`,
      );
    }
    for (let g = group; g < group + groupCount; g++) arrivals[g]++;
  }
  const used = new Uint8Array(schedule.numPartialRows);
  for (let g = 0; g < schedule.numMergeGroups; g++) checkGroup(schedule, g, writer, used, arrivals[g]);
}

function checkGroup(schedule: Schedule, g: number, writer: Int32Array, used: Uint8Array, arrivals: number): void {
  const at = g * MERGE_GROUP_STRIDE;
  const words = schedule.mergeGroups;
  const [slotStart, slotCount] = [words[at + MERGE_GROUP.slotStart], words[at + MERGE_GROUP.slotCount]];
  const rowCount = words[at + MERGE_GROUP.rowCount];
  if (rowCount < 1) fail(schedule, `merge group ${g} has ${rowCount} rows`);
  if (!(slotStart >= 0 && slotCount >= 1 && slotStart + slotCount <= schedule.mergeSlots.length)) {
    fail(
      schedule,
      `merge group ${g} names slots [${slotStart}, ${slotStart + slotCount}) of ${schedule.mergeSlots.length}`,
    );
  }
  if (arrivals !== slotCount) fail(schedule, `merge group ${g} waits for ${slotCount} tiles, but ${arrivals} arrive`);
  for (let s = slotStart; s < slotStart + slotCount; s++) {
    const slot = schedule.mergeSlots[s];
    if (!(slot >= 0 && slot + rowCount <= schedule.numPartialRows)) {
      fail(schedule, `merge group ${g} reads partial rows [${slot}, ${slot + rowCount}) of ${schedule.numPartialRows}`);
    }
    const tile = writer[slot];
    for (let i = slot; i < slot + rowCount; i++) {
      if (writer[i] < 0) fail(schedule, `merge group ${g} reads partial row ${i}, which no tile writes`);
      if (writer[i] !== tile) fail(schedule, `merge group ${g}: slot ${slot} spans the partial rows of several tiles`);
      if (used[i]++ > 0) fail(schedule, `partial row ${i} is merged twice`);
    }
    checkSlotRows(schedule, g, slot, tile);
  }
}

/** The rows that a tile wrote at a slot are the rows that the group outputs. */
function checkSlotRows(schedule: Schedule, g: number, slot: number, tile: number): void {
  const at = tile * TILE_STRIDE;
  const group = g * MERGE_GROUP_STRIDE;
  const first = schedule.tiles[at + TILE.mergeGroup];
  if (g < first || g >= first + schedule.tiles[at + TILE.mergeGroupCount]) {
    fail(schedule, `merge group ${g} reads slot ${slot} of tile ${tile}, which does not arrive at it`);
  }
  if (schedule.tiles[at + TILE.kvHead] !== schedule.mergeGroups[group + MERGE_GROUP.kvHead]) {
    fail(schedule, `merge group ${g} and tile ${tile} have different KV heads`);
  }
  const offset = slot - schedule.tiles[at + TILE.partialSlot];
  const rowCount = schedule.mergeGroups[group + MERGE_GROUP.rowCount];
  for (let i = 0; i < rowCount; i++) {
    const wanted = outputRow(
      schedule,
      schedule.mergeGroups[group + MERGE_GROUP.rowStart] + i,
      schedule.mergeGroups[group + MERGE_GROUP.flags],
    );
    const got = outputRow(schedule, schedule.tiles[at + TILE.rowStart] + offset + i, schedule.tiles[at + TILE.flags]);
    if (wanted !== got)
      fail(
        schedule,
        `merge group ${g} outputs query row ${wanted}, but tile ${tile} computed row ${got} at slot ${slot}`,
      );
  }
}

function outputRow(schedule: Schedule, index: number, flags: number): number {
  if (!(flags & TILE_FLAG.gatherRows)) return index;
  if (index >= schedule.numRows) fail(schedule, `row table entry ${index} does not exist`);
  const at = index * ROW_STRIDE;
  const { groupSize } = schedule.problem;
  return schedule.rows[at + ROW.qoToken] * groupSize + (schedule.rows[at + ROW.qoHead] % groupSize);
}
