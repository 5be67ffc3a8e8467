/** Latency over KV length, a line for each batch size, with bands from the 10th to the 90th percentile. */
import { WarpbookError } from '../errors';
import { Measurement } from '../measure/measurement';
import type { Spread } from '../measure/statistics';
import { formatCount, formatDuration } from '../units';
import { Chart } from './chart';
import { cleanLabel } from './escape';
import { SERIES_COLORS } from './palette';
import { table } from './table';
import { timeUnit } from './time-unit';
import { chartConfig, type VegaLiteSpec } from './vega-theme';

/** What was measured at one batch size and length. */
export interface LatencyPoint {
  /** Requests. */
  readonly batch: number;
  /** KV tokens of a request. */
  readonly kvLen: number;
  /** A measurement, or the spread of its times in nanoseconds. */
  readonly time: Measurement | Spread;
  /** What is told apart beside the batch size, such as a policy; default: nothing. */
  readonly series?: string;
}

/** Options of {@link latencyBands}. */
export interface LatencyBandsOptions {
  /** Default 'Latency by batch and KV length'. */
  readonly title?: string;
  /** What runs along x; each value of the other has a line. Default 'kvLen'. */
  readonly x?: 'kvLen' | 'batch';
  /** Size of the plot in pixels; default 620 × 320. */
  readonly width?: number;
  readonly height?: number;
}

interface Row {
  readonly x: number;
  readonly line: string;
  readonly median: number;
  readonly low: number;
  readonly high: number;
  readonly count: number;
}

const AXES = {
  kvLen: {
    axis: 'KV length (tokens)',
    line: (point: LatencyPoint) => `batch ${formatCount(point.batch)}`,
    other: 'batch',
  },
  batch: {
    axis: 'Batch (requests)',
    line: (point: LatencyPoint) => `${formatCount(point.kvLen)} tokens`,
    other: 'kvLen',
  },
} as const;
const SHAPES = ['circle', 'square', 'triangle-up', 'diamond', 'cross', 'triangle-down'] as const;
const DASHES = [
  [1, 0],
  [6, 3],
  [2, 2],
] as const;

/**
 * Draws the medians as lines and the 10th to the 90th percentile as bands, on logarithmic axes. Each line has a colour, a
 * shape and, beyond four lines, a dash of its own.
 * @throws WarpbookError INVALID_ARGUMENT for no points, and for values that aren't positive
 */
export function latencyBands(points: readonly LatencyPoint[], options: LatencyBandsOptions = {}): Chart {
  const { x = 'kvLen', width = 620, height = 320 } = options;
  if (!Array.isArray(points) || points.length === 0) {
    throw new WarpbookError('INVALID_ARGUMENT', 'latencyBands() got no points; wanted [{ batch, kvLen, time }, …].');
  }
  points.forEach(check);
  const title = cleanLabel(options.title ?? 'Latency by batch and KV length');
  const sorted = [...points].sort(
    (a, b) => (a.series ?? '').localeCompare(b.series ?? '') || a[AXES[x].other] - b[AXES[x].other] || a[x] - b[x],
  );
  const unit = timeUnit(Math.max(...sorted.map(({ time }) => spread(time).median)));
  const rows = sorted.map((point): Row => {
    const { median, p10, p90, count } = spread(point.time);
    const line = [...(point.series === undefined ? [] : [cleanLabel(point.series, 40)]), AXES[x].line(point)].join(
      ', ',
    );
    return { x: point[x], line, median: median / unit.ns, low: p10 / unit.ns, high: p90 / unit.ns, count };
  });
  const subtitle = 'line: median · band: 10th to 90th percentile';
  return new Chart(spec(rows, { title, subtitle, xTitle: AXES[x].axis, unit: unit.name, width, height }), (columns) =>
    textOf(sorted, title, columns),
  );
}

function check({ batch, kvLen, time }: LatencyPoint, index: number): void {
  const spreadHere = typeof time === 'object' && time !== null ? spread(time) : undefined;
  const values = {
    batch,
    kvLen,
    'time.median': spreadHere?.median,
    'time.p10': spreadHere?.p10,
    'time.p90': spreadHere?.p90,
  };
  for (const [name, value] of Object.entries(values)) {
    if (typeof value === 'number' && value > 0 && Number.isFinite(value)) continue;
    throw new WarpbookError('INVALID_ARGUMENT', `${name} of point ${index} is ${value}; wanted a positive number.`);
  }
}

function spread(time: Measurement | Spread): Spread {
  return time instanceof Measurement ? time.time : time;
}

interface Frame {
  readonly title: string;
  readonly subtitle: string;
  readonly xTitle: string;
  readonly unit: string;
  readonly width: number;
  readonly height: number;
}

function spec(rows: readonly Row[], frame: Frame): VegaLiteSpec {
  const lines = [...new Set(rows.map(({ line }) => line))];
  const cycle = <T>(values: readonly T[]): T[] => lines.map((_, i) => values[i % values.length]);
  const xs = [...new Set(rows.map((row) => row.x))].sort((a, b) => a - b);
  // Powers of two where the values are, which lengths and batches mostly are.
  const ticks = xs.length <= 12 ? xs : undefined;
  const x = {
    field: 'x',
    type: 'quantitative',
    scale: { type: 'log', base: 2, nice: false },
    axis: { title: frame.xTitle, format: ',d', labelOverlap: true, ...(ticks ? { values: ticks } : {}) },
  };
  const y = {
    type: 'quantitative',
    scale: { type: 'log', nice: true },
    axis: { title: `Time of a call (${frame.unit})`, format: ',.3~r', tickCount: 6 },
  };
  const legend = { title: null, symbolStrokeWidth: 2, symbolSize: 70, symbolOpacity: 1, labelLimit: 240 };
  const color = { field: 'line', type: 'nominal', scale: { domain: lines, range: cycle(SERIES_COLORS) }, legend };
  const shape = { field: 'line', type: 'nominal', scale: { domain: lines, range: cycle(SHAPES) }, legend };
  const dashes = lines.map((_, i) => DASHES[Math.floor(i / SERIES_COLORS.length) % DASHES.length]);
  const strokeDash = { field: 'line', type: 'nominal', scale: { domain: lines, range: dashes }, legend };
  return {
    title: { text: frame.title, subtitle: frame.subtitle },
    ...chartConfig(),
    width: frame.width,
    height: frame.height,
    data: { values: rows },
    encoding: { x, color },
    layer: [
      { mark: { type: 'area', opacity: 0.22 }, encoding: { y: { field: 'low', ...y }, y2: { field: 'high' } } },
      { mark: { type: 'line', strokeWidth: 1.8 }, encoding: { y: { field: 'median', ...y }, strokeDash } },
      {
        mark: { type: 'point', filled: true, size: 45, opacity: 1 },
        encoding: {
          y: { field: 'median', ...y },
          shape,
          tooltip: [
            { field: 'line', title: 'Line', type: 'nominal' },
            { field: 'x', title: frame.xTitle, type: 'quantitative', format: ',d' },
            { field: 'median', title: `Median (${frame.unit})`, type: 'quantitative', format: ',.4~r' },
            { field: 'low', title: '10 %', type: 'quantitative', format: ',.4~r' },
            { field: 'high', title: '90 %', type: 'quantitative', format: ',.4~r' },
            { field: 'count', title: 'Samples', type: 'quantitative', format: ',d' },
          ],
        },
      },
    ],
  };
}

function textOf(points: readonly LatencyPoint[], title: string, columns: number): string {
  const hasSeries = points.some(({ series }) => series !== undefined);
  const rows = points.map(({ batch, kvLen, series, time }) => ({
    ...(hasSeries ? { series: series ?? '' } : {}),
    batch,
    'KV tokens': kvLen,
    median: formatDuration(spread(time).median),
    '10 % … 90 %': `${formatDuration(spread(time).p10)} … ${formatDuration(spread(time).p90)}`,
  }));
  return table(rows, { title }).toText(columns);
}
