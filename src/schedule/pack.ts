/**
 * Packs a Schedule into a workspace image, or counts what it would need: the same walk in two modes.
 *
 * Packing checks every section against the capacity before it writes a word, so a plan that doesn't fit leaves the
 * image as it was.
 */
import { WarpbookError } from '../errors';
import { HEADER, HEADER_WORDS, type ScheduleCapacity, SECTIONS, type WorkspaceLayout } from './layout';
import type { Schedule } from './schedule';
import { DISPATCH, KV_SEQUENCE, KV_SEQUENCE_STRIDE, TILE, TILE_STRIDE } from './work-tile';

/** Counting mode: the smallest capacity that holds this schedule. */
export function requiredCapacity(schedule: Schedule): ScheduleCapacity {
  return {
    maxTiles: schedule.numTiles,
    maxCtas: schedule.numCtas,
    maxKvSequences: schedule.numKvSequences,
    maxRows: schedule.numRows,
    maxSegments: schedule.numSegments,
    maxMergeGroups: schedule.numMergeGroups,
    maxMergeSlots: schedule.mergeSlots.length,
    maxPartialRows: schedule.numPartialRows,
  };
}

/** The field-wise maximum of capacities: enough for each of several schedules. */
export function largestCapacity(...capacities: readonly ScheduleCapacity[]): ScheduleCapacity {
  const largest: ScheduleCapacity = {
    maxTiles: 0,
    maxCtas: 0,
    maxKvSequences: 0,
    maxRows: 0,
    maxSegments: 0,
    maxMergeGroups: 0,
    maxMergeSlots: 0,
    maxPartialRows: 0,
  };
  for (const capacity of capacities) {
    for (const key of Object.keys(largest) as (keyof ScheduleCapacity)[]) {
      largest[key] = Math.max(largest[key], capacity[key]);
    }
  }
  return largest;
}

/** @throws WarpbookError CAPACITY_EXCEEDED with asked, available and the option to raise */
export function checkCapacity(schedule: Schedule, capacity: ScheduleCapacity): void {
  const required = requiredCapacity(schedule);
  for (const key of Object.keys(required) as (keyof ScheduleCapacity)[]) {
    if (required[key] > capacity[key]) {
      throw new WarpbookError(
        'CAPACITY_EXCEEDED',
        `The plan of policy ${schedule.policy} needs ${key} = ${required[key]}, the workspace was made for ` +
          `${capacity[key]}; raise the option capacity.${key}.`,
        { asked: required[key], available: capacity[key], option: `capacity.${key}` },
      );
    }
  }
}

/**
 * Writes the schedule into `image` and returns the number of words used at its front (what has to be uploaded).
 * @param image int32 [layout.totalWords]
 * @param pageStarts int32 [batchSize]: index in paged_kv_indices of each request's first page (or, ragged, of its first
 *   token)
 * @param planId stored in the header
 * @throws WarpbookError CAPACITY_EXCEEDED; the image is untouched then
 */
export function packSchedule(
  schedule: Schedule,
  layout: WorkspaceLayout,
  image: Int32Array,
  pageStarts: ArrayLike<number>,
  planId: number = 0,
): number {
  checkCapacity(schedule, layout.capacity);
  image.fill(0, 0, HEADER_WORDS);
  image[HEADER.numTiles] = schedule.numTiles;
  image[HEADER.numCtas] = schedule.numCtas;
  image[HEADER.dispatch] = DISPATCH[schedule.dispatch];
  image[HEADER.numKvSequences] = schedule.numKvSequences;
  image[HEADER.numRows] = schedule.numRows;
  image[HEADER.numSegments] = schedule.numSegments;
  image[HEADER.numMergeGroups] = schedule.numMergeGroups;
  image[HEADER.numMergeSlots] = schedule.mergeSlots.length;
  image[HEADER.numPartialRows] = schedule.numPartialRows;
  image[HEADER.batchSize] = schedule.problem.batchSize;
  image[HEADER.planId] = planId;

  let used = HEADER_WORDS;
  for (const { name } of SECTIONS) {
    const words = schedule[name];
    image.set(words, layout.offsets[name]);
    if (words.length > 0) used = layout.offsets[name] + words.length;
  }
  fillPageStarts(schedule, layout, image, pageStarts);
  return used;
}

/** Page numbers: a sequence's first page counts from its request's first; tiles repeat it to save the kernel a load. */
function fillPageStarts(
  schedule: Schedule,
  layout: WorkspaceLayout,
  image: Int32Array,
  pageStarts: ArrayLike<number>,
): void {
  const sequences = layout.offsets.kvSequences;
  for (let s = 0; s < schedule.numKvSequences; s++) {
    const at = sequences + s * KV_SEQUENCE_STRIDE;
    image[at + KV_SEQUENCE.pageStart] += pageStarts[image[at + KV_SEQUENCE.request]];
  }
  const tiles = layout.offsets.tiles;
  const end = tiles + schedule.numTiles * TILE_STRIDE;
  for (let at = tiles; at < end; at += TILE_STRIDE) {
    const sequence = sequences + image[at + TILE.kvSeq] * KV_SEQUENCE_STRIDE;
    image[at + TILE.pageStart] = image[sequence + KV_SEQUENCE.pageStart];
  }
}
