/**
 * Draws the pictures of docs/displays.md: `npm run images`. They are of made-up work, the same on every machine, and small: one
 * pixel a CSS pixel.
 */
import { join } from 'node:path';
import { gantt } from '../src/display/gantt';
import { idleHeatmap } from '../src/display/heatmap';
import { latencyBands } from '../src/display/latency-bands';
import { latencyChart, sampleChart } from '../src/display/latency-chart';
import { memoryChart } from '../src/display/memory-chart';
import { roofline } from '../src/display/roofline';
import { splitHistogram } from '../src/display/split-histogram';
import { cpuMachine, machines } from '../src/schedule/machine';
import { fixedSplitSize } from '../src/schedule/policies/fixed-split-size';
import { makeProblem } from '../src/schedule/problem';
import { largeSchedule, measuredAt, memoryReport, timelineOfSchedule } from '../test/support/charts';

const folder = join(__dirname, '../docs/images');

const kvLens = [900, 5200, 300, 2600, 7000, 1500, 400, 3300];
const schedule = fixedSplitSize(2048)(
  makeProblem({ kvLens, numQoHeads: 8, numKvHeads: 2, headDim: 128 }),
  cpuMachine(12),
);
const timeline = timelineOfSchedule(schedule);

const charts = {
  'display-gantt': gantt(timeline, { title: 'Eight requests on twelve CTAs', width: 760 }),
  'display-idle-heatmap': idleHeatmap(timelineOfSchedule(largeSchedule()), { width: 480, height: 170 }),
  'display-split-histogram': splitHistogram(schedule, { width: 300, height: 150 }),
  'display-roofline': roofline(
    [
      measuredAt(10_100, { what: 'decode 1 × 4k', bytes: 16.8e6, flops: 0.14e9 }),
      measuredAt(180_300, { what: 'decode 32 × 4k', bytes: 537e6, flops: 4.3e9 }),
      measuredAt(5.2e6, { what: 'prefill 16k', bytes: 80e6, flops: 1.8e12 }),
    ],
    { roof: { readGbps: 3180, tflops: 630 }, machine: machines.h100, width: 460, height: 260 },
  ),
  'display-latency-bands': latencyBands(
    [1, 8, 32, 128].flatMap((batch) =>
      [512, 2048, 8192, 32_768].map((kvLen) => {
        const ns = 4_000 + batch * kvLen * 1.4;
        return { batch, kvLen, time: { ...measuredAt(ns).time, p10: ns * 0.8, p90: ns * 1.3 } };
      }),
    ),
    { width: 460, height: 250 },
  ),
  'display-memory': memoryChart(memoryReport),
  'display-samples': sampleChart(measuredAt(6_000, { what: 'decode 32 × 4k' })),
  'display-latency': latencyChart(measuredAt(6_000, { what: 'decode 32 × 4k' })),
};

async function draw(): Promise<void> {
  for (const [name, chart] of Object.entries(charts)) await chart.save(join(folder, `${name}.png`), { scale: 1 });
  await charts['display-gantt'].save(join(folder, 'display-gantt-dark.png'), { scale: 1, theme: 'dark' });
}

void draw();
