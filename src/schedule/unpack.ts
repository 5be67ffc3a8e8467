/**
 * Reads a workspace image back as a Schedule: what a planner on the device wrote. The inverse of packing, for images whose KV
 * sequences are the requests' own.
 */
import { WarpbookError } from '../errors';
import { HEADER, SECTIONS, type SectionName, type WorkspaceLayout } from './layout';
import type { Machine } from './machine';
import type { AttentionProblem } from './problem';
import { Schedule } from './schedule';
import { type ScheduleTables, sectionWords } from './table-source';
import { DISPATCH, type DispatchKind, KV_SEQUENCE, KV_SEQUENCE_STRIDE, TILE, TILE_STRIDE } from './work-tile';

/** What isn't in the image. */
export interface UnpackContext {
  readonly policy: string;
  readonly machine: Machine;
  /** The problem of these KV lengths, int32 [batchSize]. */
  readonly problemOf: (kvLens: Int32Array) => AttentionProblem;
}

/**
 * @param image int32 [layout.totalWords]
 * @throws WarpbookError INVALID_SCHEDULE for an image whose counts are beyond its capacity
 */
export function unpackSchedule(image: Int32Array, layout: WorkspaceLayout, context: UnpackContext): Schedule {
  const counts = {
    numTiles: image[HEADER.numTiles],
    numCtas: image[HEADER.numCtas],
    numKvSequences: image[HEADER.numKvSequences],
    numRows: image[HEADER.numRows],
    numSegments: image[HEADER.numSegments],
    numMergeGroups: image[HEADER.numMergeGroups],
    numMergeSlots: image[HEADER.numMergeSlots],
    numPartialRows: image[HEADER.numPartialRows],
  };
  const words = sectionWords(counts);
  for (const { name, capacity, stride, extra } of SECTIONS) {
    const most = (layout.capacity[capacity] + extra) * stride;
    if (words[name] >= 0 && words[name] <= most) continue;
    throw new WarpbookError(
      'INVALID_SCHEDULE',
      `Got a workspace image with ${words[name]} words of ${name}; wanted at most ${most}. It holds no plan: run a plan first.`,
    );
  }
  const table = (name: SectionName): Int32Array =>
    image.slice(layout.offsets[name], layout.offsets[name] + words[name]);
  const dispatch = (Object.keys(DISPATCH) as DispatchKind[]).find((kind) => DISPATCH[kind] === image[HEADER.dispatch]);
  const tables: ScheduleTables = {
    tiles: table('tiles'),
    ctaIndptr: table('ctaIndptr'),
    dispatch: dispatch ?? 'static',
    kvSequences: table('kvSequences'),
    rows: table('rows'),
    segments: table('segments'),
    mergeGroups: table('mergeGroups'),
    mergeSlots: table('mergeSlots'),
    numPartialRows: counts.numPartialRows,
  };
  const kvLens = new Int32Array(counts.numKvSequences);
  // A schedule knows lengths, not memory: its pages count from the first of the request.
  for (let s = 0; s < kvLens.length; s++) {
    kvLens[s] = tables.kvSequences[s * KV_SEQUENCE_STRIDE + KV_SEQUENCE.kvLen];
    tables.kvSequences[s * KV_SEQUENCE_STRIDE + KV_SEQUENCE.pageStart] = 0;
  }
  for (let t = 0; t < counts.numTiles; t++) tables.tiles[t * TILE_STRIDE + TILE.pageStart] = 0;
  return new Schedule(context.policy, context.problemOf(kvLens), context.machine, tables, { plannedOn: 'device' });
}
