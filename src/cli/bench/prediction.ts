/**
 * `warpbook bench prediction` on a GPU: predicted beside measured times of batches from request traces. Calibrates first, or takes
 * a calibration; the batches are none that it was fitted to.
 */
import type { Device } from '../../device/device';
import { calibrateDevice } from '../../lab/calibrate-run';
import { readCostModel } from '../../lab/calibration-store';
import { ColdPool } from '../../lab/cold-pool';
import type { JudgedBatch } from '../../lab/judge-prediction';
import { decodeBatches, judgedPolicies, prefillBatches, type TraceBatch } from '../../lab/prediction-batches';
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
/** Two rounds of all policies, and the better median: what else the machine does hits one of them. */
const ROUNDS = 2;
const SAMPLES = 5;
/** Every how many-th batch is traced too. */
const TRACED = 3;

/** @throws WarpbookError INVALID_ARGUMENT without traces; as calibrate */
export async function benchPrediction(
  device: Device,
  say: (line: string) => void,
  options: PredictionOptions,
): Promise<PredictionResult> {
  const { model, calibration } = await modelOf(device, options, say);
  const pool = new ColdPool(device, SHAPE);
  const timer = new BatchTimer(device, pool, SHAPE, LIMITS);
  try {
    const batches = await batchesOf(options, Math.floor(pool.maxPages * SHARE_OF_POOL) * SHAPE.pageSize);
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

async function batchesOf(options: PredictionOptions, maxTokens: number): Promise<TraceBatch[]> {
  const traces = await tracesOf(options);
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
  const measured = new Map<string, number>();
  for (let round = 0; round < ROUNDS; round++) {
    for (const [name, policy] of policies) {
      const { medianNs } = await timer.time(batch, cold, policy, expected, SAMPLES);
      measured.set(name, Math.min(medianNs, measured.get(name) ?? Number.POSITIVE_INFINITY));
    }
  }
  for (const [name, policy] of policies) {
    const schedule = await timer.schedule(batch, cold, policy);
    const { durationNs, finishNs } = predict(schedule, model);
    times.push({ policy: name, measuredNs: measured.get(name) as number, predictedNs: durationNs });
    if (traced) {
      const timeline = await timer.timeline(batch, cold, policy, durationNs);
      finishErrors.push(...compareFinishes(timeline, finishNs));
      onTimeline(name, timeline);
    }
  }
  return { what: batch.what, times, ...(traced && { finishErrors }) };
}
