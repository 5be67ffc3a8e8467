/**
 * Why lanes were idle. Every idle nanosecond has one cause:
 *
 * - `launch`: before a lane's first tile;
 * - `gap`: between its items: fetching the next one, or a dispatch that was late;
 * - `imbalance`: its tiles are done while tiles elsewhere have not even begun: another dealing would have used the time;
 * - `tail`: its tiles are done and no tile is left to begin, but some still run: only finer tiles would have used it;
 * - `merge`: waiting for the partial states of a merge, or for the merges of others after the last tile.
 *
 * A lane without tiles has no launch: it is idle by imbalance and tail from the start.
 */
import type { TimelineColumns } from './columns';
import { type MergeDependencies, mergeDependencies } from './dependencies';
import { timelineStats } from './stats';
import { TRACE_PHASE } from './trace-record';

export const IDLE_CAUSES = ['launch', 'gap', 'imbalance', 'tail', 'merge'] as const;
/** Why a CTA did nothing; docs/lab.md says which is which. */
export type IdleCause = (typeof IDLE_CAUSES)[number];

/** What `timeline.idle()` finds; times in nanoseconds. */
export interface IdleTime {
  readonly numLanes: number;
  /** numLanes × duration; busy and idle time add up to it. */
  readonly areaNs: number;
  readonly busyNs: number;
  readonly idleNs: number;
  /** Lane-nanoseconds by cause; they add up to `idleNs`. */
  readonly byCause: Readonly<Record<IdleCause, number>>;
  /** The same as shares of `areaNs`; zeros for an empty timeline. */
  readonly shares: Readonly<Record<IdleCause, number>>;
  /** Labels of the lanes, ascending; int32 [numLanes]. */
  readonly lanes: Int32Array;
  /** float64 [numLanes] each. */
  readonly perLane: Readonly<Record<IdleCause, Float64Array>>;
}

/** See {@link Timeline.idle}. */
export function idleTime(timeline: TimelineColumns, numCtas: number, by: 'cta' | 'sm'): IdleTime {
  const { lanes, busyNs, makespanNs, numLanes } = timelineStats(timeline, numCtas, by);
  const perLane = Object.fromEntries(IDLE_CAUSES.map((cause) => [cause, new Float64Array(numLanes)])) as Record<
    IdleCause,
    Float64Array
  >;
  const { lastStartNs, lastEndNs } = tilePhase(timeline);
  const spansOf = spansByLane(timeline, lanes, by);
  const dependencies = mergeDependencies(timeline);
  for (let lane = 0; lane < numLanes; lane++) {
    const add = (cause: IdleCause, from: number, to: number): void => {
      if (to > from) perLane[cause][lane] += to - from;
    };
    /** Idle after the lane's last tile: split at the moments when the last tile of all begins and ends. */
    const addAfterTiles = (from: number, to: number): void => {
      add('imbalance', from, Math.min(to, lastStartNs));
      add('tail', Math.max(from, lastStartNs), Math.min(to, lastEndNs));
      add('merge', Math.max(from, lastEndNs), to);
    };
    const spans = spansOf[lane];
    const lastTile = spans.findLastIndex((span) => timeline.phase[span] === TRACE_PHASE.tile);
    let atNs = 0;
    spans.forEach((span, i) => {
      const startNs = timeline.startNs[span];
      if (i > lastTile) addAfterTiles(atNs, startNs);
      else if (i === 0) add('launch', atNs, startNs);
      else {
        const readyNs = Math.min(startNs, readyTime(timeline, dependencies, span));
        add('merge', atNs, readyNs);
        add('gap', Math.max(atNs, readyNs), startNs);
      }
      atNs = Math.max(atNs, timeline.endNs[span]);
    });
    addAfterTiles(atNs, makespanNs);
  }
  const areaNs = numLanes * makespanNs;
  const byCause = mapCauses((cause) => sum(perLane[cause]));
  return {
    numLanes,
    areaNs,
    busyNs: sum(busyNs),
    idleNs: areaNs - sum(busyNs),
    byCause,
    shares: mapCauses((cause) => (areaNs > 0 ? byCause[cause] / areaNs : 0)),
    lanes,
    perLane,
  };
}

/** When the last tile of all begins, and when the last one ends. */
function tilePhase(timeline: TimelineColumns): { lastStartNs: number; lastEndNs: number } {
  let lastStartNs = 0;
  let lastEndNs = 0;
  for (let i = 0; i < timeline.phase.length; i++) {
    if (timeline.phase[i] !== TRACE_PHASE.tile) continue;
    lastStartNs = Math.max(lastStartNs, timeline.startNs[i]);
    lastEndNs = Math.max(lastEndNs, timeline.endNs[i]);
  }
  return { lastStartNs, lastEndNs };
}

function spansByLane(timeline: TimelineColumns, lanes: Int32Array, by: 'cta' | 'sm'): number[][] {
  const laneOf = new Map<number, number>();
  lanes.forEach((label, lane) => void laneOf.set(label, lane));
  const spansOf: number[][] = Array.from(lanes, () => []);
  const column = by === 'cta' ? timeline.cta : timeline.sm;
  for (let span = 0; span < column.length; span++) spansOf[laneOf.get(column[span]) as number].push(span);
  for (const spans of spansOf) spans.sort((a, b) => timeline.startNs[a] - timeline.startNs[b]);
  return spansOf;
}

/** When the last partial state of a merge is there; −∞ for a tile. */
function readyTime(timeline: TimelineColumns, dependencies: MergeDependencies, span: number): number {
  let ready = Number.NEGATIVE_INFINITY;
  for (const partial of dependencies.get(span) ?? []) ready = Math.max(ready, timeline.endNs[partial]);
  return ready;
}

function mapCauses(value: (cause: IdleCause) => number): Record<IdleCause, number> {
  return Object.fromEntries(IDLE_CAUSES.map((cause) => [cause, value(cause)])) as Record<IdleCause, number>;
}

function sum(values: Float64Array): number {
  let total = 0;
  for (const v of values) total += v;
  return total;
}
