/**
 * `warpbook bench prediction` on the CPU device. Calibration and batches are timed in the same rounds: neighbours and clocks change
 * the machine within seconds, and a calibration of another moment is one of another machine. No batch takes part in the fit.
 */
import { loadavg } from 'node:os';
import type { Device } from '../../device/device';
import { CPU_LIMITS, CPU_SHAPE, fitCpuModel } from '../../lab/calibrate-cpu';
import { qualityOf } from '../../lab/calibrate-run';
import { readCostModel } from '../../lab/calibration-store';
import { ColdPool } from '../../lab/cold-pool';
import { cpuCases } from '../../lab/cpu-cases';
import { decodeBatches, judgedPolicies, type TraceBatch } from '../../lab/prediction-batches';
import { BatchTimer } from '../../lab/time-batch';
import { type RoundTime, repeatabilityPct, timeInRounds, typicalNs } from '../../lab/time-rounds';
import type { CostModel } from '../../simulate/cost-model';
import { predict } from '../../simulate/simulate';
import { round } from './decode';
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

/** 64 MiB of keys and values. */
const MAX_TOKENS = 16_384;
const CONCURRENCIES: readonly number[] = [1, 2, 4, 8, 16];
const BATCHES = 60;
const MOST_ROUNDS = 25;
/** Every how many-th batch is traced too. */
const TRACED = 3;

/** @throws WarpbookError INVALID_ARGUMENT without traces; as calibrate */
export async function benchCpuPrediction(
  device: Device,
  say: (line: string) => void,
  options: PredictionOptions,
): Promise<PredictionResult> {
  const deadline = performance.now() + options.maxSeconds * 1e3;
  const traces = await tracesOf(options);
  const drawn = decodeBatches(traces, options.batches, MAX_TOKENS, options.seed, CONCURRENCIES);
  const batches = walk(drawn).slice(0, BATCHES);
  const policies = Object.entries(judgedPolicies.decode);
  const given = options.calibration === undefined ? undefined : readCostModel(options.calibration, { device });
  const cases = given ? [] : cpuCases;
  const items = [...cases, ...batches.flatMap((batch) => policies.map(([, policy]) => ({ ...batch, policy })))];

  const pool = new ColdPool(device, CPU_SHAPE);
  const timer = new BatchTimer(device, pool, CPU_SHAPE, CPU_LIMITS);
  const loadBefore = loadavg()[0];
  try {
    const times = await timeInRounds(timer, items, {
      rounds: MOST_ROUNDS,
      deadline,
      onRound: (number) => say(`round ${number} of ${items.length} measurements`),
    });
    const loadAfter = loadavg()[0];
    const fitted = given ? { model: given, residuals: [] } : fitCpuModel(device, times.slice(0, cases.length));
    const model = given ?? { ...fitted.model, fit: qualityOf(fitted.residuals) };
    if (!given) say(`fitted: ${JSON.stringify(model.fit)}`);
    const rows: JudgedRow[] = [];
    for (const [i, batch] of batches.entries()) {
      const own = times.slice(cases.length + i * policies.length, cases.length + (i + 1) * policies.length);
      rows.push(await judgeBatch(timer, batch, own, model, i % TRACED === 0));
    }
    const method = {
      threads: device.description.numProcessors,
      instructionSet: device.description.instructionSet,
      rounds: times[0].roundNs.length,
      load: [loadBefore, loadAfter],
      repeatability: repeatabilityOf(times.slice(cases.length)),
    };
    return { ...resultOf(rows), model, calibration: pairsOf(fitted.residuals), method };
  } finally {
    timer.dispose();
    pool.dispose();
  }
}

/** How far odd and even rounds are apart: each time, and all of them together, which calibration and batches have in common. */
function repeatabilityOf(times: readonly RoundTime[]): Readonly<Record<string, number>> {
  const mean = (values: readonly number[]): number => values.reduce((sum, value) => sum + value, 0) / values.length;
  const apart = times.map(repeatabilityPct);
  const common = mean(apart);
  const sizes = apart.map(Math.abs).sort((a, b) => a - b);
  return {
    meanPct: round(mean(sizes)),
    p95Pct: round(sizes[Math.floor(0.95 * sizes.length)]),
    worstPct: round(sizes[sizes.length - 1]),
    commonPct: round(common),
    meanBesidesPct: round(mean(apart.map((one) => Math.abs(one - common)))),
  };
}

async function judgeBatch(
  timer: BatchTimer,
  batch: TraceBatch,
  times: readonly RoundTime[],
  model: CostModel,
  traced: boolean,
): Promise<JudgedRow> {
  const policies = Object.entries(judgedPolicies.decode);
  const cold = timer.sets(batch);
  const finishErrors: number[] = [];
  const judgedTimes = [];
  for (const [i, [name, policy]] of policies.entries()) {
    const { durationNs, finishNs } = predict(times[i].schedule, model);
    judgedTimes.push({ policy: name, measuredNs: typicalNs(times[i]), predictedNs: durationNs });
    if (traced) finishErrors.push(...compareFinishes(await timer.timeline(batch, cold, policy, durationNs), finishNs));
  }
  const repeatPct = Object.fromEntries(policies.map(([name], i) => [name, round(repeatabilityPct(times[i]))]));
  return {
    batch,
    judged: { what: batch.what, times: judgedTimes, ...(traced && { finishErrors }) },
    more: { kvLens: batch.kvLens, repeatPct },
  };
}
