/** The samples of a measurement: how they are distributed, and how they came one after the other. */
import type { Measurement } from '../measure/measurement';
import { medianInterval, spreadOf } from '../measure/statistics';
import { formatCount, formatDuration } from '../units';
import { Chart } from './chart';
import { cleanLabel } from './escape';
import { SERIES_COLORS } from './palette';
import { timeUnit } from './time-unit';
import { chartConfig, type VegaLiteSpec } from './vega-theme';

/** Bars of the histogram, and of its text. */
const NUM_BINS = 32;
const BLOCKS = ' ▁▂▃▄▅▆▇█';
/** Points of a series; of more samples every n-th is drawn. */
const MAX_POINTS = 500;
const MEDIAN_COLOR = SERIES_COLORS[1];

/** How the samples of a measurement are distributed: a histogram with the median marked. */
export function latencyChart(measured: Measurement): Chart {
  const { edges, counts } = histogram(measured.samplesNs);
  const unit = timeUnit(edges[edges.length - 1]);
  const values = Array.from(counts, (count, bin) => ({
    start: edges[bin] / unit.ns,
    end: edges[bin + 1] / unit.ns,
    count,
  }));
  const spec: VegaLiteSpec = {
    title: titleOf(measured.what, measured.samplesNs),
    ...chartConfig(),
    width: 520,
    height: 110,
    layer: [
      {
        data: { values },
        mark: { type: 'bar', color: SERIES_COLORS[0], binSpacing: 1 },
        encoding: {
          x: {
            field: 'start',
            bin: 'binned',
            type: 'quantitative',
            scale: { zero: false, nice: false, domain: [edges[0] / unit.ns, edges[NUM_BINS] / unit.ns] },
            axis: { title: `Time of a call (${unit.name})`, grid: false },
          },
          x2: { field: 'end' },
          y: { field: 'count', type: 'quantitative', axis: { title: 'Samples', tickMinStep: 1, tickCount: 4 } },
          tooltip: [
            { field: 'start', title: `From (${unit.name})`, type: 'quantitative', format: ',.5~r' },
            { field: 'end', title: `To (${unit.name})`, type: 'quantitative', format: ',.5~r' },
            { field: 'count', title: 'Samples', type: 'quantitative', format: ',d' },
          ],
        },
      },
      {
        data: { values: [{ median: measured.time.median / unit.ns }] },
        mark: { type: 'rule', color: MEDIAN_COLOR, strokeWidth: 2 },
        encoding: { x: { field: 'median', type: 'quantitative' } },
      },
    ],
  };
  return new Chart(spec, stripText(measured.samplesNs));
}

/**
 * The samples in the order taken, with their median and its 95 % confidence interval: shows warming up, clocks that
 * fall, and outliers. `measure(fn, { live: true })` draws it while it measures.
 * @param measured a measurement, or samples of your own, in nanoseconds a call
 */
export function sampleChart(
  measured: Measurement | { readonly what: string; readonly samplesNs: ArrayLike<number> },
): Chart {
  const { what, samplesNs } = measured;
  const { median, max } = spreadOf(samplesNs);
  const unit = timeUnit(max);
  const step = Math.max(1, Math.ceil(samplesNs.length / MAX_POINTS));
  const values: { sample: number; time: number }[] = [];
  for (let i = 0; i < samplesNs.length; i += step)
    values.push({ sample: i + 1, time: significant(samplesNs[i] / unit.ns) });
  const interval = medianInterval(samplesNs);
  const band = interval ? [{ low: interval[0] / unit.ns, high: interval[1] / unit.ns }] : [];
  const y = {
    type: 'quantitative',
    scale: { zero: false },
    axis: { title: `Time of a call (${unit.name})`, tickCount: 5 },
  };
  const spec: VegaLiteSpec = {
    title: titleOf(what, samplesNs),
    ...chartConfig(),
    width: 620,
    height: 150,
    layer: [
      {
        data: { values: band },
        mark: { type: 'rect', color: MEDIAN_COLOR, opacity: 0.25 },
        encoding: { y: { field: 'low', ...y }, y2: { field: 'high' } },
      },
      {
        data: { values },
        mark: { type: 'point', filled: true, size: 18, color: SERIES_COLORS[0], opacity: 0.75 },
        encoding: {
          x: {
            field: 'sample',
            type: 'quantitative',
            scale: { domain: [0, Math.max(10, samplesNs.length + 1)], nice: false },
            axis: {
              title: step > 1 ? `Sample (every ${ordinal(step)} is drawn)` : 'Sample',
              tickMinStep: 1,
              format: ',d',
              grid: false,
            },
          },
          y: { field: 'time', ...y },
          tooltip: [
            { field: 'sample', title: 'Sample', type: 'quantitative', format: ',d' },
            { field: 'time', title: `Time (${unit.name})`, type: 'quantitative', format: ',.5~r' },
          ],
        },
      },
      {
        data: { values: samplesNs.length > 0 ? [{ median: median / unit.ns }] : [] },
        mark: { type: 'rule', color: MEDIAN_COLOR, strokeWidth: 1.5 },
        encoding: { y: { field: 'median', ...y } },
      },
    ],
  };
  return new Chart(spec, `${cleanLabel(what)}  ${stripText(samplesNs)}`);
}

function titleOf(what: string, samplesNs: ArrayLike<number>): object {
  const { median, count } = spreadOf(samplesNs);
  const interval = medianInterval(samplesNs);
  const sure = interval ? ` (95 %: ${formatDuration(interval[0])} to ${formatDuration(interval[1])})` : '';
  const known = count > 0 ? `, median ${formatDuration(median)}${sure}` : '';
  return { text: cleanLabel(what), subtitle: `${formatCount(count)} samples${known}` };
}

/** The histogram in one line: `5.98 µs ▁▃█▅▂▁ 6.31 µs`. */
export function stripText(samplesNs: ArrayLike<number>): string {
  const { edges, counts } = histogram(samplesNs);
  const most = Math.max(1, ...counts);
  const strip = Array.from(counts, (count) => BLOCKS[Math.ceil((count / most) * (BLOCKS.length - 1))]).join('');
  return `${formatDuration(edges[0])} ${strip} ${formatDuration(edges[edges.length - 1])}`;
}

/** Counts in bins of equal width from the fastest sample to the 99th percentile; the last bin has what is beyond. */
function histogram(samples: ArrayLike<number>): { edges: Float64Array; counts: Uint32Array } {
  const sorted = Float64Array.from(samples).sort();
  const low = sorted[0] ?? 0;
  const high = Math.max(sorted[Math.floor(0.99 * (sorted.length - 1))] ?? 0, low * (1 + 1e-6) + 1e-6);
  const edges = Float64Array.from({ length: NUM_BINS + 1 }, (_, i) => low + ((high - low) * i) / NUM_BINS);
  const counts = new Uint32Array(NUM_BINS);
  for (const sample of sorted) {
    counts[Math.min(NUM_BINS - 1, Math.floor(((sample - low) / (high - low)) * NUM_BINS))]++;
  }
  return { edges, counts };
}

function ordinal(n: number): string {
  return n === 2 ? '2nd' : n === 3 ? '3rd' : `${n}th`;
}

function significant(value: number): number {
  return Number(value.toPrecision(6));
}
