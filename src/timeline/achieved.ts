/** Bytes and operations a second that a timeline achieved. The caller knows what a tile moves and computes. */
import { requireInteger, WarpbookError } from '../errors';
import type { TimelineColumns } from './columns';
import { TRACE_PHASE } from './trace-record';

/** What items move and compute; arrays by tile (by merge group), as a schedule numbers them. */
export interface TimelineWork {
  /** Bytes that each tile moves. */
  readonly bytes: ArrayLike<number>;
  /** Floating-point operations of each tile. */
  readonly flops: ArrayLike<number>;
  /** Bytes that each merge group moves; default: not counted. */
  readonly mergeBytes?: ArrayLike<number>;
}

/** Options of `timeline.achieved()`. */
export interface AchievedOptions {
  /** Parts of the duration that rates over time are given for; default 50. */
  readonly bins?: number;
}

/** What `timeline.achieved()` finds. */
export interface Achieved {
  readonly bytes: number;
  readonly flops: number;
  /** 10⁹ bytes a second over the whole duration; 0 for an empty timeline. */
  readonly gbps: number;
  /** 10¹² operations a second. */
  readonly tflops: number;
  readonly binNs: number;
  /** float64 [bins]: GB/s in each bin; what an item moves is spread evenly over its time. */
  readonly gbpsOverTime: Float64Array;
  /** float64 [bins] */
  readonly tflopsOverTime: Float64Array;
}

/** See {@link Timeline.achieved}. */
export function achieved(timeline: TimelineColumns, work: TimelineWork, options: AchievedOptions): Achieved {
  const { bins = 50 } = options;
  requireInteger('bins', bins, 1, 1e6);
  const durationNs = timeline.endNs.reduce((last, end) => Math.max(last, end), 0);
  const binNs = durationNs / bins;
  const gbpsOverTime = new Float64Array(bins);
  const tflopsOverTime = new Float64Array(bins);
  let bytes = 0;
  let flops = 0;
  for (let i = 0; i < timeline.cta.length; i++) {
    const merge = timeline.phase[i] === TRACE_PHASE.merge;
    if (merge && !work.mergeBytes) continue;
    const itemBytes = lookUp(merge ? (work.mergeBytes as ArrayLike<number>) : work.bytes, timeline.item[i], merge);
    const itemFlops = merge ? 0 : lookUp(work.flops, timeline.item[i], merge);
    bytes += itemBytes;
    flops += itemFlops;
    spread(timeline.startNs[i], timeline.endNs[i], binNs, bins, (bin, share) => {
      gbpsOverTime[bin] += (itemBytes * share) / binNs;
      tflopsOverTime[bin] += (itemFlops * share) / binNs / 1e3;
    });
  }
  const rate = (amount: number): number => (durationNs > 0 ? amount / durationNs : 0);
  return { bytes, flops, gbps: rate(bytes), tflops: rate(flops) / 1e3, binNs, gbpsOverTime, tflopsOverTime };
}

function lookUp(values: ArrayLike<number>, item: number, merge: boolean): number {
  if (item >= 0 && item < values.length) return values[item];
  const what = merge ? 'merge group' : 'tile';
  throw new WarpbookError(
    'INVALID_ARGUMENT',
    `The timeline shows ${what} ${item}, the work given knows ${values.length}; wanted the work of the schedule that ran: tileWork(schedule).`,
  );
}

/** Shares of [start, end] by bin; a span of no length falls into one bin whole. */
function spread(start: number, end: number, binNs: number, bins: number, add: (bin: number, share: number) => void) {
  if (!(binNs > 0)) return;
  const first = Math.min(bins - 1, Math.floor(start / binNs));
  const last = Math.min(bins - 1, Math.floor(end / binNs));
  if (first === last) return add(first, 1);
  for (let bin = first; bin <= last; bin++) {
    const covered = (bin === last ? end : (bin + 1) * binNs) - Math.max(start, bin * binNs);
    add(bin, covered / (end - start));
  }
}
