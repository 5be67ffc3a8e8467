/** Where time is lost: how idle each CTA (or SM) was, by time; above it, how idle all were. */
import type { Schedule } from '../schedule/schedule';
import type { Timeline } from '../timeline/timeline';
import { Chart } from './chart';
import { type BusyBins, busyBins } from './gantt-bins';
import { type GanttModel, type GanttOptions, ganttModel, rowLabels } from './gantt-model';
import { ganttText } from './gantt-text';
import { SERIES_COLORS, SHARE_SCALE } from './palette';
import { chartConfig, subtitleLines, type VegaLiteSpec } from './vega-theme';

export interface HeatmapOptions extends Omit<GanttOptions, 'colorBy' | 'requestLabels' | 'width'> {
  /** Width of the plot in pixels; default 650. */
  readonly width?: number;
  /** Time bins; default by the number of lanes, 60 to 150. */
  readonly bins?: number;
}

const MAX_ROWS = 280;
/** Cells that a front end draws without a pause. */
const MAX_CELLS = 20_000;
const STRIP_HEIGHT = 56;
const OVERLAP_PX = 0.8;

/**
 * Draws the idle share of each CTA by time: bright cells are idle. A late column is a tail (imbalance), bright rows are CTAs
 * without work, speckles are gaps between tiles. Above it the idle share of all lanes together.
 *
 * A Schedule is drawn by KV tokens instead of time.
 * @throws WarpbookError INVALID_ARGUMENT as `gantt`
 */
export function idleHeatmap(source: Schedule | Timeline, options: HeatmapOptions = {}): Chart {
  const model = ganttModel(source, options, 'idleHeatmap');
  const lanesPerRow = Math.ceil(model.numLanes / MAX_ROWS);
  const numRows = Math.max(1, Math.ceil(model.numLanes / lanesPerRow));
  const fitting = Math.min(150, Math.max(60, Math.floor(MAX_CELLS / numRows)));
  const bins = busyBins(model, Math.max(1, Math.floor(options.bins ?? fitting)), Math.max(1, lanesPerRow));
  return new Chart(heatmapSpec(model, bins, options), (columns) => ganttText(model, columns));
}

function heatmapSpec(model: GanttModel, bins: BusyBins, options: HeatmapOptions): VegaLiteSpec {
  const width = options.width ?? 650;
  const height = options.height ?? Math.min(460, Math.max(90, bins.numRows * 16));
  const what = model.kind === 'timeline' ? 'Idle time' : 'Idle share';
  const note = bins.lanesPerRow > 1 ? ` · ${bins.lanesPerRow} ${model.laneName}s a row` : '';
  return {
    title: {
      text: options.title === undefined ? `${what} by ${model.laneName}` : model.title,
      subtitle: subtitleLines(model.subtitle + note, width),
    },
    ...chartConfig(),
    spacing: 8,
    vconcat: [stripView(model, bins, width), mapView(model, bins, width, height)],
  };
}

function xChannel(model: GanttModel, field: string, hasAxis: boolean): object {
  const axis = hasAxis ? { title: model.xTitle, grid: false } : null;
  return { field, type: 'quantitative', scale: { domain: [0, model.extent], nice: false }, axis };
}

/** The idle share of all lanes, as steps. */
function stripView(model: GanttModel, bins: BusyBins, width: number): object {
  const idle = new Float64Array(bins.numBins);
  for (let b = 0; b < bins.numBins; b++) {
    let busy = 0;
    for (let r = 0; r < bins.numRows; r++) {
      busy += bins.share[r * bins.numBins + b] * Math.min(bins.lanesPerRow, model.numLanes - r * bins.lanesPerRow);
    }
    idle[b] = model.numLanes > 0 ? 1 - busy / model.numLanes : 1;
  }
  const values = Array.from(idle, (share, b) => ({
    start: round(b * bins.binWidth),
    end: round((b + 1) * bins.binWidth),
    idle: round(share),
  }));
  return {
    width,
    height: STRIP_HEIGHT,
    data: { values },
    mark: { type: 'bar', color: SERIES_COLORS[1], binSpacing: 0 },
    encoding: {
      x: { ...xChannel(model, 'start', false), bin: 'binned' },
      x2: { field: 'end' },
      y: {
        field: 'idle',
        type: 'quantitative',
        scale: { domain: [0, 1] },
        axis: { title: `All ${model.laneName}s`, format: '.0%', values: [0, 0.5, 1], grid: true },
      },
      tooltip: [
        { field: 'start', title: `Start (${model.xUnit})`, type: 'quantitative', format: ',.4~r' },
        { field: 'idle', title: 'Idle share', type: 'quantitative', format: '.1%' },
      ],
    },
  };
}

function mapView(model: GanttModel, bins: BusyBins, width: number, height: number): object {
  const { numRows, numBins, lanesPerRow, binWidth } = bins;
  // Bare numbers, row by row: a third of the text of rows with names.
  const values = Array.from(bins.share, (share) => Math.round((1 - share) * 100) / 100);
  const labels = JSON.stringify(rowLabels(model, lanesPerRow));
  // Cells overlap a little, or antialiasing leaves a grid of seams between them.
  const overlapX = (OVERLAP_PX * numBins) / width;
  const overlapY = (OVERLAP_PX * numRows) / height;
  return {
    width,
    height,
    data: { values },
    transform: [
      { window: [{ op: 'row_number', as: 'cell' }] },
      { calculate: `floor((datum.cell - 1) / ${numBins})`, as: 'row' },
      { calculate: `(datum.cell - 1) % ${numBins}`, as: 'bin' },
      { calculate: `datum.bin * ${binWidth}`, as: 'start' },
      { calculate: `min(datum.bin + 1 + ${overlapX}, ${numBins}) * ${binWidth}`, as: 'end' },
      { calculate: `datum.row * ${lanesPerRow} - 0.5`, as: 'top' },
      { calculate: `min((datum.row + 1 + ${overlapY}) * ${lanesPerRow}, ${model.numLanes}) - 0.5`, as: 'bottom' },
      { calculate: `${labels}[datum.row]`, as: 'lanes' },
    ],
    mark: { type: 'rect', clip: true },
    encoding: {
      x: xChannel(model, 'start', true),
      x2: { field: 'end' },
      y: {
        field: 'top',
        type: 'quantitative',
        scale: {
          domain: [-0.5, Math.max(1, numRows * lanesPerRow, model.numLanes) - 0.5],
          nice: false,
          zero: false,
          reverse: true,
        },
        axis: {
          title: model.laneName,
          grid: false,
          tickMinStep: 1,
          tickCount: Math.min(model.numLanes, 16),
          format: 'd',
          ...laneAxis(model),
        },
      },
      y2: { field: 'bottom' },
      color: {
        field: 'data',
        type: 'quantitative',
        scale: { domain: [0, 1], ...SHARE_SCALE },
        legend: { title: 'Idle share', format: '.0%', gradientLength: Math.min(200, height - 20) },
      },
      tooltip: [
        { field: 'lanes', title: `${model.laneName}${lanesPerRow > 1 ? 's' : ''}`, type: 'nominal' },
        { field: 'start', title: `Start (${model.xUnit})`, type: 'quantitative', format: ',.4~r' },
        { field: 'data', title: 'Idle share', type: 'quantitative', format: '.0%' },
      ],
    },
  };
}

function laneAxis(model: GanttModel): object {
  const isIdentity = Array.from(model.laneLabels).every((label, lane) => label === lane);
  return isIdentity ? {} : { labelExpr: `${JSON.stringify(Array.from(model.laneLabels))}[datum.value]` };
}

function round(value: number): number {
  return Number(value.toPrecision(6));
}
