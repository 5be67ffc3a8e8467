/** Reads a wrapper's trace buffer and labels its records with the schedule that they followed. */
import type { Buffer } from '../device/buffer';
import type { Stream } from '../device/stream';
import type { ScheduleCapacity } from '../schedule/layout';
import type { Schedule } from '../schedule/schedule';
import { MERGE_GROUP, MERGE_GROUP_STRIDE, TILE, TILE_STRIDE } from '../schedule/work-tile';
import { decodeTrace } from '../timeline/decode-trace';
import type { Timeline } from '../timeline/timeline';
import { TRACE_RECORD_WORDS } from '../timeline/trace-record';

/** Column `offset` of a table of records. */
function column(table: Int32Array, stride: number, offset: number): Int32Array {
  const values = new Int32Array(table.length / stride);
  for (let i = 0; i < values.length; i++) values[i] = table[i * stride + offset];
  return values;
}

/** Records beyond the schedule's own items are leftovers of longer plans and are not read. */
export async function readTimeline(
  trace: Buffer,
  schedule: Schedule,
  capacity: ScheduleCapacity,
  stream: Stream,
): Promise<Timeline> {
  const recordBytes = TRACE_RECORD_WORDS * 4;
  const [tiles, merges] = await Promise.all([
    trace.read({ byteLength: schedule.numTiles * recordBytes, stream }),
    trace.read({
      byteOffset: capacity.maxTiles * recordBytes,
      byteLength: schedule.numMergeGroups * recordBytes,
      stream,
    }),
  ]);
  const bytes = new Uint8Array(tiles.length + merges.length);
  bytes.set(tiles);
  bytes.set(merges, tiles.length);

  const kvStart = column(schedule.tiles, TILE_STRIDE, TILE.kvStart);
  const request = column(schedule.tiles, TILE_STRIDE, TILE.request);
  const partialSlot = column(schedule.tiles, TILE_STRIDE, TILE.partialSlot);
  const groupRow = column(schedule.mergeGroups, MERGE_GROUP_STRIDE, MERGE_GROUP.rowStart);
  return decodeTrace(new Int32Array(bytes.buffer), {
    numCtas: schedule.numCtas,
    tiles: {
      request,
      kvHead: column(schedule.tiles, TILE_STRIDE, TILE.kvHead),
      kvTokens: column(schedule.tiles, TILE_STRIDE, TILE.kvEnd).map((end, i) => end - kvStart[i]),
      kvStart,
      partial: partialSlot.map((slot) => (slot >= 0 ? 1 : 0)),
      mergeGroup: column(schedule.tiles, TILE_STRIDE, TILE.mergeGroup),
      mergeGroupCount: column(schedule.tiles, TILE_STRIDE, TILE.mergeGroupCount),
    },
    merges: {
      request: groupRow.map((row) => requestOfRow(schedule, row)),
      kvHead: column(schedule.mergeGroups, MERGE_GROUP_STRIDE, MERGE_GROUP.kvHead),
    },
  });
}

function requestOfRow(schedule: Schedule, row: number): number {
  const { qoIndptr, batchSize, groupSize } = schedule.problem;
  const token = Math.floor(row / groupSize);
  for (let r = 0; r < batchSize; r++) if (token < qoIndptr[r + 1]) return r;
  return -1;
}
