/**
 * Trace records (trace-record.ts), as a kernel wrote them, decoded to a measured Timeline.
 *
 * Hides the record layout and the 64-bit clock. Knows no schedule: whoever launched the kernel says which request, KV
 * head and length each item has.
 */
import { requireInteger, WarpbookError } from '../errors';
import type { TimelineColumns } from './columns';
import { Timeline } from './timeline';
import { TRACE_PHASE, TRACE_RECORD, TRACE_RECORD_WORDS } from './trace-record';

/** What the records' items are; each array has one entry per item. */
export interface TraceMeta {
  /** CTAs of the launch. */
  readonly numCtas: number;
  readonly tiles: {
    /** Request of each tile; −1: rows of several. */
    readonly request: ArrayLike<number>;
    readonly kvHead: ArrayLike<number>;
    /** KV tokens that each tile attends to. */
    readonly kvTokens: ArrayLike<number>;
    /** First KV token of each tile; default: unknown. */
    readonly kvStart?: ArrayLike<number>;
    /** 1 where a tile writes a partial state; default: none does. */
    readonly partial?: ArrayLike<number>;
    /** First merge group that waits for a tile, −1 where none does; default: not known. */
    readonly mergeGroup?: ArrayLike<number>;
    /** How many merge groups from that one on wait for it; default 1. */
    readonly mergeGroupCount?: ArrayLike<number>;
  };
  /** Labels of the merge groups; default: unknown (−1). */
  readonly merges?: {
    readonly request?: ArrayLike<number>;
    readonly kvHead?: ArrayLike<number>;
  };
}

/**
 * Decodes the records of one launch. Records that were never written are left out, so a trace buffer of fixed capacity
 * is decoded whole.
 * @param records int32 [capacity × TRACE_RECORD_WORDS], little-endian 64-bit times in nanoseconds
 * @throws WarpbookError INVALID_ARGUMENT for a record that no kernel can have written
 */
export function decodeTrace(records: Int32Array, meta: TraceMeta): Timeline {
  if (records.length % TRACE_RECORD_WORDS !== 0) {
    throw new WarpbookError(
      'INVALID_ARGUMENT',
      `The trace has ${records.length} words; wanted a multiple of ${TRACE_RECORD_WORDS}, the words of one record.`,
    );
  }
  const written = writtenRecords(records);
  const origin = firstStart(records, written);
  const kvStart = meta.tiles.kvStart && new Int32Array(written.length).fill(-1);
  const columns = {
    ...emptyColumns(written.length, meta.tiles.mergeGroup !== undefined),
    ...(kvStart ? { kvStart } : {}),
  };
  written.forEach((at, span) => {
    const phase = records[at + TRACE_RECORD.phase];
    const item = records[at + TRACE_RECORD.item];
    columns.cta[span] = records[at + TRACE_RECORD.cta];
    columns.sm[span] = records[at + TRACE_RECORD.sm];
    columns.item[span] = item;
    columns.phase[span] = phase;
    columns.startNs[span] = nsSince(records, at + TRACE_RECORD.startNs, origin);
    columns.endNs[span] = nsSince(records, at + TRACE_RECORD.endNs, origin);
    if (phase === TRACE_PHASE.tile) {
      requireInteger(`The tile of trace record ${at / TRACE_RECORD_WORDS}`, item, 0, meta.tiles.request.length - 1);
      columns.request[span] = meta.tiles.request[item];
      columns.kvHead[span] = meta.tiles.kvHead[item];
      columns.kvTokens[span] = meta.tiles.kvTokens[item];
      columns.partial[span] = meta.tiles.partial?.[item] ? 1 : 0;
      if (columns.mergeGroup && columns.mergeGroupCount && meta.tiles.mergeGroup) {
        columns.mergeGroup[span] = meta.tiles.mergeGroup[item];
        columns.mergeGroupCount[span] = meta.tiles.mergeGroupCount?.[item] ?? 1;
      }
      if (kvStart && meta.tiles.kvStart) kvStart[span] = meta.tiles.kvStart[item];
    } else {
      columns.request[span] = meta.merges?.request?.[item] ?? -1;
      columns.kvHead[span] = meta.merges?.kvHead?.[item] ?? -1;
    }
  });
  return new Timeline('measured', meta.numCtas, columns);
}

/** Word offsets of the records that a launch has written. */
function writtenRecords(records: Int32Array): number[] {
  const written: number[] = [];
  for (let at = 0; at < records.length; at += TRACE_RECORD_WORDS) {
    const phase = records[at + TRACE_RECORD.phase];
    if (phase === TRACE_PHASE.unwritten) continue;
    if (phase !== TRACE_PHASE.tile && phase !== TRACE_PHASE.merge) {
      throw new WarpbookError(
        'INVALID_ARGUMENT',
        `Trace record ${at / TRACE_RECORD_WORDS} has phase ${phase}; wanted 0, 1 (tile) or 2 (merge). ` +
          'The trace was overwritten, or comes from other kernels than this version of warpbook.',
      );
    }
    written.push(at);
  }
  return written;
}

interface Clock {
  /** Unsigned 32-bit halves. */
  readonly low: number;
  readonly high: number;
}

function clockAt(records: Int32Array, word: number): Clock {
  return { low: records[word] >>> 0, high: records[word + 1] >>> 0 };
}

function firstStart(records: Int32Array, written: readonly number[]): Clock {
  let first: Clock = { low: 0, high: 0 };
  written.forEach((at, i) => {
    const clock = clockAt(records, at + TRACE_RECORD.startNs);
    if (i === 0 || clock.high < first.high || (clock.high === first.high && clock.low < first.low)) first = clock;
  });
  return first;
}

/**
 * Difference of two 64-bit clocks. The halves are subtracted as integers first: a device's clock counts from 1970 or
 * from boot, beyond 2^53 ns after 104 days, where float64 no longer tells single nanoseconds apart.
 */
function nsSince(records: Int32Array, word: number, origin: Clock): number {
  const clock = clockAt(records, word);
  return (clock.high - origin.high) * 2 ** 32 + (clock.low - origin.low);
}

function emptyColumns(numSpans: number, knowsMerges: boolean): TimelineColumns {
  return {
    cta: new Int32Array(numSpans),
    sm: new Int32Array(numSpans),
    item: new Int32Array(numSpans),
    phase: new Uint8Array(numSpans),
    startNs: new Float64Array(numSpans),
    endNs: new Float64Array(numSpans),
    request: new Int32Array(numSpans).fill(-1),
    kvHead: new Int32Array(numSpans).fill(-1),
    kvTokens: new Int32Array(numSpans),
    partial: new Uint8Array(numSpans),
    ...(knowsMerges && {
      mergeGroup: new Int32Array(numSpans).fill(-1),
      mergeGroupCount: new Int32Array(numSpans),
    }),
  };
}
