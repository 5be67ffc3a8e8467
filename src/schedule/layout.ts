/**
 * The workspace image: a Schedule packed into one int32 block of fixed capacity, uploaded in one copy.
 *
 * A header of {@link HEADER_WORDS} words holds the counts; sections follow at offsets that depend on the capacity
 * alone, so a captured kernel keeps reading the right places when the plan is rewritten. The walk over the sections is
 * written once and runs in two modes: counting (offsets and sizes) and packing (see pack.ts).
 */
import { requireInteger, WarpbookError } from '../errors';
import { KV_SEQUENCE_STRIDE, MERGE_GROUP_STRIDE, ROW_STRIDE, SEGMENT_STRIDE, TILE_STRIDE } from './work-tile';

/** Word offsets in the image's header. */
export const HEADER = {
  numTiles: 0,
  /** CTAs that have an entry in ctaIndptr; a kernel's surplus CTAs have nothing to do. */
  numCtas: 1,
  /** DISPATCH */
  dispatch: 2,
  numKvSequences: 3,
  numRows: 4,
  numSegments: 5,
  numMergeGroups: 6,
  numMergeSlots: 7,
  numPartialRows: 8,
  batchSize: 9,
  /** Written by the device: 0, or the number of page indices that were out of range and skipped. */
  status: 10,
  /** Increments with each plan: ties a trace to its plan. */
  planId: 11,
  /** Written by a planner on the device: lengths that were negative or beyond their request's pages, and cut to fit. */
  badLengths: 12,
  /** Written by a planner on the device: plans that did not fit the capacity and were replaced by one that splits nothing. */
  unsplitPlans: 13,
} as const;
export const HEADER_WORDS = 16;

/** What a workspace can hold. Names are the options that an over-capacity error tells the user to raise. */
export interface ScheduleCapacity {
  maxTiles: number;
  maxCtas: number;
  maxKvSequences: number;
  /** Entries of the row table (gathered rows). */
  maxRows: number;
  maxSegments: number;
  maxMergeGroups: number;
  maxMergeSlots: number;
  /** Rows of the partial-state buffers. */
  maxPartialRows: number;
}

export type SectionName = 'ctaIndptr' | 'tiles' | 'kvSequences' | 'rows' | 'segments' | 'mergeGroups' | 'mergeSlots';

/**
 * The sections in their order in the image. The tiles come last: they are the most that a capacity leaves unused, and a plan
 * is uploaded up to its last word. `capacity` names the option that bounds `length` records. */
export const SECTIONS: readonly {
  readonly name: SectionName;
  readonly capacity: keyof ScheduleCapacity;
  /** Words of a record. */
  readonly stride: number;
  /** Records beyond the capacity (an indptr has one more entry than CTAs). */
  readonly extra: number;
}[] = [
  { name: 'ctaIndptr', capacity: 'maxCtas', stride: 1, extra: 1 },
  { name: 'kvSequences', capacity: 'maxKvSequences', stride: KV_SEQUENCE_STRIDE, extra: 0 },
  { name: 'rows', capacity: 'maxRows', stride: ROW_STRIDE, extra: 0 },
  { name: 'segments', capacity: 'maxSegments', stride: SEGMENT_STRIDE, extra: 0 },
  { name: 'mergeGroups', capacity: 'maxMergeGroups', stride: MERGE_GROUP_STRIDE, extra: 0 },
  { name: 'mergeSlots', capacity: 'maxMergeSlots', stride: 1, extra: 0 },
  { name: 'tiles', capacity: 'maxTiles', stride: TILE_STRIDE, extra: 0 },
];

/** Offsets (words) of an image's sections for one capacity. */
export interface WorkspaceLayout {
  readonly capacity: Readonly<ScheduleCapacity>;
  /** Word offset of each section, a multiple of 16 (64 bytes). */
  readonly offsets: Readonly<Record<SectionName, number>>;
  readonly totalWords: number;
}

/** Places the sections for a capacity. */
export function workspaceLayout(capacity: ScheduleCapacity): WorkspaceLayout {
  let end = HEADER_WORDS;
  const offsets = {} as Record<SectionName, number>;
  for (const section of SECTIONS) {
    requireInteger(section.capacity, capacity[section.capacity], 0, 2 ** 30);
    offsets[section.name] = end;
    end += Math.ceil(((capacity[section.capacity] + section.extra) * section.stride) / 16) * 16;
  }
  requireInteger('maxPartialRows', capacity.maxPartialRows, 0, 2 ** 31 - 1);
  if (end >= 2 ** 31) {
    throw new WarpbookError(
      'INVALID_ARGUMENT',
      `A workspace of ${end} words does not fit 32-bit offsets; lower the capacity.`,
    );
  }
  return { capacity: { ...capacity }, offsets, totalWords: end };
}
