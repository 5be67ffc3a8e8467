/**
 * `warpbook bench prediction`: predicted beside measured times of batches from request traces. Calibrates first, or takes a
 * calibration; the batches are none that it was fitted to.
 */
import type { Device } from '../../device/device';
import { WarpbookError } from '../../errors';
import { calibrateDevice } from '../../lab/calibrate-run';
import { readCostModel } from '../../lab/calibration-store';
import { ColdPool } from '../../lab/cold-pool';
import { errorPct, type JudgedBatch, type PredictionSummary, summarizePredictions } from '../../lab/judge-prediction';
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
import { loadTrace } from '../../workload/load-trace';
import { round } from './decode';
import type { ResultRow } from './result-file';

export interface PredictionOptions {
  /** Folder with the traces; default WARPBOOK_TRACES. */
  readonly traces: string | undefined;
  /** A calibration to judge; default: make one now. */
  readonly calibration: string | undefined;
  /** Decode batches of each trace, concurrency and number of heads. */
  readonly batches: number;
  readonly prefillBatches: number;
  /** Batches of another seed are others. */
  readonly seed: number;
  /** Keep measured ends of CTAs, ns, by policy. */
  readonly ends?: boolean;
  /** Stop after so many seconds, with what there is. */
  readonly maxSeconds: number;
}

export interface PredictionResult {
  readonly rows: readonly ResultRow[];
  readonly model: CostModel;
  /** What the model was fitted to, µs measured and fitted; empty where a calibration was given. */
  readonly calibration: Readonly<Record<string, readonly [measuredUs: number, fittedUs: number]>>;
  readonly summary: PredictionSummary;
  /** Times that are off by more than 13 %. */
  readonly failures: readonly { readonly what: string; readonly policy: string; readonly errorPct: number }[];
  readonly summaries: Readonly<Record<string, PredictionSummary>>;
}

const SHAPE = { numKvHeads: 8, headDim: 128, pageSize: 16 } as const;
const LIMITS = { maxBatch: 128, maxQoTokens: 20_480, maxTiles: 40_000 } as const;
/** 64 MiB of keys and values: what a CPU's last cache holds. */
const CPU_TOKENS = 16_384;
/** From here on a prediction is told as a failure. */
const FAILED_PCT = 13;
const GPU_SHARE_OF_POOL = 0.95;
/**
 * Rounds of all policies, and samples of each. The CPU device takes its time. Long prefills change a GPU's clocks, by a few percent
 * from one round to the next.
 */
const EFFORT = {
  cuda: { decode: { rounds: 2, samples: 5 }, prefill: { rounds: 4, samples: 3 } },
  cpu: { decode: { rounds: 2, samples: 9 }, prefill: { rounds: 2, samples: 9 } },
} as const;
/** Every how many-th batch is traced too. */
const TRACED = 3;
/** A golden-section walk through the batches, so that whatever the time allows is a fair sample. */
const STRIDE = 0.6180339887;

/** @throws WarpbookError INVALID_ARGUMENT without traces; as calibrate */
export async function benchPrediction(
  device: Device,
  say: (line: string) => void,
  options: PredictionOptions,
): Promise<PredictionResult> {
  const { model, calibration } = await modelOf(device, options, say);
  const isGpu = device.kind === 'cuda';
  const pool = new ColdPool(device, SHAPE);
  const timer = new BatchTimer(device, pool, SHAPE, isGpu ? LIMITS : { ...LIMITS, maxQoTokens: 512 });
  try {
    const batches = await batchesOf(options, isGpu, Math.floor(pool.maxPages * GPU_SHARE_OF_POOL) * SHAPE.pageSize);
    const rows: ResultRow[] = [];
    const judged: { kind: string; batch: JudgedBatch }[] = [];
    const deadline = performance.now() + options.maxSeconds * 1e3;
    for (const [i, batch] of batches.entries()) {
      if (performance.now() > deadline) break;
      const ends: Record<string, number[]> = {};
      const one = await judgeBatch(timer, batch, model, i % TRACED === 0, (policy, timeline) => {
        ends[policy] = Array.from(timeline.stats().finishNs, Math.round);
      });
      judged.push({ kind: batch.kind, batch: one });
      rows.push({ ...rowOf(batch, one), ...(options.ends && Object.keys(ends).length > 0 && { ends }) });
      if (i % 20 === 19) say(`${i + 1} of ${batches.length} batches`);
    }
    const of = (kind: string): JudgedBatch[] => judged.filter((one) => one.kind === kind).map((one) => one.batch);
    const kinds = [...new Set(judged.map(({ kind }) => kind))];
    const summaries = Object.fromEntries(kinds.map((kind) => [kind, summarizePredictions(of(kind))]));
    const failures = judged.flatMap(({ batch: { what, times } }) =>
      times.flatMap((time) =>
        Math.abs(errorPct(time)) > FAILED_PCT ? [{ what, policy: time.policy, errorPct: errorPct(time) }] : [],
      ),
    );
    return {
      rows,
      model,
      calibration,
      failures,
      summary: summarizePredictions(judged.map(({ batch }) => batch)),
      summaries,
    };
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
  const us = (ns: number): number => round(ns / 1e3);
  const pairs = residuals.map(
    ({ what, measuredNs, predictedNs }) => [what, [us(measuredNs), us(predictedNs)]] as const,
  );
  return { model, calibration: Object.fromEntries(pairs) };
}

async function batchesOf(options: PredictionOptions, isGpu: boolean, maxTokens: number): Promise<TraceBatch[]> {
  const path = options.traces ?? process.env.WARPBOOK_TRACES;
  if (!path) {
    throw new WarpbookError(
      'INVALID_ARGUMENT',
      'bench prediction got no traces; pass --traces FOLDER or set WARPBOOK_TRACES (docs/simulator.md says where they come from).',
    );
  }
  const traces = [
    ['azure', await loadTrace({ path, kind: 'azure-conversation' })],
    ['mooncake', await loadTrace({ path, kind: 'mooncake-conversation' })],
  ] as const;
  const decode = isGpu
    ? decodeBatches(traces, options.batches, maxTokens, options.seed)
    : decodeBatches(traces, options.batches, Math.min(maxTokens, CPU_TOKENS), options.seed, [1, 2, 4, 8, 16]);
  const all = isGpu ? [...decode, ...prefillBatches(traces, options.prefillBatches, options.seed)] : decode;
  const order = all.map((batch, i) => ({ batch, at: (i * STRIDE) % 1 }));
  return order.sort((a, b) => a.at - b.at).map(({ batch }) => batch);
}

async function judgeBatch(
  timer: BatchTimer,
  batch: TraceBatch,
  model: CostModel,
  traced: boolean,
  onTimeline?: (policy: string, timeline: Timeline) => void,
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
  const { rounds, samples } = EFFORT[timer.device.kind][batch.kind];
  // Rounds, and the best median on a GPU: what else the machine does hits one of them.
  for (let round = 0; round < rounds; round++) {
    for (const [i, [name, policy]] of policies.entries()) {
      if (timedAs(schedules[i]) !== name) continue;
      const { medianNs, minNs } = await timer.time(batch, cold, policy, expected, samples);
      const ns = timer.device.kind === 'cpu' ? minNs : medianNs;
      measured.set(name, Math.min(ns, measured.get(name) ?? Number.POSITIVE_INFINITY));
    }
  }
  for (const [i, [name, policy]] of policies.entries()) {
    const { durationNs, finishNs } = predict(schedules[i][1], model);
    times.push({ policy: name, measuredNs: measured.get(timedAs(schedules[i])) as number, predictedNs: durationNs });
    if (traced) {
      const timeline = await timer.timeline(batch, cold, policy, durationNs);
      finishErrors.push(...compareFinishes(timeline, finishNs));
      onTimeline?.(name, timeline);
    }
  }
  return { what: batch.what, times, ...(traced && { finishErrors }) };
}

/** |predicted / measured − 1| of each CTA's end. */
function compareFinishes(timeline: Timeline, predictedNs: Float64Array): number[] {
  const { finishNs } = timeline.stats();
  const errors: number[] = [];
  for (let cta = 0; cta < finishNs.length; cta++) {
    if (finishNs[cta] > 0 && predictedNs[cta] > 0) errors.push(Math.abs(predictedNs[cta] / finishNs[cta] - 1));
  }
  return errors;
}

function rowOf(
  { what, kind, kvLens, qoLens, numQoHeads }: TraceBatch,
  { times, finishErrors }: JudgedBatch,
): ResultRow {
  const best = times.reduce((a, b) => (b.measuredNs < a.measuredNs ? b : a));
  const medianUs = round(best.measuredNs / 1e3);
  const errors = finishErrors && Float64Array.from(finishErrors).sort();
  return {
    what,
    kind,
    batch: kvLens.length,
    kvLen: Math.max(...kvLens),
    kvTokens: kvLens.reduce((sum, length) => sum + length, 0),
    qoTokens: qoLens?.reduce((sum, length) => sum + length, 0) ?? kvLens.length,
    numQoHeads,
    ...SHAPE,
    dtype: 'bfloat16',
    kvDtype: 'bfloat16',
    medianUs,
    minUs: medianUs,
    spreadPct: 0,
    floorUs: null,
    peers: {},
    /** By policy: measured and predicted µs, error in percent. */
    policies: Object.fromEntries(
      times.map((time) => [
        time.policy,
        [round(time.measuredNs / 1e3), round(time.predictedNs / 1e3), Number(errorPct(time).toFixed(2))],
      ]),
    ),
    ...(errors && errors.length > 0 && { finishMedianPct: round(errors[errors.length >> 1] * 100) }),
  };
}
