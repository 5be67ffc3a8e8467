/**
 * Which partial tiles each merge waits for. Taken from the column `mergeGroup`; a timeline without it (a trace of old, or one
 * made by hand) is matched by its labels: a merge waits for the partial tiles of its request and KV head.
 */
import type { TimelineColumns } from './columns';
import { TRACE_PHASE } from './trace-record';

/** Spans of the partial tiles, by the span of the merge that waits for them; a merge without any has no entry. */
export type MergeDependencies = ReadonlyMap<number, readonly number[]>;

export function mergeDependencies(timeline: TimelineColumns): MergeDependencies {
  return timeline.mergeGroup ? byGroup(timeline, timeline.mergeGroup) : byLabels(timeline);
}

function byGroup(timeline: TimelineColumns, mergeGroup: Int32Array): MergeDependencies {
  const mergesOf = new Map<number, number[]>();
  forEachMerge(timeline, (span) => append(mergesOf, timeline.item[span], span));
  const partialsOf = new Map<number, number[]>();
  forEachPartial(timeline, (span) => {
    const first = mergeGroup[span];
    if (first < 0) return;
    const end = first + (timeline.mergeGroupCount?.[span] ?? 1);
    for (let group = first; group < end; group++) {
      for (const merge of mergesOf.get(group) ?? []) append(partialsOf, merge, span);
    }
  });
  return partialsOf;
}

/** −1 in a label matches nothing but −1: a merge of several requests waits for tiles of several. */
function byLabels(timeline: TimelineColumns): MergeDependencies {
  const partialsWith = new Map<string, number[]>();
  const labels = (span: number): string => `${timeline.request[span]} ${timeline.kvHead[span]}`;
  forEachPartial(timeline, (span) => append(partialsWith, labels(span), span));
  const partialsOf = new Map<number, number[]>();
  forEachMerge(timeline, (span) => {
    const partials = partialsWith.get(labels(span));
    if (partials) partialsOf.set(span, partials);
  });
  return partialsOf;
}

function forEachMerge({ phase }: TimelineColumns, call: (span: number) => void): void {
  for (let span = 0; span < phase.length; span++) if (phase[span] === TRACE_PHASE.merge) call(span);
}

function forEachPartial({ phase, partial }: TimelineColumns, call: (span: number) => void): void {
  for (let span = 0; span < phase.length; span++) {
    if (partial[span] && phase[span] === TRACE_PHASE.tile) call(span);
  }
}

function append<K>(lists: Map<K, number[]>, key: K, value: number): void {
  const list = lists.get(key);
  if (list) list.push(value);
  else lists.set(key, [value]);
}
