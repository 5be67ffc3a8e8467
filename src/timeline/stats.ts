/** Figures of a timeline: makespan, busy time by lane, idle share. Knows no schedule and no chart. */
import type { TimelineColumns } from './columns';
import { TRACE_PHASE } from './trace-record';

/** What `timeline.stats()` finds; times in nanoseconds. */
export interface TimelineStats {
  /** CTAs, or the SMs (threads) that ran a span. */
  readonly numLanes: number;
  readonly numTiles: number;
  readonly numMerges: number;
  /** From the first start to the last end. */
  readonly makespanNs: number;
  /** Labels of the lanes: CTA or SM numbers, ascending; int32 [numLanes]. */
  readonly lanes: Int32Array;
  /** float64 [numLanes]: time covered by at least one span, so that overlapping spans count once. */
  readonly busyNs: Float64Array;
  /** float64 [numLanes]: end of the lane's last span; 0 for a lane without one. */
  readonly finishNs: Float64Array;
  /** Σ busyNs / (numLanes × makespanNs), in [0, 1]; 0 for an empty timeline. */
  readonly utilisation: number;
  /** 1 − utilisation; 0 for an empty timeline. */
  readonly idleShare: number;
  /** Idle time after the lanes' last spans, as a share of numLanes × makespanNs: what a better balance removes. */
  readonly tailShare: number;
  /** Largest busy time over the mean: 1 is perfectly even. */
  readonly imbalance: number;
  /** Time spent in merges, Σ over spans. */
  readonly mergeNs: number;
  /** The longest tile; undefined where there is none. */
  readonly longestTile: { readonly item: number; readonly cta: number; readonly durationNs: number } | undefined;
}

/** See {@link Timeline.stats}. */
export function timelineStats(timeline: TimelineColumns, numCtas: number, by: 'cta' | 'sm'): TimelineStats {
  const lanes = by === 'cta' ? Int32Array.from({ length: numCtas }, (_, i) => i) : distinctSms(timeline);
  const busyNs = new Float64Array(lanes.length);
  const finishNs = new Float64Array(lanes.length);
  const laneOf = new Map<number, number>();
  lanes.forEach((label, lane) => void laneOf.set(label, lane));

  const column = by === 'cta' ? timeline.cta : timeline.sm;
  const byStart = Array.from(timeline.startNs.keys()).sort((a, b) => timeline.startNs[a] - timeline.startNs[b]);
  let numMerges = 0;
  let mergeNs = 0;
  let longest = -1;
  for (const i of byStart) {
    const lane = laneOf.get(column[i]) as number;
    const start = timeline.startNs[i];
    const end = timeline.endNs[i];
    // Spans come in the order of their starts, so what lies before `finishNs` is covered already.
    busyNs[lane] += Math.max(0, end - Math.max(start, finishNs[lane]));
    finishNs[lane] = Math.max(finishNs[lane], end);
    if (timeline.phase[i] === TRACE_PHASE.merge) {
      numMerges++;
      mergeNs += end - start;
    } else if (longest < 0 || end - start > timeline.endNs[longest] - timeline.startNs[longest]) {
      longest = i;
    }
  }

  const makespanNs = max(timeline.endNs);
  const area = lanes.length * makespanNs;
  const busy = sum(busyNs);
  const utilisation = area > 0 ? busy / area : 0;
  return {
    numLanes: lanes.length,
    numTiles: timeline.cta.length - numMerges,
    numMerges,
    makespanNs,
    lanes,
    busyNs,
    finishNs,
    utilisation,
    idleShare: area > 0 ? 1 - utilisation : 0,
    tailShare: area > 0 ? (area - sum(finishNs)) / area : 0,
    imbalance: busy > 0 ? max(busyNs) / (busy / lanes.length) : 1,
    mergeNs,
    longestTile:
      longest < 0
        ? undefined
        : {
            item: timeline.item[longest],
            cta: timeline.cta[longest],
            durationNs: timeline.endNs[longest] - timeline.startNs[longest],
          },
  };
}

function distinctSms(timeline: TimelineColumns): Int32Array {
  return Int32Array.from(new Set(timeline.sm)).sort();
}

function sum(values: Float64Array): number {
  let total = 0;
  for (const v of values) total += v;
  return total;
}

function max(values: Float64Array): number {
  let top = 0;
  for (const v of values) if (v > top) top = v;
  return top;
}
