/**
 * `warpbook bench prediction` on a GPU: predicted beside measured times of batches from request traces. Calibrates first, or takes
 * a calibration; the batches are none that it was fitted to.
 */
import type { Device } from '../../device/device';
import { calibrateDevice } from '../../lab/calibrate-run';
import { readCostModel } from '../../lab/calibration-store';
import { ColdPool } from '../../lab/cold-pool';
import type { JudgedBatch } from '../../lab/judge-prediction';
import {
  decodeBatches,
  isSameSchedule,
  judgedPolicies,
  prefillBatches,
  type TraceBatch,
} from '../../lab/prediction-batches';
import { BatchTimer } from '../../lab/time-batch';
import type { Schedule } from '../../schedule/schedule';
import type { CostModel } from '../../simulate/cost-model';
import { predict } from '../../simulate/simulate';
import type { Timeline } from '../../timeline/timeline';
import {
  compareFinishes,
  type JudgedRow,
  type PredictionOptions,
  type PredictionResult,
  pairsOf,
  resultOf,
  tracesOf,
  walk,
} from './prediction-result';

const SHAPE = { numKvHeads: 8, headDim: 128, pageSize: 16 } as const;
const LIMITS = { maxBatch: 128, maxQoTokens: 20_480, maxTiles: 40_000 } as const;
const SHARE_OF_POOL = 0.95;
/** Rounds of all policies, and samples of each. Long prefills change a GPU's clocks, by a few percent from one round to the next. */
const EFFORT = { decode: { rounds: 2, samples: 5 }, prefill: { rounds: 4, samples: 3 } } as const;
/** Every how many-th batch is traced too. */
const TRACED = 3;

/** @throws WarpbookError INVALID_ARGUMENT without traces; as calibrate */
export async function benchPrediction(
  device: Device,
  say: (line: string) => void,
  options: PredictionOptions,
): Promise<PredictionResult> {
  // Ahead of a calibration, which takes its time.
  const traces = await tracesOf(options);
  const { model, calibration } = await modelOf(device, options, say);
  const pool = new ColdPool(device, SHAPE);
  const timer = new BatchTimer(device, pool, SHAPE, LIMITS);
  try {
    const batches = batchesOf(traces, options, Math.floor(pool.maxPages * SHARE_OF_POOL) * SHAPE.pageSize);
    const rows: JudgedRow[] = [];
    const deadline = performance.now() + options.maxSeconds * 1e3;
    for (const [i, batch] of batches.entries()) {
      if (performance.now() > deadline) break;
      const ends: Record<string, number[]> = {};
      const judged = await judgeBatch(timer, batch, model, i % TRACED === 0, (policy, timeline) => {
        ends[policy] = Array.from(timeline.stats().finishNs, Math.round);
      });
      const more = options.ends && Object.keys(ends).length > 0 ? { ends } : undefined;
      rows.push({ batch, judged, more });
      if (i % 20 === 19) say(`${i + 1} of ${batches.length} batches`);
    }
    return { ...resultOf(rows), model, calibration };
  } finally {
    timer.dispose();
    pool.dispose();
  }
}

async function modelOf(
  device: Device,
  options: PredictionOptions,
  say: (line: string) => void,
): Promise<Pick<PredictionResult, 'model' | 'calibration'>> {
  if (options.calibration !== undefined)
    return { model: readCostModel(options.calibration, { device }), calibration: {} };
  const started = performance.now();
  const { model, residuals } = await calibrateDevice(device, { store: false });
  say(`calibrated in ${((performance.now() - started) / 1e3).toFixed(1)} s: ${JSON.stringify(model.fit)}`);
  return { model, calibration: pairsOf(residuals) };
}

function batchesOf(
  traces: Awaited<ReturnType<typeof tracesOf>>,
  options: PredictionOptions,
  maxTokens: number,
): TraceBatch[] {
  return walk([
    ...decodeBatches(traces, options.batches, maxTokens, options.seed),
    ...prefillBatches(traces, options.prefillBatches, options.seed),
  ]);
}

async function judgeBatch(
  timer: BatchTimer,
  batch: TraceBatch,
  model: CostModel,
  traced: boolean,
  onTimeline: (policy: string, timeline: Timeline) => void,
): Promise<JudgedBatch> {
  const cold = timer.sets(batch);
  const times: JudgedBatch['times'][number][] = [];
  const finishErrors: number[] = [];
  const policies = Object.entries(judgedPolicies[batch.kind]);
  const expected = (schedule: Schedule): number => predict(schedule, model).durationNs;
  const schedules: [name: string, schedule: Schedule][] = [];
  for (const [name, policy] of policies) schedules.push([name, await timer.schedule(batch, cold, policy)]);
  // Policies may come to the same schedule: it is timed once, since two times of the same thing differ too.
  const timedAs = ([name, schedule]: [string, Schedule]): string =>
    schedules.find(([, other]) => isSameSchedule(other, schedule))?.[0] ?? name;
  const measured = new Map<string, number>();
  const { rounds, samples } = EFFORT[batch.kind];
  // Rounds, and the best median: what else the machine does hits one of them.
  for (let round = 0; round < rounds; round++) {
    for (const [i, [name, policy]] of policies.entries()) {
      if (timedAs(schedules[i]) !== name) continue;
      const { medianNs } = await timer.time(batch, cold, policy, expected, samples);
      measured.set(name, Math.min(medianNs, measured.get(name) ?? Number.POSITIVE_INFINITY));
    }
  }
  for (const [i, [name, policy]] of policies.entries()) {
    const { durationNs, finishNs } = predict(schedules[i][1], model);
    times.push({ policy: name, measuredNs: measured.get(timedAs(schedules[i])) as number, predictedNs: durationNs });
    if (traced) {
      const timeline = await timer.timeline(batch, cold, policy, durationNs);
      finishErrors.push(...compareFinishes(timeline, finishNs));
      onTimeline(name, timeline);
    }
  }
  return { what: batch.what, times, ...(traced && { finishErrors }) };
}
