/** The part of a timeline that is about a request, an SM, a CTA, a KV head or a stretch of time. */
import { WarpbookError } from '../errors';
import type { TimelineColumns } from './columns';

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
  const int32 = (column: Int32Array): Int32Array => Int32Array.from(kept, (i) => column[i]);
  const { mergeGroup, mergeGroupCount } = timeline;
  return {
    cta: int32(timeline.cta),
    sm: int32(timeline.sm),
    item: int32(timeline.item),
    phase: Uint8Array.from(kept, (i) => timeline.phase[i]),
    startNs: Float64Array.from(kept, (i) => timeline.startNs[i]),
    endNs: Float64Array.from(kept, (i) => timeline.endNs[i]),
    request: int32(timeline.request),
    kvHead: int32(timeline.kvHead),
    kvTokens: int32(timeline.kvTokens),
    partial: Uint8Array.from(kept, (i) => timeline.partial[i]),
    ...(mergeGroup && { mergeGroup: int32(mergeGroup) }),
    ...(mergeGroupCount && { mergeGroupCount: int32(mergeGroupCount) }),
  };
}
