/**
 * `warpbook bench auto`: whether letting `auto` choose pays. Batches of a request trace under every single decode policy and under
 * `auto`, in turns, beside what reading their keys takes at the roof and what timelines show idle.
 */

import type { Device } from '../../device/device';
import { WarpbookError } from '../../errors';
import { type AutoBatch, autoBatches, type Heads, singlePolicies } from '../../lab/auto-batches';
import { costModelFor, readCostModel } from '../../lab/calibration-store';
import { ColdPool } from '../../lab/cold-pool';
import { type AutoJudged, type AutoSummary, summarizeAuto } from '../../lab/judge-auto';
import { BatchTimer } from '../../lab/time-batch';
import { measureRoof } from '../../measure/roof';
import { policies } from '../../schedule/policies/known';
import type { Schedule } from '../../schedule/schedule';
import type { CostModel } from '../../simulate/cost-model';
import { predict, predictedCost, simulate } from '../../simulate/simulate';
import type { Timeline } from '../../timeline/timeline';
import { loadTrace } from '../../workload/load-trace';
import { round } from './decode';
import type { ResultRow } from './result-file';

export interface AutoBenchOptions {
  /** A trace file or a folder with one; default WARPBOOK_TRACES. */
  readonly traces: string | undefined;
  /** What `auto` scores by; default: the calibration of this device. */
  readonly calibration: string | undefined;
  readonly heads: readonly Heads[];
  readonly concurrencies: readonly number[];
  /** Of each shape and concurrency. */
  readonly batches: number;
  /** Batches of another seed are others. */
  readonly seed: number;
  /** Stop after so many seconds, with what there is. */
  readonly maxSeconds: number;
}

export interface AutoBenchResult {
  readonly rows: readonly ResultRow[];
  readonly model: CostModel;
  /** Of a plain read, GB/s. */
  readonly readGbps: number;
  /** By shape and concurrency, such as `32/8 heads, 8 requests`. */
  readonly summaries: Readonly<Record<string, AutoSummary>>;
  /** Share of CTA time that is idle under `binarySearch` and `auto`, percent, where batches were traced. */
  readonly idlePct: Readonly<Record<string, IdleShares>>;
}

/** Means over batches, percent of CTAs × makespan. */
export interface IdleShares {
  readonly binarySearch: { readonly measured: number; readonly simulated: number };
  readonly auto: { readonly measured: number; readonly simulated: number };
}

const SHAPE = { headDim: 128, pageSize: 16 } as const;
const LIMITS = { maxBatch: 128, maxQoTokens: 128, maxTiles: 16_384 } as const;
const CPU_TOKENS = 16_384;
const GPU_SHARE_OF_POOL = 0.95;
const SAMPLES = { cuda: 7, cpu: 3 } as const;
/** Every how many-th batch is traced too. */
const TRACED = 5;
/** Another order than by size, so that whatever the time allows is a fair sample. */
const STRIDE = 0.6180339887;
const ROOF_SECONDS = 0.5;

/** @throws WarpbookError INVALID_ARGUMENT without a trace, or where no batch fits */
export async function benchAuto(
  device: Device,
  say: (line: string) => void,
  options: AutoBenchOptions,
): Promise<AutoBenchResult> {
  const started = performance.now();
  const { calibration } = options;
  const model = calibration === undefined ? await costModelFor(device) : readCostModel(calibration, { device });
  const { readGbps } = await measureRoof({ device, maxSeconds: ROOF_SECONDS });
  say(`${model.name}; reads ${readGbps.toFixed(0)} GB/s`);
  const rows: ResultRow[] = [];
  const judged = new Map<string, AutoJudged[]>();
  const idle = new Map<string, IdleShares[]>();
  for (const [i, heads] of options.heads.entries()) {
    // Each shape has its share of the time.
    const deadline = started + (options.maxSeconds * 1e3 * (i + 1)) / options.heads.length;
    const bench = new ShapeBench(device, model, heads, readGbps);
    try {
      for (const [b, batch] of (await bench.batches(options)).entries()) {
        if (performance.now() > deadline) break;
        const key = `${heads.join('/')} heads, ${batch.concurrency} requests`;
        const one = await bench.judge(batch, b % TRACED === 0);
        judged.set(key, [...(judged.get(key) ?? []), one.judged]);
        if (one.idle) idle.set(key, [...(idle.get(key) ?? []), one.idle]);
        rows.push(one.row);
      }
    } finally {
      bench.dispose();
    }
    say(`${heads.join('/')} heads: ${rows.length} batches in all`);
  }
  if (rows.length === 0) {
    throw new WarpbookError(
      'INVALID_ARGUMENT',
      'bench auto measured no batch: all are too long, or --seconds too few.',
    );
  }
  return {
    rows,
    model,
    readGbps,
    summaries: Object.fromEntries([...judged].map(([key, batches]) => [key, summarizeAuto(batches)])),
    idlePct: Object.fromEntries([...idle].map(([key, shares]) => [key, meanShares(shares)])),
  };
}

interface JudgedRow {
  readonly row: ResultRow;
  readonly judged: AutoJudged;
  readonly idle: IdleShares | undefined;
}

/** One number of heads: its keys and its wrappers. */
class ShapeBench {
  private readonly pool: ColdPool;
  private readonly timer: BatchTimer;
  private readonly policies: Readonly<Record<string, (typeof singlePolicies)[string]>>;

  constructor(
    private readonly device: Device,
    private readonly model: CostModel,
    private readonly heads: Heads,
    private readonly readGbps: number,
  ) {
    const shape = { ...SHAPE, numKvHeads: heads[1] };
    this.pool = new ColdPool(device, shape);
    this.timer = new BatchTimer(device, this.pool, shape, LIMITS);
    this.policies = { ...singlePolicies, auto: policies.auto({ score: predictedCost(model) }) };
  }

  /** In an order that mixes concurrencies. */
  async batches({ traces, concurrencies, batches, seed }: AutoBenchOptions): Promise<AutoBatch[]> {
    const path = traces ?? process.env.WARPBOOK_TRACES;
    if (!path) {
      const what = 'bench auto got no trace; pass --traces FOLDER or set WARPBOOK_TRACES (docs/simulator.md).';
      throw new WarpbookError('INVALID_ARGUMENT', what);
    }
    const trace = await loadTrace({ path, kind: 'azure-conversation' });
    const room = Math.floor(this.pool.maxPages * GPU_SHARE_OF_POOL) * SHAPE.pageSize;
    const maxTokens = this.device.kind === 'cuda' ? room : Math.min(room, CPU_TOKENS);
    const all = autoBatches(trace, this.heads, concurrencies, { count: batches, seed, maxTokens });
    const order = all.map((batch, i) => ({ batch, at: (i * STRIDE) % 1 }));
    return order.sort((a, b) => a.at - b.at).map(({ batch }) => batch);
  }

  async judge(batch: AutoBatch, traced: boolean): Promise<JudgedRow> {
    const { timer, model } = this;
    const cold = timer.sets(batch);
    const expected = (schedule: Schedule): number => predict(schedule, model).durationNs;
    const times = await timer.sideBySide(batch, cold, this.policies, expected, SAMPLES[this.device.kind]);
    const scheduleOf = (name: string): Schedule => {
      const time = times.get(name);
      if (!time) throw new WarpbookError('INVALID_ARGUMENT', `bench auto has no time of ${name}.`);
      return time.schedule;
    };
    const auto = scheduleOf('auto');
    const bytes = scheduleOf('noSplit').kvBytesRead;
    const entries = [...times].map(([name, { schedule, medianNs }]) => [name, medianNs, expected(schedule)] as const);
    const judged: AutoJudged = {
      what: batch.what,
      measuredNs: Object.fromEntries(entries.map(([name, ns]) => [name, ns])),
      chosen: String(auto.decisions.chosen),
      floorNs: bytes / this.readGbps,
    };
    const shares = async (name: 'binarySearch' | 'auto'): Promise<IdleShares['auto']> => {
      const schedule = scheduleOf(name);
      const timeline = await timer.timeline(batch, cold, this.policies[name], expected(schedule));
      return { measured: idlePct(timeline), simulated: idlePct(simulate(schedule, model)) };
    };
    const idle = traced ? { binarySearch: await shares('binarySearch'), auto: await shares('auto') } : undefined;
    return { row: this.rowOf(batch, judged, entries, times.get('auto')?.rangePct ?? 0, bytes, idle), judged, idle };
  }

  private rowOf(
    batch: AutoBatch,
    { measuredNs, chosen, floorNs }: AutoJudged,
    entries: readonly (readonly [name: string, measuredNs: number, predictedNs: number])[],
    rangePct: number,
    bytes: number,
    idle: IdleShares | undefined,
  ): ResultRow {
    const { what, concurrency, kvLens, numQoHeads } = batch;
    const medianUs = round(measuredNs.auto / 1e3);
    return {
      what,
      concurrency,
      batch: kvLens.length,
      kvLen: Math.max(...kvLens),
      kvTokens: kvLens.reduce((sum, length) => sum + length, 0),
      numQoHeads,
      numKvHeads: this.heads[1],
      ...SHAPE,
      dtype: 'bfloat16',
      kvDtype: 'bfloat16',
      policy: 'auto',
      chosen,
      medianUs,
      minUs: medianUs,
      spreadPct: round(rangePct),
      gbps: round(bytes / measuredNs.auto),
      floorUs: round(floorNs / 1e3),
      peers: {},
      /** By policy: measured and predicted µs. */
      policies: Object.fromEntries(
        entries.map(([name, ns, predicted]) => [name, [round(ns / 1e3), round(predicted / 1e3)]]),
      ),
      ...(idle && { idle }),
    };
  }

  dispose(): void {
    this.timer.dispose();
    this.pool.dispose();
  }
}

function idlePct(timeline: Timeline): number {
  const { idleNs, areaNs } = timeline.idle();
  return areaNs > 0 ? Number(((idleNs / areaNs) * 100).toFixed(2)) : 0;
}

function meanShares(shares: readonly IdleShares[]): IdleShares {
  const mean = (of: (one: IdleShares) => number): number =>
    Number((shares.reduce((sum, one) => sum + of(one), 0) / shares.length).toFixed(2));
  const both = (name: keyof IdleShares): IdleShares['auto'] => ({
    measured: mean((one) => one[name].measured),
    simulated: mean((one) => one[name].simulated),
  });
  return { binarySearch: both('binarySearch'), auto: both('auto') };
}
