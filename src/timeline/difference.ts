/** How far one timeline is from another of the same launch: by CTA and by item. Knows not which is the prediction. */
import { WarpbookError } from '../errors';
import type { TimelineColumns } from './columns';
import { timelineStats } from './stats';

/** Relative errors in percent: (this − other) / other. */
export interface ErrorSummary {
  /** Pairs that were compared. */
  readonly count: number;
  /** Mean of the absolute errors; NaN where nothing could be compared, as the others. */
  readonly meanPct: number;
  readonly medianPct: number;
  readonly p95Pct: number;
  readonly worstPct: number;
}

/** What `a.difference(b)` finds between two timelines of the same schedule. */
export interface TimelineDifference {
  /** Error of the duration, signed. */
  readonly durationPct: number;
  /** float64 [numCtas]: this finish minus the other's, ns; CTAs idle on both sides are 0. */
  readonly finishNs: Float64Array;
  /** float64 [numCtas]: this busy time minus the other's, ns. */
  readonly busyNs: Float64Array;
  /** Absolute errors of the CTAs' finish times; CTAs that did nothing in the other are left out. */
  readonly finish: ErrorSummary;
  /** Absolute errors of the CTAs' busy times. */
  readonly busy: ErrorSummary;
  /** Absolute errors of the durations of tiles (merges) that both have. */
  readonly tiles: ErrorSummary;
  /** CTA whose finish differs most, −1 for no CTA. */
  readonly worstCta: number;
  /** Items that only one of the two has: the two don't show the same schedule. */
  readonly unmatched: number;
}

type Compared = TimelineColumns & { readonly numCtas: number };

/** See {@link Timeline.difference}. */
export function timelineDifference(own: Compared, other: Compared): TimelineDifference {
  if (own.numCtas !== other.numCtas) {
    throw new WarpbookError(
      'INVALID_ARGUMENT',
      `difference() got timelines of ${own.numCtas} and ${other.numCtas} CTAs; wanted two of the same launch: simulate the ` +
        'schedule that ran (plan.schedule).',
    );
  }
  const a = timelineStats(own, own.numCtas, 'cta');
  const b = timelineStats(other, other.numCtas, 'cta');
  const minus = (x: Float64Array, y: Float64Array): Float64Array => x.map((value, i) => value - y[i]);
  const finishNs = minus(a.finishNs, b.finishNs);
  let worstCta = -1;
  finishNs.forEach((value, cta) => {
    if (worstCta < 0 || Math.abs(value) > Math.abs(finishNs[worstCta])) worstCta = cta;
  });
  const { errors, unmatched } = itemErrors(own, other);
  return {
    durationPct: ((a.makespanNs - b.makespanNs) / b.makespanNs) * 100,
    finishNs,
    busyNs: minus(a.busyNs, b.busyNs),
    finish: summarize(relativeErrors(a.finishNs, b.finishNs)),
    busy: summarize(relativeErrors(a.busyNs, b.busyNs)),
    tiles: summarize(errors),
    worstCta,
    unmatched,
  };
}

function relativeErrors(values: Float64Array, wanted: Float64Array): number[] {
  const errors: number[] = [];
  values.forEach((value, i) => {
    if (wanted[i] > 0) errors.push((Math.abs(value - wanted[i]) / wanted[i]) * 100);
  });
  return errors;
}

/** Items by phase and number; several spans of one item (never in one launch) count as their sum. */
function itemDurations({ phase, item, startNs, endNs }: TimelineColumns): Map<string, number> {
  const durations = new Map<string, number>();
  for (let i = 0; i < item.length; i++) {
    const key = `${phase[i]} ${item[i]}`;
    durations.set(key, (durations.get(key) ?? 0) + endNs[i] - startNs[i]);
  }
  return durations;
}

function itemErrors(own: TimelineColumns, other: TimelineColumns): { errors: number[]; unmatched: number } {
  const a = itemDurations(own);
  const b = itemDurations(other);
  const errors: number[] = [];
  let unmatched = 0;
  for (const [key, duration] of a) {
    const wanted = b.get(key);
    if (wanted === undefined) unmatched++;
    else if (wanted > 0) errors.push((Math.abs(duration - wanted) / wanted) * 100);
  }
  for (const key of b.keys()) if (!a.has(key)) unmatched++;
  return { errors, unmatched };
}

function summarize(errors: number[]): ErrorSummary {
  const sorted = Float64Array.from(errors).sort();
  const count = sorted.length;
  const at = (share: number): number =>
    count === 0 ? Number.NaN : (sorted[Math.ceil(share * count) - 1] ?? sorted[0]);
  return {
    count,
    meanPct: sorted.reduce((sum, value) => sum + value, 0) / count,
    medianPct: at(0.5),
    p95Pct: at(0.95),
    worstPct: at(1),
  };
}
