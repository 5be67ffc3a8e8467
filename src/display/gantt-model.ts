/**
 * What a Gantt chart draws, taken from a Schedule (nominal lengths in KV tokens) or a Timeline (times): bars on lanes,
 * in the unit of the axis, with titles. Both pictures of it (gantt-spec.ts, gantt-text.ts) read this and nothing else.
 */
import { WarpbookError } from '../errors';
import { Schedule } from '../schedule/schedule';
import { TILE, TILE_STRIDE } from '../schedule/work-tile';
import { Timeline } from '../timeline/timeline';
import { TRACE_PHASE } from '../timeline/trace-record';
import { formatDuration } from '../units';
import { cleanLabel } from './escape';
import { countOf } from './text-lines';
import { timeUnit } from './time-unit';

/** What bars are coloured by. */
export type GanttColor = 'request' | 'kvHead' | 'phase';

/** Options of {@link gantt}. */
export interface GanttOptions {
  /** Default 'request'. */
  readonly colorBy?: GanttColor;
  /**
   * A lane for each CTA (default), or for each SM (CPU device: thread). A schedule is dealt to CTAs and has no SMs.
   */
  readonly lanes?: 'cta' | 'sm';
  /** Width of the whole chart in pixels; default 820, which a cell of JupyterLab has room for beside its side bar. */
  readonly width?: number;
  /** Height of the plot in pixels; default by the number of lanes, 120 to 560. */
  readonly height?: number;
  /** Default: says what was scheduled or measured. */
  readonly title?: string;
  /** Added to the line of figures below the title. */
  readonly note?: string;
  /** Names of the requests, by index; default: their numbers. */
  readonly requestLabels?: readonly string[];
}

/** Bars on lanes; all columns have one entry per bar. −1 in a label: not known, or several. */
export interface GanttModel {
  readonly kind: 'schedule' | 'timeline';
  readonly title: string;
  readonly subtitle: string;
  /** What a lane is: 'CTA' or 'SM'. */
  readonly laneName: string;
  /** Number shown for each lane. */
  readonly laneLabels: ArrayLike<number>;
  readonly numLanes: number;
  /** Title of the x axis, with its unit. */
  readonly xTitle: string;
  readonly xUnit: string;
  /** End of the x axis; above 0. */
  readonly extent: number;
  readonly lane: ArrayLike<number>;
  readonly start: ArrayLike<number>;
  readonly end: ArrayLike<number>;
  readonly cta: ArrayLike<number>;
  /** Absent for a schedule. */
  readonly sm?: ArrayLike<number>;
  readonly item: ArrayLike<number>;
  readonly merge: ArrayLike<number>;
  readonly request: ArrayLike<number>;
  readonly kvHead: ArrayLike<number>;
  readonly kvTokens: ArrayLike<number>;
  /** First key; −1: none, or not known. Absent where none is known. */
  readonly kvStart?: ArrayLike<number>;
  readonly partial: ArrayLike<number>;
  /** Name of a request, one clean line. */
  readonly requestName: (request: number) => string;
}

/**
 * @param caller named in errors
 * @throws WarpbookError INVALID_ARGUMENT for anything but a Schedule or a Timeline
 */
export function ganttModel(source: Schedule | Timeline, options: GanttOptions, caller: string = 'gantt'): GanttModel {
  if (source instanceof Schedule) return scheduleModel(source, options, caller);
  if (source instanceof Timeline) return timelineModel(source, options);
  throw new WarpbookError(
    'INVALID_ARGUMENT',
    `${caller}() got ${describe(source)}; wanted a Schedule (plan.schedule) or a Timeline (await decode.timeline()).`,
  );
}

function scheduleModel(schedule: Schedule, options: GanttOptions, caller: string): GanttModel {
  if (options.lanes === 'sm') {
    throw new WarpbookError(
      'INVALID_ARGUMENT',
      `${caller}() of a Schedule got lanes: 'sm'; its tiles are dealt to CTAs: use 'cta'.`,
    );
  }
  const { numTiles, numCtas, tiles } = schedule;
  const column = (field: number): Int32Array =>
    Int32Array.from({ length: numTiles }, (_, t) => tiles[t * TILE_STRIDE + field]);
  const kvTokens = column(TILE.kvEnd);
  for (let t = 0; t < numTiles; t++) kvTokens[t] -= tiles[t * TILE_STRIDE + TILE.kvStart];
  const { cta, start } = schedule.dispatch === 'queue' ? nextFreeCta(kvTokens, numCtas) : ownedCta(schedule, kvTokens);
  const end = start.map((from, t) => from + kvTokens[t]);
  const load = new Float64Array(numCtas);
  for (let t = 0; t < numTiles; t++) load[cta[t]] = Math.max(load[cta[t]], end[t]);
  return {
    kind: 'schedule',
    title: cleanLabel(options.title ?? `Schedule: ${schedule.policy}`),
    subtitle: withNote(scheduleParts(schedule, load), options.note),
    laneName: 'CTA',
    laneLabels: Int32Array.from({ length: numCtas }, (_, c) => c),
    numLanes: numCtas,
    xTitle: 'KV tokens (scheduled)',
    xUnit: 'tokens',
    extent: Math.max(1, maxOf(end)),
    lane: cta,
    start,
    end,
    cta,
    item: Int32Array.from({ length: numTiles }, (_, t) => t),
    merge: new Uint8Array(numTiles),
    request: column(TILE.request),
    kvHead: column(TILE.kvHead),
    kvTokens,
    kvStart: column(TILE.kvStart),
    partial: column(TILE.partialSlot).map((slot) => (slot >= 0 ? 1 : 0)),
    requestName: requestNames(options.requestLabels),
  };
}

function scheduleParts(schedule: Schedule, load: Float64Array): string[] {
  const longest = maxOf(load);
  let total = 0;
  for (const tokens of load) total += tokens;
  const busy = longest > 0 ? total / (longest * load.length) : 0;
  const parts = [
    cleanLabel(schedule.machine.name),
    `${countOf(schedule.numTiles, 'tile')} on ${countOf(schedule.numCtas, 'CTA')}`,
    `longest ${countOf(longest, 'token')}`,
    `${(busy * 100).toFixed(1)} % busy`,
  ];
  if (schedule.numMergeGroups > 0) parts.push(countOf(schedule.numMergeGroups, 'merge'));
  if (schedule.dispatch === 'queue') parts.push('one queue: CTAs are nominal');
  return parts;
}

function withNote(parts: readonly string[], note: string | undefined): string {
  return (note === undefined ? parts : [...parts, cleanLabel(note)]).join(' · ');
}

/** Tiles back to back on the CTAs that own them. */
function ownedCta(schedule: Schedule, kvTokens: Int32Array): { cta: Int32Array; start: Float64Array } {
  const cta = new Int32Array(schedule.numTiles);
  const start = new Float64Array(schedule.numTiles);
  for (let c = 0; c < schedule.numCtas; c++) {
    let at = 0;
    for (let t = schedule.ctaIndptr[c]; t < schedule.ctaIndptr[c + 1]; t++) {
      cta[t] = c;
      start[t] = at;
      at += kvTokens[t];
    }
  }
  return { cta, start };
}

/** One queue: each tile in turn goes to the CTA that would be free first. */
function nextFreeCta(kvTokens: Int32Array, numCtas: number): { cta: Int32Array; start: Float64Array } {
  const free = new Float64Array(numCtas);
  const cta = new Int32Array(kvTokens.length);
  const start = new Float64Array(kvTokens.length);
  for (let t = 0; t < kvTokens.length; t++) {
    let first = 0;
    for (let c = 1; c < numCtas; c++) if (free[c] < free[first]) first = c;
    cta[t] = first;
    start[t] = free[first];
    free[first] += kvTokens[t];
  }
  return { cta, start };
}

function timelineModel(timeline: Timeline, options: GanttOptions): GanttModel {
  const bySm = options.lanes === 'sm';
  const stats = timeline.stats(bySm ? 'sm' : 'cta');
  const laneOf = new Map<number, number>();
  stats.lanes.forEach((label, lane) => void laneOf.set(label, lane));
  const unit = timeUnit(timeline.durationNs);
  const what = timeline.source === 'measured' ? 'Measured' : 'Simulated';
  const parts = [
    formatDuration(stats.makespanNs),
    `${countOf(stats.numTiles, 'tile')} on ${countOf(stats.numLanes, bySm ? 'SM' : 'CTA')}`,
    `${(stats.utilisation * 100).toFixed(1)} % busy`,
  ];
  if (stats.longestTile) parts.push(`longest tile ${formatDuration(stats.longestTile.durationNs)}`);
  if (stats.numMerges > 0) parts.push(countOf(stats.numMerges, 'merge'));
  return {
    kind: 'timeline',
    title: cleanLabel(options.title ?? `${what} timeline`),
    subtitle: withNote(parts, options.note),
    laneName: bySm ? 'SM' : 'CTA',
    laneLabels: stats.lanes,
    numLanes: stats.numLanes,
    xTitle: `Time (${unit.name})`,
    xUnit: unit.name,
    extent: timeline.durationNs > 0 ? timeline.durationNs / unit.ns : 1,
    lane: (bySm ? timeline.sm : timeline.cta).map((label) => laneOf.get(label) as number),
    start: timeline.startNs.map((t) => t / unit.ns),
    end: timeline.endNs.map((t) => t / unit.ns),
    cta: timeline.cta,
    sm: timeline.sm,
    item: timeline.item,
    merge: timeline.phase.map((phase) => (phase === TRACE_PHASE.merge ? 1 : 0)),
    request: timeline.request,
    kvHead: timeline.kvHead,
    kvTokens: timeline.kvTokens,
    kvStart: timeline.kvStart,
    partial: timeline.partial,
    requestName: requestNames(options.requestLabels),
  };
}

/** Names of rows of `lanesPerRow` lanes: `7`, or `4–7`. */
export function rowLabels(model: GanttModel, lanesPerRow: number): string[] {
  const labels: string[] = [];
  for (let lane = 0; lane < model.numLanes; lane += lanesPerRow) {
    const last = Math.min(model.numLanes, lane + lanesPerRow) - 1;
    const first = String(model.laneLabels[lane]);
    labels.push(last === lane ? first : `${first}–${model.laneLabels[last]}`);
  }
  return labels;
}

/** Names by index, made unique: two requests of one name must not share a bar's colour. */
function requestNames(labels: readonly string[] | undefined): (request: number) => string {
  const times = new Map<string, number>();
  const clean = (labels ?? []).map((label) => cleanLabel(String(label), 40));
  for (const label of clean) times.set(label, (times.get(label) ?? 0) + 1);
  return (request) => {
    if (request < 0) return 'several';
    const label = clean[request];
    if (label === undefined || label === '') return String(request);
    return (times.get(label) as number) > 1 ? `${label} (${request})` : label;
  };
}

function maxOf(values: ArrayLike<number>): number {
  let top = 0;
  for (let i = 0; i < values.length; i++) if (values[i] > top) top = values[i];
  return top;
}

function describe(value: unknown): string {
  if (value === null || value === undefined) return String(value);
  return typeof value === 'object' ? `a ${value.constructor?.name ?? 'null-prototype object'}` : `a ${typeof value}`;
}
