/**
 * Packs a Schedule into a workspace image, or counts what it would need: the same walk in two modes.
 *
 * Packing checks every section against the capacity before it writes a word, so a plan that doesn't fit leaves the
 * image as it was.
 */
import { WarpbookError } from '../errors';
import { HEADER, HEADER_WORDS, type ScheduleCapacity, SECTIONS, type WorkspaceLayout } from './layout';
import type { Schedule } from './schedule';
import { sectionWords } from './table-source';
import { DISPATCH } from './work-tile';

/** Counting mode: the smallest capacity that holds this schedule. */
export function requiredCapacity(schedule: Schedule): ScheduleCapacity {
  const { counts } = schedule.source;
  return {
    maxTiles: counts.numTiles,
    maxCtas: counts.numCtas,
    maxKvSequences: counts.numKvSequences,
    maxRows: counts.numRows,
    maxSegments: counts.numSegments,
    maxMergeGroups: counts.numMergeGroups,
    maxMergeSlots: counts.numMergeSlots,
    maxPartialRows: counts.numPartialRows,
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
  const { source } = schedule;
  const { counts } = source;
  image.fill(0, 0, HEADER_WORDS);
  image[HEADER.numTiles] = counts.numTiles;
  image[HEADER.numCtas] = counts.numCtas;
  image[HEADER.dispatch] = DISPATCH[source.dispatch];
  image[HEADER.numKvSequences] = counts.numKvSequences;
  image[HEADER.numRows] = counts.numRows;
  image[HEADER.numSegments] = counts.numSegments;
  image[HEADER.numMergeGroups] = counts.numMergeGroups;
  image[HEADER.numMergeSlots] = counts.numMergeSlots;
  image[HEADER.numPartialRows] = counts.numPartialRows;
  image[HEADER.batchSize] = schedule.problem.batchSize;
  image[HEADER.planId] = planId;
  source.write(image, layout.offsets, pageStarts);

  const words = sectionWords(counts);
  let used = HEADER_WORDS;
  for (const { name } of SECTIONS) if (words[name] > 0) used = layout.offsets[name] + words[name];
  return used;
}
