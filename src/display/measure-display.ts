/** How measurements and verdicts are shown: facts, the samples as a strip or a chart; and a bar while a cell measures. */
import type { Verdict } from '../measure/compare';
import { Measurement } from '../measure/measurement';
import { type MeasureProgress, onMeasuring } from '../measure/progress';
import type { MeasuredRoof } from '../measure/roof';
import type { MimeBundle, RenderOptions } from '../renderers';
import { formatBytes, formatCount, formatDuration } from '../units';
import { cleanLabel } from './escape';
import { type Facts, factsBundle } from './facts';
import { currentFrontEnd } from './front-end';
import { sampleChart, stripText } from './latency-chart';
import { type LiveChart, liveChart } from './live-chart';
import { type Progress, progress } from './progress';
import { roofline } from './roofline';
import { table } from './table';

/** The facts as a table, with the distribution of the samples in a line; {@link latencyChart} draws it. */
export function measurementBundle(measured: Measurement, options: RenderOptions): MimeBundle {
  const facts: Facts = [...measurementFacts(measured), ['distribution', stripText(measured.samplesNs)]];
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

/** Recognises what `measureRoof` returns: a plain object. */
export function isMeasuredRoof(value: object): value is MeasuredRoof {
  const { read, arithmetic } = value as Partial<MeasuredRoof>;
  return read instanceof Measurement && arithmetic instanceof Measurement;
}

/** The roof as a chart without points. */
export function roofBundle(roof: MeasuredRoof, options: RenderOptions): Promise<MimeBundle> {
  return roofline([], { roof, title: `Roof of ${roof.read.device}` }).bundle(options);
}

/**
 * Shows a bar in a notebook's cell while it measures for long, or, where that was asked for, a chart of the samples; elsewhere
 * whoever wants one makes it.
 */
export function showMeasuring(): void {
  if (isShowing) return;
  isShowing = true;
  let bar: Progress | undefined;
  let chart: LiveChart | undefined;
  let startedAt = 0;
  onMeasuring(({ what, share, medianNs, samplesNs, live, done }: MeasureProgress) => {
    if (!currentFrontEnd()) return;
    if (startedAt === 0) startedAt = performance.now();
    if (live) {
      chart ??= liveChart();
      chart.update(() => sampleChart({ what, samplesNs }));
    } else {
      const isLong = performance.now() - startedAt > BAR_AFTER_MS;
      if (!bar && !done && isLong) bar = progress(`measuring ${what}`, 100, { counts: false });
      bar?.update(Math.round(share * 100), Number.isFinite(medianNs) ? formatDuration(medianNs) : undefined);
    }
    if (!done) return;
    bar?.finish();
    chart?.finish();
    bar = undefined;
    chart = undefined;
    startedAt = 0;
  });
}

let isShowing = false;
/** What is over before is not worth a bar. */
const BAR_AFTER_MS = 300;
