/**
 * The Gantt as a Vega-Lite 5 specification with its data inline: single bars, or busy shares where bars are too many.
 * Text goes in as data and is drawn, never parsed as markup.
 */
import { busyBins } from './gantt-bins';
import { detailLayer, detailOpacity, detailParams, keysExpression } from './gantt-detail';
import { type GanttColor, type GanttModel, type GanttOptions, rowLabels } from './gantt-model';
import { assignColors, CATEGORY_COLORS, MAX_LEGEND_ENTRIES, NEUTRAL_COLOR, SHARE_SCALE } from './palette';
import { chartConfig, GUIDE, LANE, subtitleLines, type VegaLiteSpec } from './vega-theme';

/** Above this many bars (or lanes) busy shares are drawn: front ends get slow and bars thinner than a pixel. */
export const MAX_BARS = 20_000;
export const MAX_LANES = 1_000;
/** Cells of the aggregated picture: about what single bars may be, at a third of the text each. */
const MAX_CELLS = 13_000;

/** Name of the bars' rows, which several layers draw. */
const BARS = 'bars';
const CATEGORY_TITLES: Readonly<Record<GanttColor, string>> = { request: 'Request', kvHead: 'KV head', phase: 'Phase' };

/** True where {@link ganttSpec} draws busy shares instead of bars. */
export function isAggregated(model: GanttModel): boolean {
  return model.lane.length > MAX_BARS || model.numLanes > MAX_LANES;
}

export function ganttSpec(model: GanttModel, options: GanttOptions): VegaLiteSpec {
  const height = options.height ?? Math.min(560, Math.max(120, model.numLanes * 20));
  const width = options.width ?? 820;
  const aggregated = isAggregated(model);
  const isMerging = Array.from(model.merge).some(Boolean);
  const note = aggregated ? ' · shown as busy share by bin' : isMerging ? ' · merges are outlined' : '';
  const drawn = aggregated ? { layer: binLayers(model) } : barLayers(model, options.colorBy ?? 'request', height);
  return {
    $schema: 'https://vega.github.io/schema/vega-lite/v5.json',
    title: { text: model.title, subtitle: subtitleLines(model.subtitle + note, width) },
    width,
    height,
    autosize: { type: 'fit-x', contains: 'padding' },
    ...drawn,
    ...chartConfig(),
  };
}

function xChannel(model: GanttModel, field: string): object {
  const axis = { title: model.xTitle, grid: true };
  return { field, type: 'quantitative', scale: { domain: [0, round(model.extent)], nice: false, zero: true }, axis };
}

function yChannel(model: GanttModel, field: string): object {
  const isIdentity = Array.from(model.laneLabels).every((label, lane) => label === lane);
  return {
    field,
    type: 'quantitative',
    scale: { domain: [-0.5, Math.max(1, model.numLanes) - 0.5], nice: false, zero: false, reverse: true },
    axis: {
      title: model.laneName,
      grid: false,
      tickMinStep: 1,
      tickCount: Math.min(Math.max(1, model.numLanes), 20),
      format: 'd',
      ...(isIdentity ? {} : { labelExpr: `${JSON.stringify(Array.from(model.laneLabels))}[datum.value]` }),
    },
  };
}

/**
 * Drag to pan, pinch or Ctrl + wheel to zoom, double click to reset. The plain wheel stays with the page, or a reader
 * could not scroll past a chart.
 */
const zoomParam = {
  name: 'view',
  select: { type: 'interval', zoom: 'wheel![event.ctrlKey || event.metaKey]' },
  bind: 'scales',
};

function barLayers(model: GanttModel, colorBy: GanttColor, height: number): object {
  const { values, categories, colors } = barData(model, colorBy);
  const data = { name: BARS };
  const laneHeight = height / Math.max(1, model.numLanes);
  const half = laneHeight >= 3 ? 0.42 : 0.5;
  const hasMerges = values.some((bar) => bar.phase === 'merge');
  const outline = { condition: { test: "datum.phase === 'merge'", value: GUIDE }, value: null };
  const layer = [
    laneLayer(model, half),
    {
      data,
      transform: [
        { calculate: `datum.lane - (datum.phase === 'merge' ? ${half * 0.6} : ${half})`, as: 'top' },
        { calculate: `datum.lane + (datum.phase === 'merge' ? ${half * 0.6} : ${half})`, as: 'bottom' },
        { calculate: 'datum.end - datum.start', as: 'length' },
        { calculate: keysExpression(model), as: 'keys' },
      ],
      params: [zoomParam, ...detailParams(colorBy)],
      mark: {
        type: 'rect',
        clip: true,
        cursor: 'pointer',
        // A gap between bars where there is room for one.
        ...(laneHeight >= 8 && values.length <= 2_000 ? { x2Offset: -0.7 } : {}),
        ...(hasMerges ? { strokeWidth: laneHeight >= 8 ? 1 : 0.5 } : {}),
      },
      encoding: {
        x: xChannel(model, 'start'),
        x2: { field: 'end' },
        y: yChannel(model, 'top'),
        y2: { field: 'bottom' },
        color: {
          field: colorBy,
          type: 'nominal',
          scale: { domain: categories, range: colors },
          legend:
            categories.length > 1 && categories.length <= MAX_LEGEND_ENTRIES
              ? { title: CATEGORY_TITLES[colorBy] }
              : null,
        },
        opacity: detailOpacity,
        ...(hasMerges ? { stroke: outline } : {}),
        tooltip: tooltip(model),
      },
    },
    ...(values.length > 0 ? [detailLayer(model, data, height)] : []),
  ];
  return { datasets: { [BARS]: values }, layer };
}

/** The lanes, where nothing runs. */
function laneLayer(model: GanttModel, half: number): object {
  return {
    data: { sequence: { start: 0, stop: model.numLanes, as: 'lane' } },
    transform: [
      { calculate: `datum.lane - ${half}`, as: 'top' },
      { calculate: `datum.lane + ${half}`, as: 'bottom' },
      { calculate: '0', as: 'start' },
      { calculate: String(round(model.extent)), as: 'end' },
    ],
    mark: { type: 'rect', ...LANE, clip: true, tooltip: null },
    encoding: {
      x: xChannel(model, 'start'),
      x2: { field: 'end' },
      y: yChannel(model, 'top'),
      y2: { field: 'bottom' },
    },
  };
}

interface BarRow {
  lane: number;
  start: number;
  end: number;
  cta: number;
  sm?: number;
  item: number;
  phase: 'tile' | 'partial tile' | 'merge';
  request: string;
  kvHead: string;
  kvTokens: number;
  kvStart?: number;
}

function barData(model: GanttModel, colorBy: GanttColor): { values: BarRow[]; categories: string[]; colors: string[] } {
  const values: BarRow[] = [];
  for (let i = 0; i < model.lane.length; i++) {
    values.push({
      lane: model.lane[i],
      start: round(model.start[i]),
      end: round(model.end[i]),
      cta: model.cta[i],
      ...(model.sm ? { sm: model.sm[i] } : {}),
      item: model.item[i],
      phase: model.merge[i] ? 'merge' : model.partial[i] ? 'partial tile' : 'tile',
      request: model.requestName(model.request[i]),
      kvHead: model.kvHead[i] < 0 ? 'several' : String(model.kvHead[i]),
      kvTokens: model.kvTokens[i],
      ...(model.kvStart && !model.merge[i] ? { kvStart: model.kvStart[i] } : {}),
    });
  }
  return { values, ...categoriesOf(model, values, colorBy) };
}

/** Categories in the order of their numbers, and a colour for each. */
function categoriesOf(
  model: GanttModel,
  values: readonly BarRow[],
  colorBy: GanttColor,
): { categories: string[]; colors: string[] } {
  const order = (i: number): number => {
    if (colorBy === 'phase') return model.merge[i] ? 2 : model.partial[i];
    return colorBy === 'request' ? model.request[i] : model.kvHead[i];
  };
  const names = new Map<number, string>();
  for (let i = 0; i < values.length; i++) names.set(order(i), values[i][colorBy]);
  const numbers = [...names.keys()].sort((a, b) => a - b);
  const known = numbers.filter((n) => n >= 0);
  const indexOf = new Map(known.map((n, index) => [n, index]));

  const byPlace = Array.from(values.keys()).sort(
    (a, b) => values[a].lane - values[b].lane || values[a].start - values[b].start,
  );
  const neighbours: number[] = [];
  for (let i = 1; i < byPlace.length; i++) {
    const a = indexOf.get(order(byPlace[i - 1]));
    const b = indexOf.get(order(byPlace[i]));
    if (a !== undefined && b !== undefined) neighbours.push(a, b);
  }
  const assigned = assignColors(known.length, neighbours);
  const sorted = [...known, ...numbers.filter((n) => n < 0)];
  return {
    categories: sorted.map((n) => names.get(n) as string),
    colors: sorted.map((n) => (n < 0 ? NEUTRAL_COLOR : CATEGORY_COLORS[assigned[indexOf.get(n) as number]])),
  };
}

function tooltip(model: GanttModel): object[] {
  const unit = model.xUnit;
  const number = { type: 'quantitative', format: model.kind === 'timeline' ? ',.3~f' : ',d' };
  return [
    { field: 'cta', title: 'CTA', type: 'ordinal' },
    ...(model.sm ? [{ field: 'sm', title: 'SM', type: 'ordinal' }] : []),
    { field: 'item', title: 'Item', type: 'ordinal' },
    { field: 'phase', title: 'Phase', type: 'nominal' },
    { field: 'request', title: 'Request', type: 'nominal' },
    { field: 'kvHead', title: 'KV head', type: 'nominal' },
    { field: 'keys', title: 'Keys', type: 'nominal' },
    { field: 'start', title: `Start (${unit})`, ...number },
    ...(model.kind === 'timeline' ? [{ field: 'length', title: `Duration (${unit})`, ...number }] : []),
  ];
}

function binLayers(model: GanttModel): object[] {
  const lanesPerRow = Math.ceil(model.numLanes / 280);
  const numRows = Math.ceil(model.numLanes / lanesPerRow);
  const bins = busyBins(model, Math.min(240, Math.max(24, Math.floor(MAX_CELLS / numRows))), lanesPerRow);
  const values: { row: number; bin: number; busy: number; items: number }[] = [];
  for (let cell = 0; cell < bins.share.length; cell++) {
    const row = Math.floor(cell / bins.numBins);
    const busy = Math.round(bins.share[cell] * 1000) / 1000;
    values.push({ row, bin: cell - row * bins.numBins, busy, items: bins.bars[cell] });
  }
  const lanes = `${model.laneName}${lanesPerRow > 1 ? 's' : ''}`;
  const labels = JSON.stringify(rowLabels(model, lanesPerRow));
  // Cells overlap a little, or antialiasing leaves a grid of seams between them.
  const overlap = 0.15;
  return [
    {
      data: { values },
      transform: [
        { calculate: `datum.bin * ${bins.binWidth}`, as: 'start' },
        { calculate: `(datum.bin + 1 + ${overlap}) * ${bins.binWidth}`, as: 'end' },
        { calculate: `datum.row * ${lanesPerRow} - 0.5`, as: 'top' },
        { calculate: `min((datum.row + 1 + ${overlap}) * ${lanesPerRow}, ${model.numLanes}) - 0.5`, as: 'bottom' },
        { calculate: `${labels}[datum.row]`, as: 'lanes' },
      ],
      params: [zoomParam],
      mark: { type: 'rect', clip: true },
      encoding: {
        x: xChannel(model, 'start'),
        x2: { field: 'end' },
        y: yChannel(model, 'top'),
        y2: { field: 'bottom' },
        color: {
          field: 'busy',
          type: 'quantitative',
          // As in the heat map of idle time: dark works, bright waits.
          scale: { domain: [0, 1], ...SHARE_SCALE, reverse: true },
          legend: { title: 'Busy share', format: '.0%' },
        },
        tooltip: [
          { field: 'lanes', title: lanes, type: 'nominal' },
          { field: 'start', title: `Start (${model.xUnit})`, type: 'quantitative', format: ',.3~f' },
          { field: 'busy', title: 'Busy share', type: 'quantitative', format: '.1%' },
          { field: 'items', title: 'Items', type: 'quantitative', format: ',d' },
        ],
      },
    },
  ];
}

/** Seven significant digits: finer than any screen, and a third of the characters. */
function round(value: number): number {
  return Number(value.toPrecision(7));
}
