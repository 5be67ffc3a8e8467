/**
 * The critical path of a timeline: from the span that ends last back to the launch, always over what ended last of all that
 * the span had to wait for. Shortening any other span leaves the duration as it is.
 */
import type { TimelineColumns } from './columns';
import { mergeDependencies } from './dependencies';
import { TRACE_PHASE } from './trace-record';

/** What a span of the path followed: the launch, its CTA's or its SM's work before, or a merge's last partial tile. */
export type PathCause = 'launch' | 'cta' | 'sm' | 'partial';

/** A step of a critical path: a span, and what it waited for. */
export interface PathStep {
  /** Index of the span in the timeline. */
  readonly span: number;
  readonly after: PathCause;
  readonly startNs: number;
  readonly endNs: number;
  /** From the end of the step before (or the first start of all) to this one's start; 0 where clocks overlap. */
  readonly waitNs: number;
}

/** What `timeline.criticalPath()` finds: the chain of tiles and merges that is as long as the run. */
export interface CriticalPath {
  /** In the order of time; empty for an empty timeline. */
  readonly steps: readonly PathStep[];
  /** Time that the path spends in tiles. */
  readonly tileNs: number;
  readonly mergeNs: number;
  /** Waits between its spans. */
  readonly waitNs: number;
  /** End of the last span. */
  readonly durationNs: number;
}

/** See {@link Timeline.criticalPath}. */
export function criticalPath(timeline: TimelineColumns): CriticalPath {
  const { startNs, endNs, phase } = timeline;
  const steps: PathStep[] = [];
  const { previousOf, causeOf } = predecessors(timeline);
  let tileNs = 0;
  let mergeNs = 0;
  let waitNs = 0;
  // Back in time from the end: a clock of 32 ns may let spans overlap that followed each other, and that time counts once.
  let cursorNs = Number.POSITIVE_INFINITY;
  for (let span = lastToEnd(endNs); span >= 0; span = previousOf[span]) {
    const ownNs = Math.max(0, Math.min(endNs[span], cursorNs) - startNs[span]);
    cursorNs = Math.min(cursorNs, startNs[span]);
    const wait = Math.max(0, cursorNs - (previousOf[span] < 0 ? 0 : endNs[previousOf[span]]));
    if (phase[span] === TRACE_PHASE.merge) mergeNs += ownNs;
    else tileNs += ownNs;
    waitNs += wait;
    steps.push({ span, after: causeOf(span), startNs: startNs[span], endNs: endNs[span], waitNs: wait });
  }
  steps.reverse();
  return { steps, tileNs, mergeNs, waitNs, durationNs: steps.at(-1)?.endNs ?? 0 };
}

function lastToEnd(endNs: Float64Array): number {
  let last = -1;
  for (let i = 0; i < endNs.length; i++) if (last < 0 || endNs[i] > endNs[last]) last = i;
  return last;
}

/** For each span the one that it followed, −1 for the launch. Predecessors come earlier in the order of starts: no cycle. */
function predecessors(timeline: TimelineColumns): {
  previousOf: Int32Array;
  causeOf: (span: number) => PathCause;
} {
  const { cta, sm, startNs, endNs } = timeline;
  const numSpans = cta.length;
  const order = Array.from({ length: numSpans }, (_, i) => i).sort(
    (a, b) => startNs[a] - startNs[b] || endNs[a] - endNs[b] || a - b,
  );
  const rank = new Int32Array(numSpans);
  for (let i = 0; i < numSpans; i++) rank[order[i]] = i;
  const dependencies = mergeDependencies(timeline);
  const previousOf = new Int32Array(numSpans).fill(-1);
  const causes: PathCause[] = new Array(numSpans).fill('launch');
  const lastOfCta = new Map<number, number>();
  const onSm = new Map<number, number[]>();
  for (const span of order) {
    const take = (candidate: number, cause: PathCause): void => {
      if (rank[candidate] >= rank[span]) return;
      if (previousOf[span] >= 0 && endNs[candidate] <= endNs[previousOf[span]]) return;
      previousOf[span] = candidate;
      causes[span] = cause;
    };
    const own = lastOfCta.get(cta[span]);
    const neighbours = onSm.get(sm[span]);
    if (own !== undefined) take(own, 'cta');
    else for (const other of neighbours ?? []) if (endNs[other] <= startNs[span]) take(other, 'sm');
    for (const partial of dependencies.get(span) ?? []) take(partial, 'partial');
    if (own === undefined || endNs[span] >= endNs[own]) lastOfCta.set(cta[span], span);
    if (neighbours) neighbours.push(span);
    else onSm.set(sm[span], [span]);
  }
  return { previousOf, causeOf: (span) => causes[span] };
}
