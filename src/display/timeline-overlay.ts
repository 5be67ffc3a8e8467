/**
 * Two timelines of one launch in one picture: one above the other (bars coloured as in any Gantt), or overlaid, where each
 * lane shows both in halves. Made for a prediction beside its measurement; knows nothing of either.
 */
import { WarpbookError } from '../errors';
import { Timeline } from '../timeline/timeline';
import { formatDuration } from '../units';
import { Chart } from './chart';
import { cleanLabel } from './escape';
import { type GanttModel, type GanttOptions, ganttModel } from './gantt-model';
import { ganttSpec, MAX_BARS, MAX_LANES } from './gantt-spec';
import { ganttText } from './gantt-text';
import { CATEGORY_COLORS } from './palette';
import { chartConfig, subtitleLines, TEXT_INK, type VegaLiteSpec } from './vega-theme';

export interface OverlayOptions extends Omit<GanttOptions, 'note'> {
  /**
   * `stacked` (default): one above the other. `overlaid`: both halves of each lane, one colour for each timeline; above
   * 20,000 bars it is drawn stacked.
   */
  readonly layout?: 'stacked' | 'overlaid';
  /** Names of the two; default by their sources: 'simulated', 'measured'. */
  readonly names?: readonly [string, string];
  /** Outline the spans of both critical paths; default false. */
  readonly criticalPath?: boolean;
}

/**
 * Draws two timelines on one time axis, with what sets them apart in the line below the title.
 * @throws WarpbookError INVALID_ARGUMENT for anything but two timelines of the same number of CTAs
 */
export function overlay(a: Timeline, b: Timeline, options: OverlayOptions = {}): Chart {
  for (const timeline of [a, b]) {
    if (timeline instanceof Timeline) continue;
    throw new WarpbookError(
      'INVALID_ARGUMENT',
      'overlay() wants two Timelines: simulate(schedule) and await decode.timeline().',
    );
  }
  const difference = a.difference(b);
  const names = (options.names ?? defaultNames(a, b)).map((name) => cleanLabel(name, 40)) as [string, string];
  const models = onOneAxis(ganttModel(a, options), ganttModel(b, options));
  const title = cleanLabel(options.title ?? `${capitalize(names[0])} and ${names[1]}`);
  const facts = [
    `${names[0]} ${formatDuration(a.durationNs)}`,
    `${names[1]} ${formatDuration(b.durationNs)}`,
    ...(b.durationNs > 0 ? [`${signed(difference.durationPct)} %`] : []),
    ...(difference.finish.count > 0 ? [`finish of a CTA ± ${difference.finish.medianPct.toFixed(1)} % (median)`] : []),
  ];
  if (difference.unmatched > 0) facts.push(`${difference.unmatched} items of one alone`);
  if (options.criticalPath) facts.push('critical path in red');
  const subtitle = facts.join(' · ');
  const paths = options.criticalPath ? [pathOf(a, models[0]), pathOf(b, models[1])] : undefined;
  const bars = models[0].lane.length + models[1].lane.length;
  const overlaid = options.layout === 'overlaid' && bars <= MAX_BARS && models[0].numLanes * 2 <= MAX_LANES;
  const spec = overlaid
    ? overlaidSpec(models, names, { title, subtitle }, options, paths)
    : stackedSpec(models, names, { title, subtitle }, options, paths);
  return new Chart(spec, (columns) =>
    [title, subtitle, '', ...models.flatMap((model, i) => [ganttText({ ...model, title: names[i] }, columns), ''])]
      .join('\n')
      .trimEnd(),
  );
}

function defaultNames(a: Timeline, b: Timeline): [string, string] {
  return a.source === b.source ? [`${a.source} (1)`, `${b.source} (2)`] : [a.source, b.source];
}

const UNIT_NS: Readonly<Record<string, number>> = { ns: 1, µs: 1e3, ms: 1e6, s: 1e9 };

/** Both in the coarser unit of the two, to the end of the longer, and on the same lanes. */
function onOneAxis(a: GanttModel, b: GanttModel): [GanttModel, GanttModel] {
  const longer = a.extent * UNIT_NS[a.xUnit] >= b.extent * UNIT_NS[b.xUnit] ? a : b;
  const labels = [...new Set([...Array.from(a.laneLabels), ...Array.from(b.laneLabels)])].sort((x, y) => x - y);
  const laneOf = new Map(labels.map((label, lane) => [label, lane]));
  const shared = {
    xTitle: longer.xTitle,
    xUnit: longer.xUnit,
    extent: longer.extent,
    laneLabels: labels,
    numLanes: labels.length,
  };
  const moved = (model: GanttModel): GanttModel => {
    const scale = UNIT_NS[model.xUnit] / UNIT_NS[longer.xUnit];
    const times = (values: ArrayLike<number>): Float64Array => Float64Array.from(values, (t) => t * scale);
    const lane = Int32Array.from(model.lane, (own) => laneOf.get(model.laneLabels[own]) as number);
    return { ...model, ...shared, start: times(model.start), end: times(model.end), lane };
  };
  return [moved(a), moved(b)];
}

/** Bars to outline. */
interface PathBar {
  readonly lane: number;
  readonly start: number;
  readonly end: number;
}

function pathOf(timeline: Timeline, model: GanttModel): PathBar[] {
  return timeline.criticalPath().steps.map(({ span }) => ({
    lane: model.lane[span],
    start: model.start[span],
    end: model.end[span],
  }));
}

interface Heading {
  readonly title: string;
  readonly subtitle: string;
}

const PATH_COLOR = '#c81e1e';
/** Of a name above its lanes, pixels. */
const NAME_HEIGHT = 17;

/** One Gantt of all lanes: those of `a`, then those of `b`, with room for a name above each. */
function stackedSpec(
  [a, b]: readonly [GanttModel, GanttModel],
  names: readonly string[],
  heading: Heading,
  options: OverlayOptions,
  paths: readonly PathBar[][] | undefined,
): VegaLiteSpec {
  const height = options.height ?? Math.min(760, Math.max(220, 2 * a.numLanes * 14));
  const nameLanes = Math.max(1, Math.ceil((NAME_HEIGHT / Math.max(60, height - 2 * NAME_HEIGHT)) * 2 * a.numLanes));
  const offsets = [nameLanes, 2 * nameLanes + a.numLanes];
  const noLane = new Array<number>(nameLanes).fill(Number.NaN);
  const both = <K extends keyof GanttModel>(key: K): number[] => [
    ...Array.from(a[key] as ArrayLike<number>),
    ...Array.from(b[key] as ArrayLike<number>),
  ];
  const columns = Object.fromEntries(PER_BAR.filter((key) => a[key] && b[key]).map((key) => [key, both(key)]));
  const combined: GanttModel = {
    ...a,
    ...columns,
    title: heading.title,
    subtitle: heading.subtitle,
    numLanes: offsets[1] + b.numLanes,
    laneLabels: [...noLane, ...Array.from(a.laneLabels), ...noLane, ...Array.from(b.laneLabels)],
    lane: [a, b].flatMap((model, i) => Array.from(model.lane, (lane) => lane + offsets[i])),
  };
  const spec = ganttSpec(combined, { ...options, height });
  const labels = names.map((name, i) => ({ name, lane: offsets[i] - nameLanes / 2 - 0.5, start: 0 }));
  const text = {
    data: { values: labels },
    mark: {
      type: 'text',
      align: 'left',
      baseline: 'middle',
      dx: 6,
      fontSize: 12,
      fontWeight: 600,
      color: TEXT_INK,
      tooltip: null,
    },
    encoding: {
      x: { field: 'start', type: 'quantitative' },
      y: { field: 'lane', type: 'quantitative' },
      text: { field: 'name' },
    },
  };
  const outlined = paths?.flatMap((path, i) => path.map((bar) => ({ ...bar, lane: bar.lane + offsets[i] })));
  return {
    ...spec,
    layer: [
      ...(spec.layer as SpecLayer[]).filter(isNoDetail),
      text,
      ...(outlined ? [outlineLayer(outlined, 0.5)] : []),
    ],
  };
}

interface SpecLayer {
  readonly encoding?: { readonly text?: { readonly field?: string } };
}

/** The lines below a Gantt tell of one tile by its number, and here two have it. */
function isNoDetail({ encoding }: SpecLayer): boolean {
  return encoding?.text?.field !== 'detail';
}

/** Columns with one entry per bar. */
const PER_BAR = [
  'lane',
  'start',
  'end',
  'cta',
  'sm',
  'item',
  'merge',
  'request',
  'kvHead',
  'kvTokens',
  'kvStart',
  'partial',
] as const satisfies readonly (keyof GanttModel)[];

function outlineLayer(bars: readonly PathBar[], half: number): object {
  return {
    data: { values: bars },
    transform: [
      { calculate: `datum.lane - ${half}`, as: 'top' },
      { calculate: `datum.lane + ${half}`, as: 'bottom' },
    ],
    mark: { type: 'rect', filled: false, stroke: PATH_COLOR, strokeWidth: 1.5, clip: true, tooltip: null },
    encoding: {
      x: { field: 'start', type: 'quantitative' },
      x2: { field: 'end' },
      y: { field: 'top', type: 'quantitative' },
      y2: { field: 'bottom' },
    },
  };
}

/** The upper half of each lane is `a`, the lower half `b`: where they differ, the halves end apart. */
function overlaidSpec(
  models: readonly [GanttModel, GanttModel],
  names: readonly string[],
  heading: Heading,
  options: OverlayOptions,
  paths: readonly PathBar[][] | undefined,
): VegaLiteSpec {
  const [first] = models;
  const { width = 900 } = options;
  const height = options.height ?? Math.min(760, Math.max(160, first.numLanes * 20));
  const values = models.flatMap((model, i) => barRows(model, names[i], i));
  const labels = JSON.stringify(Array.from(first.laneLabels));
  const x = {
    field: 'start',
    type: 'quantitative',
    scale: { domain: [0, first.extent], nice: false },
    axis: { title: first.xTitle },
  };
  const y = {
    field: 'top',
    type: 'quantitative',
    scale: { domain: [-0.5, first.numLanes - 0.5], nice: false, zero: false, reverse: true },
    axis: {
      title: first.laneName,
      grid: false,
      tickMinStep: 1,
      tickCount: Math.min(first.numLanes, 20),
      labelExpr: `${labels}[datum.value]`,
    },
  };
  const number = { type: 'quantitative', format: ',.3~f' };
  const bars = {
    data: { values },
    transform: [
      { calculate: 'datum.top + 0.42', as: 'bottom' },
      { calculate: 'datum.end - datum.start', as: 'length' },
    ],
    params: [
      { name: 'view', select: { type: 'interval', zoom: 'wheel![event.ctrlKey || event.metaKey]' }, bind: 'scales' },
    ],
    mark: { type: 'rect', clip: true },
    encoding: {
      x,
      x2: { field: 'end' },
      y,
      y2: { field: 'bottom' },
      color: {
        field: 'timeline',
        type: 'nominal',
        scale: { domain: names, range: CATEGORY_COLORS.slice(0, 2) },
        legend: { title: null },
      },
      // Neighbouring tiles of a CTA and merges are told apart by shade.
      opacity: { field: 'shade', type: 'quantitative', scale: { domain: [0, 1], range: [0, 1] }, legend: null },
      tooltip: [
        { field: 'timeline', title: 'Timeline', type: 'nominal' },
        { field: 'cta', title: 'CTA', type: 'ordinal' },
        { field: 'item', title: 'Item', type: 'ordinal' },
        { field: 'phase', title: 'Phase', type: 'nominal' },
        { field: 'request', title: 'Request', type: 'nominal' },
        { field: 'kvTokens', title: 'KV tokens', type: 'quantitative', format: ',d' },
        { field: 'start', title: `Start (${first.xUnit})`, ...number },
        { field: 'length', title: `Duration (${first.xUnit})`, ...number },
      ],
    },
  };
  const outlined = paths?.flatMap((path, i) => path.map((bar) => ({ ...bar, lane: bar.lane - 0.21 + i * 0.42 })));
  return {
    title: { text: heading.title, subtitle: subtitleLines(heading.subtitle, width) },
    width,
    height,
    autosize: { type: 'fit-x', contains: 'padding' },
    layer: [bars, ...(outlined ? [outlineLayer(outlined, 0.21)] : [])],
    ...chartConfig(),
  };
}

function barRows(model: GanttModel, timeline: string, half: number): object[] {
  const turn = new Uint8Array(model.numLanes);
  const order = Array.from({ length: model.lane.length }, (_, i) => i).sort((x, y) => model.start[x] - model.start[y]);
  return order.map((i) => {
    const lane = model.lane[i];
    turn[lane] = 1 - turn[lane];
    return {
      timeline,
      top: lane - 0.42 + half * 0.42,
      start: model.start[i],
      end: model.end[i],
      cta: model.cta[i],
      item: model.item[i],
      phase: model.merge[i] ? 'merge' : model.partial[i] ? 'partial tile' : 'tile',
      request: model.requestName(model.request[i]),
      kvTokens: model.kvTokens[i],
      shade: model.merge[i] ? 0.45 : turn[lane] ? 1 : 0.8,
    };
  });
}

function signed(percent: number): string {
  return `${percent < 0 ? '−' : '+'}${Math.abs(percent).toFixed(1)}`;
}

function capitalize(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}
