/** Every chart as a picture that was looked at: light, and dark where the ink differs. */
import { describe, test } from 'vitest';
import { gantt } from '../../../src/display/gantt';
import { idleHeatmap } from '../../../src/display/heatmap';
import { latencyBands } from '../../../src/display/latency-bands';
import { latencyChart, sampleChart } from '../../../src/display/latency-chart';
import { memoryChart } from '../../../src/display/memory-chart';
import { roofline } from '../../../src/display/roofline';
import { splitHistogram } from '../../../src/display/split-histogram';
import { machines } from '../../../src/schedule/machine';
import { largeSchedule, measuredAt, memoryReport, timelineOfSchedule } from '../../support/charts';
import { expectGolden } from '../../support/golden';

/** A spread wide enough to be seen on a logarithmic axis. */
const spreadAt = (ns: number) => ({ ...measuredAt(ns).time, p10: ns * 0.75, p90: ns * 1.4 });

const schedule = largeSchedule();
const timeline = timelineOfSchedule(schedule);

const charts = {
  'gantt-h100': () => gantt(timeline, { width: 760, height: 300 }),
  'idle-heatmap': () => idleHeatmap(timeline, { width: 520, height: 240 }),
  'split-histogram': () => splitHistogram(schedule, { width: 260, height: 160 }),
  'latency-histogram': () => latencyChart(measuredAt(6_000)),
  'sample-chart': () => sampleChart(measuredAt(6_000)),
  'latency-bands': () =>
    latencyBands(
      [1, 8, 32, 128, 512].flatMap((batch) =>
        [512, 2048, 8192, 32768].map((kvLen) => ({ batch, kvLen, time: spreadAt(4_000 + batch * kvLen * 1.4) })),
      ),
      { width: 420, height: 240 },
    ),
  roofline: () =>
    roofline(
      [
        measuredAt(10_100, { what: 'decode 1 × 4k', bytes: 16.8e6, flops: 0.14e9 }),
        measuredAt(180_300, { what: 'decode 32 × 4k', bytes: 537e6, flops: 4.3e9 }),
        measuredAt(5.2e6, { what: 'prefill 16k', bytes: 80e6, flops: 1.8e12 }),
      ],
      { roof: { readGbps: 3180, tflops: 630 }, machine: machines.h100, width: 420, height: 260 },
    ),
  memory: () => memoryChart(memoryReport),
};

describe.each(['light', 'dark'] as const)('the golden pictures, %s', (theme) => {
  for (const [name, make] of Object.entries(charts)) {
    test(name, () => expectGolden(make(), theme === 'light' ? name : `${name}-dark`, theme));
  }
});
