/**
 * Partial states and merge groups of a schedule: partial rows are written once, and each merge group waits for exactly
 * the tiles that arrive at it and outputs the rows that they computed.
 */
import type { Schedule } from './schedule';
import { refuseSchedule as fail } from './validate-structure';
import { MERGE_GROUP, MERGE_GROUP_STRIDE, ROW, ROW_STRIDE, TILE, TILE_FLAG, TILE_STRIDE } from './work-tile';

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
