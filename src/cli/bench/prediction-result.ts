/** What the prediction benches of GPUs and of the CPU device share: their options, the batches, and how results are told. */
import { WarpbookError } from '../../errors';
import type { Residual } from '../../lab/fit-model';
import { errorPct, type JudgedBatch, type PredictionSummary, summarizePredictions } from '../../lab/judge-prediction';
import type { TraceBatch } from '../../lab/prediction-batches';
import type { CostModel } from '../../simulate/cost-model';
import type { Timeline } from '../../timeline/timeline';
import { loadTrace } from '../../workload/load-trace';
import type { RequestTrace } from '../../workload/request-trace';
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
  /** How it was measured, where there is something to tell. */
  readonly method?: Readonly<Record<string, unknown>>;
}

/** A judged batch, with what its row tells besides. */
export interface JudgedRow {
  readonly batch: TraceBatch;
  readonly judged: JudgedBatch;
  readonly more?: Readonly<Record<string, unknown>>;
}

const SHAPE = { numKvHeads: 8, headDim: 128, pageSize: 16 } as const;
/** From here on a prediction is told as a failure. */
const FAILED_PCT = 13;
/** A golden-section walk through the batches, so that whatever the time allows is a fair sample. */
const STRIDE = 0.6180339887;

/** @throws WarpbookError INVALID_ARGUMENT without traces */
export async function tracesOf(
  options: PredictionOptions,
): Promise<readonly (readonly [name: string, trace: RequestTrace])[]> {
  const path = options.traces ?? process.env.WARPBOOK_TRACES;
  if (!path) {
    throw new WarpbookError(
      'INVALID_ARGUMENT',
      'bench prediction got no traces; pass --traces FOLDER or set WARPBOOK_TRACES (docs/simulator.md says where they come from).',
    );
  }
  return [
    ['azure', await loadTrace({ path, kind: 'azure-conversation' })],
    ['mooncake', await loadTrace({ path, kind: 'mooncake-conversation' })],
  ];
}

/** The batches in such an order that the first ones are a fair sample of all. */
export function walk<Batch>(batches: readonly Batch[]): Batch[] {
  const order = batches.map((batch, i) => ({ batch, at: (i * STRIDE) % 1 }));
  return order.sort((a, b) => a.at - b.at).map(({ batch }) => batch);
}

/** Measured and fitted µs by case. */
export function pairsOf(residuals: readonly Residual[]): PredictionResult['calibration'] {
  const us = (ns: number): number => round(ns / 1e3);
  return Object.fromEntries(
    residuals.map(({ what, measuredNs, predictedNs }) => [what, [us(measuredNs), us(predictedNs)]]),
  );
}

/** Rows, summaries and failures of what was judged. */
export function resultOf(judged: readonly JudgedRow[]): Omit<PredictionResult, 'model' | 'calibration'> {
  const of = (kind: string): JudgedBatch[] =>
    judged.filter(({ batch }) => batch.kind === kind).map((one) => one.judged);
  const kinds = [...new Set(judged.map(({ batch }) => batch.kind))];
  return {
    rows: judged.map(rowOf),
    failures: judged.flatMap(({ judged: { what, times } }) =>
      times.flatMap((time) =>
        Math.abs(errorPct(time)) > FAILED_PCT ? [{ what, policy: time.policy, errorPct: errorPct(time) }] : [],
      ),
    ),
    summary: summarizePredictions(judged.map((one) => one.judged)),
    summaries: Object.fromEntries(kinds.map((kind) => [kind, summarizePredictions(of(kind))])),
  };
}

/** |predicted / measured − 1| of each CTA's end. */
export function compareFinishes(timeline: Timeline, predictedNs: Float64Array): number[] {
  const { finishNs } = timeline.stats();
  const errors: number[] = [];
  for (let cta = 0; cta < finishNs.length; cta++) {
    if (finishNs[cta] > 0 && predictedNs[cta] > 0) errors.push(Math.abs(predictedNs[cta] / finishNs[cta] - 1));
  }
  return errors;
}

function rowOf({ batch, judged: { times, finishErrors }, more }: JudgedRow): ResultRow {
  const { what, kind, kvLens, qoLens, numQoHeads } = batch;
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
    ...more,
  };
}
