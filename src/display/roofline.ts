/** The roofline: what measurements reach of what the machine can do, by how much they compute on each byte. */
import { WarpbookError } from '../errors';
import { Measurement, type Roof } from '../measure/measurement';
import type { Machine } from '../schedule/machine';
import { formatCount } from '../units';
import { Chart } from './chart';
import { cleanLabel } from './escape';
import { SERIES_COLORS } from './palette';
import { table } from './table';
import { chartConfig, GUIDE, TEXT_INK, type VegaLiteSpec } from './vega-theme';

/** Options of {@link roofline}. */
export interface RooflineOptions {
  /** What the machine was measured to do, see `measureRoof`; default: the roof of the first measurement that has one. */
  readonly roof?: Roof;
  /** Adds what the data sheet promises, dashed. */
  readonly machine?: Machine;
  /** Default 'Roofline'. */
  readonly title?: string;
  /** Size of the plot in pixels; default 620 × 360. */
  readonly width?: number;
  readonly height?: number;
}

interface Point {
  readonly what: string;
  /** FLOP a byte. */
  readonly intensity: number;
  /** TFLOP/s at the median, and at the 90th and 10th percentile of time. */
  readonly tflops: number;
  readonly low: number;
  readonly high: number;
  readonly gbps: number;
  /** Of the roof at this intensity. */
  readonly share: number;
}

const SHAPES = ['circle', 'square', 'triangle-up', 'diamond', 'cross', 'triangle-down'] as const;
const MAX_LEGEND = 12;

/**
 * Draws each measurement at its arithmetic intensity (FLOP a byte) and rate (TFLOP/s), under the roof that the machine
 * was measured to have: its bandwidth left of the ridge, its arithmetic right of it. Whiskers reach from the 10th to the 90th
 * percentile. The model is that of Williams, Waterman and Patterson (2009).
 * @throws WarpbookError INVALID_ARGUMENT without a roof, and for measurements without `bytes` and `flops`
 */
export function roofline(measured: Measurement | readonly Measurement[], options: RooflineOptions = {}): Chart {
  const list = measured instanceof Measurement ? [measured] : measured;
  const roof = options.roof ?? list.find(({ roof }) => roof)?.roof;
  if (!roof) {
    throw new WarpbookError(
      'INVALID_ARGUMENT',
      'roofline() got no roof; pass { roof: await measureRoof() }, or measurements that were made with one.',
    );
  }
  const points = list.map((measurement, index) => pointOf(measurement, index, roof));
  const title = cleanLabel(options.title ?? 'Roofline');
  const subtitle =
    `measured roof: ${rateText(roof.readGbps)} GB/s, ${rateText(roof.tflops)} TFLOP/s, ` +
    `ridge at ${ridgeOf(roof).toPrecision(3)} FLOP/byte`;
  return new Chart(spec(points, roof, title, subtitle, options), (columns) =>
    [title, subtitle, ...(points.length > 0 ? [textOf(points, columns)] : [])].join('\n'),
  );
}

/** The intensity from which on arithmetic is the limit, FLOP a byte. */
function ridgeOf({ readGbps, tflops }: Roof): number {
  return (tflops * 1e3) / readGbps;
}

/** TFLOP/s under a roof. */
function attainable({ readGbps, tflops }: Roof, intensity: number): number {
  return Math.min(tflops, (readGbps * intensity) / 1e3);
}

function pointOf(measured: Measurement, index: number, roof: Roof): Point {
  const { bytes, flops, time } = measured;
  if (bytes === undefined || flops === undefined) {
    throw new WarpbookError(
      'INVALID_ARGUMENT',
      `Measurement ${index} (${cleanLabel(measured.what)}) has no ${bytes === undefined ? 'bytes' : 'flops'}; ` +
        'roofline() wants both: measure(fn, { bytes, flops }).',
    );
  }
  const intensity = flops / bytes;
  const rate = (ns: number): number => flops / ns / 1e3;
  return {
    what: cleanLabel(measured.what, 48),
    intensity,
    tflops: rate(time.median),
    low: rate(time.p90),
    high: rate(time.p10),
    gbps: bytes / time.median,
    share: rate(time.median) / attainable(roof, intensity),
  };
}

function spec(
  points: readonly Point[],
  roof: Roof,
  title: string,
  subtitle: string,
  options: RooflineOptions,
): VegaLiteSpec {
  const { width = 620, height = 360 } = options;
  const sheet: Roof | undefined = options.machine && {
    readGbps: options.machine.memoryBandwidthGBs,
    tflops: options.machine.bf16Tflops,
  };
  const ridge = ridgeOf(roof);
  const around = [ridge, ...points.map((point) => point.intensity)];
  // Round powers of two around all that is drawn.
  const left = 2 ** Math.floor(Math.log2(Math.min(...around)) - 1.5);
  const right = 2 ** Math.ceil(Math.log2(Math.max(...around)) + 1.5);
  const bottom = Math.min(attainable(roof, left), ...points.map((point) => point.low)) / 1.5;
  const top = Math.max(roof.tflops, sheet?.tflops ?? 0, ...points.map((point) => point.high)) * 1.9;
  const roofs = [
    ...roofLine('measured', roof, left, right),
    ...(sheet ? roofLine(`data sheet (${cleanLabel(options.machine?.name ?? '', 30)})`, sheet, left, right) : []),
  ];
  const names = [...new Set(roofs.map(({ roof: name }) => name))];
  const x = {
    field: 'intensity',
    type: 'quantitative',
    scale: { type: 'log', base: 2, domain: [left, right], nice: false },
    axis: { title: 'Arithmetic intensity (FLOP/byte)', format: ',~r', labelOverlap: true },
  };
  const y = {
    type: 'quantitative',
    scale: { type: 'log', domain: [bottom, top], nice: false },
    axis: { title: 'Rate (TFLOP/s)', format: ',.3~r', tickCount: 6, labelOverlap: true },
  };
  const order = [...new Set(points.map(({ what }) => what))];
  const cycle = <T>(values: readonly T[]): T[] => order.map((_, i) => values[i % values.length]);
  const legend =
    order.length > 0 && order.length <= MAX_LEGEND ? { title: 'Measured', symbolSize: 80, labelLimit: 240 } : null;
  const byName = (range: readonly unknown[]): object => ({
    field: 'what',
    type: 'nominal',
    scale: { domain: order, range },
    legend,
  });
  const color = byName(cycle(SERIES_COLORS));
  return {
    title: { text: title, subtitle },
    ...chartConfig(),
    width,
    height,
    resolve: { scale: { strokeDash: 'independent' } },
    layer: [
      {
        data: { values: roofs },
        mark: { type: 'line', color: GUIDE, strokeWidth: 2, clip: true },
        encoding: {
          x,
          y: { field: 'tflops', ...y },
          strokeDash: {
            field: 'roof',
            type: 'nominal',
            scale: { domain: names, range: names.map((_, i) => (i === 0 ? [1, 0] : [5, 4])) },
            legend: names.length > 1 ? { title: 'Roof', symbolType: 'stroke', symbolSize: 300, labelLimit: 240 } : null,
          },
        },
      },
      {
        data: { values: roofLabels(roof, left, right, { width, height, bottom, top }) },
        mark: {
          type: 'text',
          color: TEXT_INK,
          align: { expr: 'datum.align' },
          angle: { expr: 'datum.angle' },
          baseline: 'bottom',
          dy: -5,
          fontSize: 11,
        },
        encoding: { x, y: { field: 'tflops', ...y }, text: { field: 'label', type: 'nominal' } },
      },
      {
        data: { values: points },
        mark: { type: 'rule', strokeWidth: 1.5, clip: true },
        encoding: { x, y: { field: 'low', ...y }, y2: { field: 'high' }, color },
      },
      {
        data: { values: points },
        mark: { type: 'point', filled: true, size: 90, opacity: 1, clip: true },
        encoding: {
          x,
          y: { field: 'tflops', ...y },
          color,
          shape: byName(cycle(SHAPES)),
          tooltip: [
            { field: 'what', title: 'Measured', type: 'nominal' },
            { field: 'intensity', title: 'FLOP/byte', type: 'quantitative', format: ',.3~r' },
            { field: 'tflops', title: 'TFLOP/s', type: 'quantitative', format: ',.4~r' },
            { field: 'gbps', title: 'GB/s', type: 'quantitative', format: ',.4~r' },
            { field: 'share', title: 'Of the roof', type: 'quantitative', format: '.1%' },
          ],
        },
      },
    ],
  };
}

function roofLine(
  name: string,
  roof: Roof,
  left: number,
  right: number,
): { roof: string; intensity: number; tflops: number }[] {
  const ridge = Math.min(Math.max(ridgeOf(roof), left), right);
  return [left, ridge, right].map((intensity) => ({ roof: name, intensity, tflops: attainable(roof, intensity) }));
}

/** The bandwidth along the slope, the arithmetic on the flat part. */
function roofLabels(
  roof: Roof,
  left: number,
  right: number,
  plot: { readonly width: number; readonly height: number; readonly bottom: number; readonly top: number },
): object[] {
  const { width, height, bottom, top } = plot;
  // Both axes are logarithmic: where rate is proportional to intensity, an octave up is an octave to the right.
  const rise = height / Math.log2(top / bottom);
  const run = width / Math.log2(right / left);
  const angle = (-Math.atan2(rise, run) * 180) / Math.PI;
  const onSlope = left * 1.3;
  return [
    {
      intensity: onSlope,
      tflops: attainable(roof, onSlope),
      label: `${rateText(roof.readGbps)} GB/s`,
      align: 'left',
      angle,
    },
    {
      intensity: right / 1.1,
      tflops: roof.tflops,
      label: `${rateText(roof.tflops)} TFLOP/s`,
      align: 'right',
      angle: 0,
    },
  ];
}

/** Three digits or more: `3,180`, `630`, `0.12`. */
function rateText(rate: number): string {
  return rate >= 1000 ? formatCount(Math.round(rate)) : String(Number(rate.toPrecision(3)));
}

function textOf(points: readonly Point[], columns: number): string {
  const rows = points.map(({ what, intensity, tflops, gbps, share }) => ({
    measured: what,
    'FLOP/byte': intensity.toPrecision(3),
    'TFLOP/s': tflops.toPrecision(4),
    'GB/s': gbps.toPrecision(4),
    'of the roof': `${(share * 100).toFixed(1)} %`,
  }));
  return table(rows).toText(columns);
}
