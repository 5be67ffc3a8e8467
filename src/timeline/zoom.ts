/** The part of a timeline that is about a request, an SM, a CTA, a KV head or a stretch of time. */
import { WarpbookError } from '../errors';
import { COLUMN_NAMES, type TimelineColumns } from './columns';

/** What to keep; a span must meet all that is given. */
export interface SpanSelection {
  readonly request?: number;
  /** CPU device: thread. */
  readonly sm?: number;
  readonly cta?: number;
  readonly kvHead?: number;
  /** Spans that end after this; nanoseconds since the first start. */
  readonly fromNs?: number;
  /** Spans that start before this. */
  readonly toNs?: number;
}

const LABELS = ['request', 'sm', 'cta', 'kvHead'] as const;
const WINDOW = ['fromNs', 'toNs'] as const;

/** See {@link Timeline.zoom}. */
export function selectSpans(timeline: TimelineColumns, selection: SpanSelection): TimelineColumns {
  const { fromNs = Number.NEGATIVE_INFINITY, toNs = Number.POSITIVE_INFINITY } = selection;
  const labels = LABELS.filter((name) => selection[name] !== undefined);
  if (labels.length === 0 && WINDOW.every((name) => selection[name] === undefined)) {
    throw new WarpbookError(
      'INVALID_ARGUMENT',
      `zoom() got nothing to zoom to; wanted one or more of ${[...LABELS, ...WINDOW].join(', ')}, such as { request: 3 }.`,
    );
  }
  if (!(toNs >= fromNs)) {
    throw new WarpbookError(
      'INVALID_ARGUMENT',
      `zoom() got a window from ${fromNs} to ${toNs} ns; it ends before it starts.`,
    );
  }
  const kept: number[] = [];
  for (let i = 0; i < timeline.cta.length; i++) {
    if (timeline.endNs[i] <= fromNs || timeline.startNs[i] >= toNs) continue;
    if (labels.every((name) => timeline[name][i] === selection[name])) kept.push(i);
  }
  const columns: Record<string, Column> = {};
  for (const name of COLUMN_NAMES) {
    const column: Column | undefined = timeline[name];
    if (column) columns[name] = gather(column, kept);
  }
  return columns as unknown as TimelineColumns;
}

type Column = Int32Array | Uint8Array | Float64Array;

function gather<T extends Column>(column: T, indices: readonly number[]): T {
  const picked = column.slice(0, indices.length) as T;
  for (let i = 0; i < indices.length; i++) picked[i] = column[indices[i]];
  return picked;
}
