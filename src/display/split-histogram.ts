/** How a schedule cuts its work: into how many pieces each query tile's keys go, and how long the pieces are. */
import { WarpbookError } from '../errors';
import { Schedule } from '../schedule/schedule';
import { TILE, TILE_STRIDE } from '../schedule/work-tile';
import { formatCount } from '../units';
import { Chart } from './chart';
import { cleanLabel } from './escape';
import { SERIES_COLORS } from './palette';
import { barLines, countOf, wrapParts } from './text-lines';
import { chartConfig, subtitleLines, type VegaLiteSpec } from './vega-theme';

/** Options of {@link splitHistogram}. */
export interface SplitHistogramOptions {
  /** Default: says which policy split. */
  readonly title?: string;
  /** Width of each of the two plots in pixels; default 300. */
  readonly width?: number;
  /** Height of the plots in pixels; default 200. */
  readonly height?: number;
}

/** Bars of a histogram, about. */
const NUM_BARS = 24;
const KINDS = ['whole', 'partial state'] as const;

interface Bar {
  readonly start: number;
  readonly end: number;
  readonly count: number;
  /** Tiles that write their rows themselves, or pieces that are merged later. */
  readonly kind?: (typeof KINDS)[number];
}

interface Splits {
  /** Pieces of each query tile and KV head. */
  readonly pieces: readonly number[];
  /** KV tokens of each tile, by kind. */
  readonly lengths: Readonly<Record<(typeof KINDS)[number], number[]>>;
}

/**
 * Draws two histograms: pieces that the keys of a query tile (of one KV head) are cut into, and KV tokens of a tile. Pieces of
 * a cut write partial states, which a merge has to read.
 * @throws WarpbookError INVALID_ARGUMENT for anything but a Schedule
 */
export function splitHistogram(schedule: Schedule, options: SplitHistogramOptions = {}): Chart {
  if (!(schedule instanceof Schedule)) {
    throw new WarpbookError(
      'INVALID_ARGUMENT',
      'splitHistogram() wants a Schedule: plan.schedule, or what a policy returns.',
    );
  }
  const splits = splitsOf(schedule);
  const pieces = histogram(splits.pieces, 1);
  const lengths = lengthBars(splits);
  const title = cleanLabel(options.title ?? `Splits: ${schedule.policy}`);
  const subtitle = summaryOf(schedule, splits);
  const { width = 300, height = 200 } = options;
  const spec: VegaLiteSpec = {
    title: { text: title, subtitle: subtitleLines(subtitle, 2 * width) },
    ...chartConfig(),
    spacing: 44,
    resolve: { scale: { color: 'independent' } },
    hconcat: [
      {
        width,
        height,
        data: { values: pieces },
        mark: { type: 'bar', color: SERIES_COLORS[2], binSpacing: 1 },
        encoding: {
          // A bar of n pieces stands over n.
          x: xChannel(pieces, 'Pieces of a query tile', true),
          x2: { field: 'end' },
          y: yChannel('Query tiles × KV heads'),
          tooltip: tooltip(pieces, 'pieces', 'query tiles'),
        },
      },
      {
        width,
        height,
        data: { values: lengths },
        mark: { type: 'bar', binSpacing: 1 },
        encoding: {
          x: xChannel(lengths, 'Length of a work tile (KV tokens)', false),
          x2: { field: 'end' },
          y: yChannel('Work tiles'),
          color: {
            field: 'kind',
            type: 'nominal',
            scale: { domain: KINDS, range: [SERIES_COLORS[0], SERIES_COLORS[1]] },
            legend: {
              title: 'Tile writes',
              orient: 'top',
              titleOrient: 'left',
              labelExpr: "datum.label === 'whole' ? 'its rows' : 'a partial state'",
            },
          },
          // Versions of Vega-Lite differ in what lies on top unless it is said.
          order: { field: 'kind', type: 'nominal' },
          tooltip: tooltip(lengths, 'KV tokens', 'work tiles'),
        },
      },
    ],
  };
  return new Chart(spec, (columns) =>
    [
      title,
      ...wrapParts(subtitle, columns),
      'pieces of a query tile',
      ...barLines(textBars(pieces), columns),
      'KV tokens of a work tile',
      ...barLines(textBars(sumByPlace(lengths)), columns),
    ].join('\n'),
  );
}

function splitsOf(schedule: Schedule): Splits {
  const byGroup = new Int32Array(schedule.numMergeGroups);
  const pieces: number[] = [];
  const lengths = { whole: [] as number[], 'partial state': [] as number[] };
  for (let t = 0; t < schedule.numTiles; t++) {
    const at = t * TILE_STRIDE;
    const isPartial = schedule.tiles[at + TILE.partialSlot] >= 0;
    lengths[isPartial ? 'partial state' : 'whole'].push(
      schedule.tiles[at + TILE.kvEnd] - schedule.tiles[at + TILE.kvStart],
    );
    const group = schedule.tiles[at + TILE.mergeGroup];
    if (isPartial && group >= 0) byGroup[group]++;
    else pieces.push(1);
  }
  for (const count of byGroup) if (count > 0) pieces.push(count);
  return { pieces, lengths };
}

function summaryOf(schedule: Schedule, { pieces, lengths }: Splits): string {
  const all = [...lengths.whole, ...lengths['partial state']];
  const most = pieces.reduce((a, b) => Math.max(a, b), 0);
  const mean = all.length > 0 ? all.reduce((a, b) => a + b, 0) / all.length : 0;
  return [
    `${countOf(pieces.length, 'query tile')} × KV heads in ${countOf(schedule.numTiles, 'work tile')}`,
    `at most ${countOf(most, 'piece')}`,
    `mean tile ${countOf(Math.round(mean), 'token')}`,
    `longest ${formatCount(all.reduce((a, b) => Math.max(a, b), 0))}`,
  ].join(' · ');
}

/** Width of bins: 1, 2 or 5 times a power of ten, at least `least`. */
function binWidth(values: readonly number[], least: number): number {
  const top = values.reduce((a, b) => Math.max(a, b), 0);
  const wanted = Math.max(least, (top + 1) / NUM_BARS);
  const power = 10 ** Math.floor(Math.log10(wanted));
  const step = [1, 2, 5, 10].find((factor) => factor * power >= wanted * (1 - 1e-9)) as number;
  return Math.max(least, step * power);
}

/** Bars from 0 (or, of whole numbers one by one, from the first) on; empty ones are left out. */
function histogram(values: readonly number[], least: number, width: number = binWidth(values, least)): Bar[] {
  const counts = new Map<number, number>();
  for (const value of values) {
    const bin = Math.floor(value / width);
    counts.set(bin, (counts.get(bin) ?? 0) + 1);
  }
  return [...counts.keys()]
    .sort((a, b) => a - b)
    .map((bin) => ({ start: bin * width, end: (bin + 1) * width, count: counts.get(bin) as number }));
}

function lengthBars({ lengths }: Splits): Bar[] {
  const width = binWidth([...lengths.whole, ...lengths['partial state']], 1);
  return KINDS.flatMap((kind) => histogram(lengths[kind], 1, width).map((bar) => ({ ...bar, kind })));
}

function xChannel(bars: readonly Bar[], title: string, isCentred: boolean): object {
  const end = bars.reduce((top, bar) => Math.max(top, bar.end), 1);
  const isSingle = isCentred && bars.every((bar) => bar.end - bar.start === 1);
  const domain = [isSingle ? 1 : 0, end];
  // Whole numbers one by one: the label stands in the middle of its bar.
  const labels = isSingle
    ? {
        values: Array.from({ length: end - 1 }, (_, i) => i + 1.5).filter(
          (_, i) => end <= 20 || i % Math.ceil(end / 16) === 0,
        ),
        labelExpr: 'floor(datum.value)',
        ticks: false,
      }
    : {};
  return {
    field: 'start',
    bin: 'binned',
    type: 'quantitative',
    scale: { domain, nice: false, zero: false },
    axis: { title, grid: false, tickMinStep: 1, format: ',d', ...labels },
  };
}

function yChannel(title: string): object {
  return {
    field: 'count',
    type: 'quantitative',
    stack: 'zero',
    axis: { title, tickMinStep: 1, tickCount: 5, format: ',d' },
  };
}

function tooltip(bars: readonly Bar[], what: string, counted: string): object[] {
  const isSingle = bars.every((bar) => bar.end - bar.start === 1);
  return [
    { field: 'start', title: isSingle ? what : `${what}, from`, type: 'quantitative', format: ',d' },
    ...(isSingle ? [] : [{ field: 'end', title: 'below', type: 'quantitative', format: ',d' }]),
    { field: 'count', title: counted, type: 'quantitative', format: ',d' },
    ...(bars.some((bar) => bar.kind) ? [{ field: 'kind', title: 'writes', type: 'nominal' }] : []),
  ];
}

function sumByPlace(bars: readonly Bar[]): Bar[] {
  const sums = new Map<number, Bar>();
  for (const bar of bars) sums.set(bar.start, { ...bar, count: bar.count + (sums.get(bar.start)?.count ?? 0) });
  return [...sums.values()].sort((a, b) => a.start - b.start);
}

function textBars(bars: readonly Bar[]): { label: string; value: number; text: string }[] {
  return bars.map(({ start, end, count }) => ({
    label: end - start === 1 ? formatCount(start) : `${formatCount(start)}–${formatCount(end - 1)}`,
    value: count,
    text: formatCount(count),
  }));
}
