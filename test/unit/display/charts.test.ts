/** What the charts' numbers are, and what they refuse. How they look: golden.test.ts. */
import { describe, expect, test } from 'vitest';
import { idleHeatmap } from '../../../src/display/heatmap';
import { latencyBands } from '../../../src/display/latency-bands';
import { sampleChart } from '../../../src/display/latency-chart';
import { memoryChart } from '../../../src/display/memory-chart';
import { roofline } from '../../../src/display/roofline';
import { splitHistogram } from '../../../src/display/split-histogram';
import { cpuMachine, machines } from '../../../src/schedule/machine';
import { policies } from '../../../src/schedule/policies/known';
import { makeProblem } from '../../../src/schedule/problem';
import { largeSchedule, measuredAt, timelineOfSchedule } from '../../support/charts';
import { timelineOf } from '../timeline/spans';

// biome-ignore lint/suspicious/noExplicitAny: specifications are plain JSON
const spec = (chart: { toVegaLite(): unknown }): any => chart.toVegaLite();
const HOSTILE = '</text><script>alert(1)</script>\x1b[31m';

describe('idleHeatmap', () => {
  const timeline = timelineOf(2, [
    { cta: 0, startNs: 0, endNs: 1000 },
    { cta: 1, startNs: 0, endNs: 250 },
  ]);

  test('has the idle share of each lane by time, and of all above it', () => {
    const [strip, map] = spec(idleHeatmap(timeline, { bins: 4 })).vconcat;
    expect(map.data.values).toEqual([0, 0, 0, 0, 0, 1, 1, 1]);
    expect(strip.data.values.map((bin: { idle: number }) => bin.idle)).toEqual([0, 0.5, 0.5, 0.5]);
    expect(map.encoding.x.axis.title).toBe('Time (ns)');
    expect(map.encoding.y.axis.title).toBe('CTA');
  });

  test('its mean is the idle share of the timeline', () => {
    const large = timelineOfSchedule(largeSchedule());
    const { values } = spec(idleHeatmap(large)).vconcat[1].data;
    const mean = values.reduce((sum: number, idle: number) => sum + idle, 0) / values.length;
    expect(mean).toBeCloseTo(large.stats().idleShare, 2);
    expect(values.length).toBeLessThanOrEqual(20_000);
  });

  test('more lanes than rows share them; a schedule has no SMs', () => {
    const tall = timelineOf(3000, [{ cta: 2999, startNs: 0, endNs: 10 }]);
    expect(spec(idleHeatmap(tall)).title.subtitle.join(' ')).toContain('11 CTAs a row');
    expect(() => idleHeatmap(largeSchedule(), { lanes: 'sm' })).toThrow(
      /^idleHeatmap\(\) of a Schedule got lanes: 'sm'/,
    );
    expect(() => idleHeatmap(undefined as never)).toThrow(/^idleHeatmap\(\) got undefined;/);
  });
});

describe('splitHistogram', () => {
  test('counts every tile once, by whether it writes a partial state', () => {
    const schedule = largeSchedule();
    const [pieces, lengths] = spec(splitHistogram(schedule)).hconcat.map(
      (view: { data: { values: object[] } }) => view.data.values,
    );
    const sum = (bars: { count: number }[]): number => bars.reduce((total, bar) => total + bar.count, 0);
    expect(sum(lengths)).toBe(schedule.numTiles);
    expect(sum(pieces)).toBe(40 * 8);
    expect(
      pieces.reduce((total: number, bar: { start: number; count: number }) => total + bar.start * bar.count, 0),
    ).toBe(schedule.numTiles);
  });

  test('an empty batch and a schedule without splits', async () => {
    const problem = makeProblem({ kvLens: [], numQoHeads: 4, numKvHeads: 2, headDim: 64 });
    expect(await splitHistogram(policies.noSplit(problem, cpuMachine(2))).toSvg()).toContain('<svg');
    const whole = makeProblem({ kvLens: [100, 0], numQoHeads: 4, numKvHeads: 2, headDim: 64 });
    const { values } = spec(splitHistogram(policies.noSplit(whole, cpuMachine(2)))).hconcat[0].data;
    expect(values).toEqual([{ start: 1, end: 2, count: 4 }]);
    expect(() => splitHistogram({} as never)).toThrow(/splitHistogram\(\) wants a Schedule/);
  });
});

describe('roofline', () => {
  const roof = { readGbps: 1000, tflops: 100 };
  const measured = measuredAt(1000, { samplesNs: Float64Array.of(1000), bytes: 500_000, flops: 5e6, roof });

  test('places a measurement by intensity and rate, with its share of the roof', () => {
    const points = spec(roofline(measured)).layer[3].data.values;
    expect(points).toEqual([{ what: 'decode', intensity: 10, tflops: 5, low: 5, high: 5, gbps: 500, share: 0.5 }]);
    const bends = spec(roofline(measured)).layer[0].data.values;
    expect(bends[1]).toEqual({ roof: 'measured', intensity: 100, tflops: 100 });
  });

  test('the data sheet is a second roof', () => {
    const roofs = spec(roofline([measured], { machine: machines.h100 })).layer[0].data.values;
    expect(new Set(roofs.map((bend: { roof: string }) => bend.roof))).toEqual(
      new Set(['measured', 'data sheet (H100 SXM)']),
    );
  });

  test('says what is missing', () => {
    expect(() => roofline(measuredAt(1000))).toThrow(
      /roofline\(\) got no roof; pass \{ roof: await measureRoof\(\) \}/,
    );
    expect(() => roofline(measuredAt(1000, { bytes: 1, what: HOSTILE }), { roof })).toThrow(
      /Measurement 0 \(.*\) has no flops; .* measure\(fn, \{ bytes, flops \}\)/,
    );
  });
});

describe('latencyBands', () => {
  const time = measuredAt(2e6);

  test('has a line for each batch, with the percentiles as its band', () => {
    const points = [
      { batch: 8, kvLen: 1024, time },
      { batch: 1, kvLen: 1024, time: time.time },
      { batch: 1, kvLen: 512, time },
    ];
    const { data, layer } = spec(latencyBands(points));
    expect(data.values.map((row: { line: string; x: number }) => [row.line, row.x])).toEqual([
      ['batch 1', 512],
      ['batch 1', 1024],
      ['batch 8', 1024],
    ]);
    expect(data.values[0]).toMatchObject({
      median: time.time.median / 1e3,
      low: time.time.p10 / 1e3,
      high: time.time.p90 / 1e3,
    });
    expect(layer[1].encoding.y.axis.title).toBe('Time of a call (µs)');
    expect(spec(latencyBands(points, { x: 'batch' })).data.values[0].line).toBe('512 tokens');
  });

  test('refuses no points and what is not positive', () => {
    expect(() => latencyBands([])).toThrow(/latencyBands\(\) got no points/);
    expect(() => latencyBands([{ batch: 1, kvLen: 0, time }])).toThrow(
      'kvLen of point 0 is 0; wanted a positive number.',
    );
    expect(() => latencyBands([{ batch: 1, kvLen: 1, time: undefined as never }])).toThrow(/time\.median of point 0/);
  });
});

describe('memoryChart', () => {
  const owner = (label: string, bytes: number) => ({ label, bytes, buffers: 2 });
  const report = (owners: object[]): never =>
    ({
      limitBytes: 2 ** 30,
      usedBytes: 2 ** 20,
      peakBytes: 2 ** 20,
      liveBuffers: 4,
      collectedBuffers: 0,
      owners,
    }) as never;

  test('has a bar for each owner; of many, the small ones share one', () => {
    const many = Array.from({ length: 20 }, (_, i) => owner(`o${i}`, 2 ** 20));
    const { values } = spec(memoryChart(report(many), { maxOwners: 4 })).data;
    expect(values.map((row: { owner: string }) => row.owner)).toEqual(['o0', 'o1', 'o2', '17 others']);
    expect(values[3]).toMatchObject({ size: 17, buffers: 34 });
  });

  test('labels that look alike have bars of their own', () => {
    const { values } = spec(memoryChart(report([owner('a\x00', 2), owner('a', 1)]))).data;
    expect(values.map((row: { owner: string }) => row.owner)).toEqual(['a', 'a (2)']);
    expect(() => memoryChart({} as never)).toThrow(
      /memoryChart\(\) wants a device, or what device\.memory\(\) returned/,
    );
  });
});

test('sampleChart draws at most 500 points and says so', () => {
  const { layer } = spec(sampleChart({ what: 'x', samplesNs: Float64Array.from({ length: 1200 }, (_, i) => i + 1) }));
  expect(layer[1].data.values).toHaveLength(400);
  expect(layer[1].encoding.x.axis.title).toBe('Sample (every 3rd is drawn)');
  expect(spec(sampleChart({ what: 'x', samplesNs: [] })).layer[1].data.values).toEqual([]);
});

test('every chart has a text of its own, within the width, and no markup of labels in its picture', async () => {
  const charts = [
    idleHeatmap(timelineOfSchedule(largeSchedule()), { title: HOSTILE }),
    splitHistogram(largeSchedule(), { title: HOSTILE }),
    roofline(measuredAt(1000, { bytes: 1e6, flops: 1e8, what: HOSTILE }), { roof: { readGbps: 1, tflops: 1 } }),
    latencyBands([{ batch: 1, kvLen: 512, time: measuredAt(2e6), series: HOSTILE }]),
    memoryChart({
      limitBytes: 9,
      usedBytes: 9,
      peakBytes: 9,
      liveBuffers: 1,
      collectedBuffers: 0,
      owners: [{ label: HOSTILE, bytes: 9, buffers: 1 }],
    }),
    sampleChart(measuredAt(5, { what: HOSTILE })),
  ];
  for (const chart of charts) {
    const text = chart.toText(90);
    expect(text).not.toMatch(/^\[chart/);
    expect(text).not.toContain('\x1b');
    expect(Math.max(...text.split('\n').map((line) => line.length))).toBeLessThanOrEqual(90);
    expect(await chart.toSvg()).not.toContain('<script');
  }
});
