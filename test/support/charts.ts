/** What charts are tested on: measurements, schedules and timelines that are the same on every machine. */
import type { MemoryReport } from '../../src/device/memory';
import { Measurement, type MeasurementFacts } from '../../src/measure/measurement';
import { machines } from '../../src/schedule/machine';
import { fixedSplitSize } from '../../src/schedule/policies/fixed-split-size';
import { makeProblem } from '../../src/schedule/problem';
import type { Schedule } from '../../src/schedule/schedule';
import { Timeline } from '../../src/timeline/timeline';

/** Times around `ns` that wobble by a percent, with a few outliers. */
export function measuredAt(ns: number, changes: Partial<MeasurementFacts> = {}): Measurement {
  return new Measurement({
    what: 'decode',
    mode: 'graph',
    device: 'NVIDIA H100',
    samplesNs: Float64Array.from(
      { length: 120 },
      (_, i) => ns * (1 + ((i * 7) % 11) / 500 + (i % 37 === 0 ? 0.08 : 0)),
    ),
    enqueueSamplesNs: new Float64Array(0),
    callsPerSample: 64,
    rotate: 8,
    precisionPct: 0.25,
    stoppedBy: 'precision',
    ...changes,
  });
}

/** Forty requests of 200 to 5,000 tokens on an H100: some 1,850 tiles on 132 CTAs. */
export function largeSchedule(): Schedule {
  const kvLens = Array.from({ length: 40 }, (_, i) => 200 + ((i * 1999) % 4800));
  const problem = makeProblem({ kvLens, numQoHeads: 32, numKvHeads: 8, headDim: 128 });
  return fixedSplitSize(512)(problem, machines.h100);
}

/** A timeline in which every tile takes 12 ns a token, give or take a quarter, and CTAs begin one after the other. */
export function timelineOfSchedule(schedule: Schedule): Timeline {
  const spans: { cta: number; start: number; end: number; item: number }[] = [];
  for (let cta = 0; cta < schedule.numCtas; cta++) {
    let at = (cta * 37) % 300;
    for (let item = schedule.ctaIndptr[cta]; item < schedule.ctaIndptr[cta + 1]; item++) {
      const { kvStart, kvEnd } = schedule.tile(item);
      const end = at + (kvEnd - kvStart) * 12 * (1 + ((item * 13) % 9) / 16 - 0.25);
      spans.push({ cta, start: at, end, item });
      at = end + 60;
    }
  }
  const ofTile = (pick: (tile: ReturnType<Schedule['tile']>) => number): Int32Array =>
    Int32Array.from(spans, ({ item }) => pick(schedule.tile(item)));
  return new Timeline('simulated', schedule.numCtas, {
    cta: Int32Array.from(spans, ({ cta }) => cta),
    sm: Int32Array.from(spans, ({ cta }) => cta),
    item: Int32Array.from(spans, ({ item }) => item),
    phase: new Uint8Array(spans.length).fill(1),
    startNs: Float64Array.from(spans, ({ start }) => start),
    endNs: Float64Array.from(spans, ({ end }) => end),
    request: ofTile((tile) => tile.request),
    kvHead: ofTile((tile) => tile.kvHead),
    kvTokens: ofTile((tile) => tile.kvEnd - tile.kvStart),
    kvStart: ofTile((tile) => tile.kvStart),
    partial: Uint8Array.from(spans, ({ item }) => (schedule.tile(item).partialSlot >= 0 ? 1 : 0)),
  });
}

/** A device with a cache, some tensors and a workspace. */
export const memoryReport: MemoryReport = {
  limitBytes: 80e9,
  usedBytes: 41.2e9,
  peakBytes: 43e9,
  liveBuffers: 14,
  collectedBuffers: 0,
  owners: [
    { label: 'PagedKvCache.k', bytes: 18e9, buffers: 1 },
    { label: 'PagedKvCache.v', bytes: 18e9, buffers: 1 },
    { label: 'normal', bytes: 5.1e9, buffers: 8 },
    { label: 'BatchDecode workspace', bytes: 96e6, buffers: 4 },
  ],
};
