/** How measurements and verdicts are shown: facts, the samples as a strip or a chart; and a bar while a cell measures. */
import type { Verdict } from '../measure/compare';
import type { Measurement } from '../measure/measurement';
import { type MeasureProgress, onMeasuring } from '../measure/progress';
import type { MimeBundle, RenderOptions } from '../renderers';
import { formatBytes, formatCount, formatDuration } from '../units';
import { Chart } from './chart';
import { cleanLabel } from './escape';
import { type Facts, factsBundle } from './facts';
import { currentFrontEnd } from './front-end';
import { type Progress, progress } from './progress';
import { table } from './table';
import { chartConfig, type VegaLiteSpec } from './vega-theme';

/** Bars of the histogram, and of its text. */
const NUM_BINS = 32;
const BLOCKS = ' ▁▂▃▄▅▆▇█';

/** The facts as a table, with the distribution of the samples in a line; {@link latencyChart} draws it. */
export function measurementBundle(measured: Measurement, options: RenderOptions): MimeBundle {
  const facts: Facts = [...measurementFacts(measured), ['distribution', stripText(measured)]];
  return factsBundle(measured.what, facts, [], options);
}

function measurementFacts(measured: Measurement): [string, string][] {
  const { time, enqueue, telemetry, mode } = measured;
  const facts: [string, string][] = [
    ['median', `${formatDuration(time.median)} ± ${measured.precisionPct.toFixed(2)} % (95 %)`],
    ['min … max', `${formatDuration(time.min)} … ${formatDuration(time.max)}`],
    ['10 % … 90 %', `${formatDuration(time.p10)} … ${formatDuration(time.p90)}, spread ${time.spreadPct.toFixed(1)} %`],
  ];
  if (measured.gbps !== undefined) {
    facts.push(['read and written', `${formatBytes(measured.bytes as number)}, ${measured.gbps.toPrecision(4)} GB/s`]);
  }
  if (measured.tflops !== undefined) facts.push(['computed', `${measured.tflops.toPrecision(4)} TFLOP/s`]);
  if (measured.shareOfRoof !== undefined) {
    facts.push(['share of the roof', `${(measured.shareOfRoof * 100).toFixed(1)} %`]);
  }
  if (enqueue) {
    facts.push([mode === 'graph' ? 'host, a replay' : 'host, a call', formatDuration(enqueue.median)]);
  }
  const calls = measured.callsPerSample > 1 ? ` of ${formatCount(measured.callsPerSample)} calls` : '';
  const sets = measured.rotate > 1 ? `, ${measured.rotate} operand sets in turn` : '';
  facts.push(['samples', `${formatCount(time.count)}${calls} (${mode})${sets}; stopped by ${measured.stoppedBy}`]);
  facts.push(['device', measured.device]);
  if (telemetry) {
    const { before, after } = telemetry;
    const throttled = after.throttledBy?.length ? `, held down by ${after.throttledBy.join(', ')}` : '';
    facts.push([
      'clocks',
      `${before.smClockMhz ?? '?'} → ${after.smClockMhz ?? '?'} MHz, ${after.powerWatts?.toFixed(0) ?? '?'} W${throttled}`,
    ]);
  }
  return facts;
}

/** How the samples of a measurement are distributed, as a chart. */
export function latencyChart(measured: Measurement): Chart {
  const { edges, counts } = histogram(measured.samplesNs);
  const values = Array.from(counts, (count, bin) => ({ start: edges[bin] / 1e3, end: edges[bin + 1] / 1e3, count }));
  const spec: VegaLiteSpec = {
    $schema: 'https://vega.github.io/schema/vega-lite/v5.json',
    title: {
      text: cleanLabel(measured.what),
      subtitle: `${formatCount(measured.time.count)} samples, median ${formatDuration(measured.time.median)}`,
    },
    width: 520,
    height: 90,
    layer: [
      {
        data: { values },
        mark: { type: 'bar', color: '#0072b2' },
        encoding: {
          x: { field: 'start', type: 'quantitative', scale: { zero: false }, axis: { title: 'µs a call' } },
          x2: { field: 'end' },
          y: { field: 'count', type: 'quantitative', axis: { title: 'samples', tickMinStep: 1, tickCount: 4 } },
        },
      },
      {
        data: { values: [{ median: measured.time.median / 1e3 }] },
        mark: { type: 'rule', color: '#d55e00', strokeWidth: 1.5 },
        encoding: { x: { field: 'median', type: 'quantitative' } },
      },
    ],
    ...chartConfig(),
  };
  return new Chart(spec, stripText(measured));
}

/** The histogram in one line: `5.98 µs ▁▃█▅▂▁ 6.31 µs`. */
function stripText({ samplesNs }: Measurement): string {
  const { edges, counts } = histogram(samplesNs);
  const most = Math.max(1, ...counts);
  const strip = Array.from(counts, (count) => BLOCKS[Math.ceil((count / most) * (BLOCKS.length - 1))]).join('');
  return `${formatDuration(edges[0])} ${strip} ${formatDuration(edges[edges.length - 1])}`;
}

/** Counts in bins of equal width from the fastest sample to the 99th percentile; the last bin has what is beyond. */
function histogram(samples: Float64Array): { edges: Float64Array; counts: Uint32Array } {
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

/** Both sides and their ratio; the sentence says what it means. */
export function verdictBundle(verdict: Verdict, options: RenderOptions): MimeBundle {
  const side = (name: string, spread: Verdict['a']): object => ({
    what: cleanLabel(name),
    median: spread.median / 1e3,
    min: spread.min / 1e3,
    'p10 … p90': `${(spread.p10 / 1e3).toPrecision(4)} … ${(spread.p90 / 1e3).toPrecision(4)}`,
    turns: spread.count,
  });
  const [a, b] = verdict.names;
  return table([side(a, verdict.a), side(b, verdict.b)], {
    title: String(verdict),
    units: { median: 'µs', min: 'µs' },
  }).bundle(options);
}

/** Shows a bar in a notebook's cell while it measures for long; elsewhere whoever wants one makes it. */
export function showMeasuring(): void {
  if (isShowing) return;
  isShowing = true;
  let bar: Progress | undefined;
  let startedAt = 0;
  onMeasuring(({ what, share, medianNs, done }: MeasureProgress) => {
    if (!currentFrontEnd()) return;
    if (startedAt === 0) startedAt = performance.now();
    if (!bar && !done && performance.now() - startedAt > BAR_AFTER_MS) bar = progress(`measuring ${what}`, 100);
    bar?.update(Math.round(share * 100), Number.isFinite(medianNs) ? formatDuration(medianNs) : undefined);
    if (!done) return;
    bar?.finish();
    bar = undefined;
    startedAt = 0;
  });
}

let isShowing = false;
/** What is over before is not worth a bar. */
const BAR_AFTER_MS = 300;
