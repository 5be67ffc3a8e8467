import { describe, expect, it } from 'vitest';
import { latencyChart } from '../../../src/display/latency-chart';
import { registerDisplays } from '../../../src/display/register';
import { Verdict } from '../../../src/measure/compare';
import { Measurement, type MeasurementFacts } from '../../../src/measure/measurement';
import { spreadOf } from '../../../src/measure/statistics';
import { renderBundle } from '../../../src/renderers';

const HOSTILE = '<script>alert("x")</script>\x1b[31m';

function measured(changes: Partial<MeasurementFacts> = {}): Measurement {
  return new Measurement({
    what: 'decode',
    mode: 'graph',
    device: 'NVIDIA H100',
    samplesNs: Float64Array.from({ length: 100 }, (_, i) => 6000 + (i % 10) * 10),
    enqueueSamplesNs: Float64Array.of(4000),
    callsPerSample: 512,
    rotate: 128,
    precisionPct: 0.25,
    stoppedBy: 'precision',
    bytes: 6000 * 1024,
    roof: { readGbps: 3180, tflops: 630 },
    telemetry: {
      before: { smClockMhz: 1980 },
      after: { smClockMhz: 1755, powerWatts: 699.5, throttledBy: ['power cap'] },
    },
    ...changes,
  });
}

async function show(value: unknown): Promise<{ text: string; html: string }> {
  registerDisplays();
  const bundle = await renderBundle(value);
  return { text: bundle?.['text/plain'] as string, html: (bundle?.['text/html'] ?? '') as string };
}

describe('measurements', () => {
  it('show time, rates, circumstances and the distribution', async () => {
    const { text, html } = await show(measured());
    expect(text).toMatch(/^decode\n/);
    for (const part of [
      '6.04 µs ± 0.25 % (95 %)',
      '1016 GB/s',
      '32.0 %',
      'host, a replay',
      '100 of 512 calls (graph), 128 operand sets in turn; stopped by precision',
      '1980 → 1755 MHz, 700 W, held down by power cap',
      '█',
    ]) {
      expect(text).toContain(part);
      expect(html).toContain(part);
    }
  });

  it('show nothing that was not measured', async () => {
    const { text } = await show(
      measured({ bytes: undefined, telemetry: undefined, enqueueSamplesNs: new Float64Array(0) }),
    );
    for (const part of ['GB/s', 'roof', 'MHz', 'host']) expect(text).not.toContain(part);
  });

  it('draw their samples, one or many', async () => {
    const chart = latencyChart(measured());
    expect(chart.toText()).toMatch(/^6\.00 µs [ ▁▂▃▄▅▆▇█]{32} 6\.09 µs$/);
    const layers = (chart.toVegaLite() as { layer: { data: { values: { count: number }[] } }[] }).layer;
    expect(layers[0].data.values.reduce((sum, { count }) => sum + count, 0)).toBe(100);
    expect((await latencyChart(measured({ samplesNs: Float64Array.of(5) })).toSvg()).startsWith('<svg')).toBe(true);
  });

  it('take any name', async () => {
    const { text, html } = await show(measured({ what: HOSTILE }));
    expect(text).not.toContain('\x1b');
    expect(html).not.toContain('<script');
  });
});

describe('verdicts', () => {
  const sides = [spreadOf([5000, 5100, 5200]), spreadOf([4000, 4100, 4200])] as const;

  it('are a sentence and both sides', async () => {
    const verdict = new Verdict('slower', [`traced${HOSTILE}`, 'plain'], 1.25, 1.2, 1.3, 12, ...sides);
    const { text, html } = await show(verdict);
    expect(text).toContain('is slower than plain (time +25.00 %, between +20.00 % and +30.00 %, 12 rounds)');
    expect(text).toMatch(/plain +4\.1/);
    expect(html).not.toContain('<script');
  });

  it('say so where nothing can be said', () => {
    const verdict = new Verdict('unclear', ['a', 'b'], 1.01, 0, Number.POSITIVE_INFINITY, 3, ...sides);
    expect(String(verdict)).toBe('unclear whether a or b is faster (time +1.00 %, between ? and ?, 3 rounds)');
  });
});
