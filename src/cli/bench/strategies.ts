/** `warpbook bench strategies`: the ways to live with CUDA graphs over a request trace, and what their mechanisms cost alone. */
import type { Device } from '../../device/device';
import { comparisonTable } from '../../display/strategy-display';
import { table } from '../../display/table';
import { WarpbookError } from '../../errors';
import { type CompareStrategiesOptions, compareStrategies, type StrategyChoice } from '../../lab/compare-strategies';
import {
  HOST_BATCH,
  type HostCost,
  hostCosts,
  type MechanismPeriod,
  mechanismPeriods,
} from '../../lab/mechanism-periods';
import type { StrategyComparison } from '../../lab/strategy-comparison';
import { spreadOf } from '../../measure/statistics';
import { strategies } from '../../strategy/strategies';
import { loadTrace } from '../../workload/load-trace';
import type { RequestTrace } from '../../workload/request-trace';
import type { ResultRow } from './result-file';

export interface StrategyFlags {
  readonly steps?: number;
  /** Requests at the same time. */
  readonly batches?: readonly string[];
  readonly layers?: number;
  readonly maxKv?: number;
  readonly heads?: readonly string[];
  readonly headDim?: readonly string[];
  readonly trace?: string;
  /** What a step takes by the clock of arrivals. */
  readonly stepMs?: number;
  readonly quick?: boolean;
}

/** Every strategy in each of its forms; eager first, which the others' outputs are compared with. */
const ALL: readonly StrategyChoice[] = [
  'eager',
  'fixedGrid',
  'persistent',
  'devicePlanned',
  (model) => strategies.devicePlanned(model, { ahead: false }),
  'graphPool',
  (model) => strategies.graphPool(model, { kvLens: buckets(model.maxKvLen), eagerCapture: true }),
  (model) => strategies.graphPool(model, { mode: 'piecewise' }),
  'hostUpdate',
  (model) => strategies.hostUpdate(model, { update: 'graph' }),
  'launcher',
  (model) => strategies.launcher(model, { launch: 'tail' }),
  'updatableNodes',
  'deviceGraph',
  'conditional',
  'whileLoop',
];

/** What a decode step of a model with some 60 layers takes: arrivals come by this clock, so that the batch ebbs and flows. */
const DEFAULT_STEP_NS = 20e6;

function buckets(maxKvLen: number): number[] {
  const all: number[] = [];
  for (let tokens = 1024; tokens < maxKvLen; tokens *= 2) all.push(tokens);
  return [...all, maxKvLen];
}

/** Measures, says the tables, and gives the rows of the result file. */
export async function* benchStrategies(
  device: Device,
  flags: StrategyFlags,
  say: (text: string) => void,
): AsyncGenerator<readonly ResultRow[]> {
  const trace = await loadTrace({ path: flags.trace });
  for (const batch of flags.batches ?? (flags.quick ? ['8'] : ['32', '8'])) {
    const comparison = await compareStrategies(optionsFor(device, trace, positive('--batches', batch), flags));
    say(comparisonTable(comparison).toText(240));
    for (const { name, reason } of comparison.skipped) say(`not run: ${name}: ${reason}`);
    yield comparison.results.map((_, index) => rowOf(comparison, index, trace, flags));
  }
  const hosts = await (flags.quick ? hostCosts(device, 12, { warmUp: 4, length: 64 }) : hostCosts(device, 400));
  say(hostTable(hosts));
  yield hosts.map((host) => hostRow(device, host));
  const periods = await mechanismPeriods(device);
  say(periodTable(periods));
  yield periods.map((period) => periodRow(device, period, periods[0]));
}

function positive(what: string, text: string): number {
  const value = Number(text);
  if (Number.isInteger(value) && value >= 1) return value;
  throw new WarpbookError('INVALID_ARGUMENT', `Got ${what} ${text}; wanted positive integers.`);
}

function optionsFor(
  device: Device,
  trace: RequestTrace,
  maxBatch: number,
  flags: StrategyFlags,
): CompareStrategiesOptions {
  const onGpu = device.kind === 'cuda';
  const [numQoHeads, numKvHeads] = (flags.heads?.[0] ?? (onGpu ? '32/8' : '8/2')).split('/').map(Number);
  const headDim = Number(flags.headDim?.[0] ?? (onGpu ? 128 : 64));
  const { layers = onGpu ? 4 : 2, maxKv = onGpu ? 8192 : 2048, quick } = flags;
  const { steps = quick ? 60 : 1000 } = flags;
  const model = { layers, numQoHeads, numKvHeads, headDim, maxBatch, maxKvLen: maxKv };
  const stepNs = flags.stepMs === undefined ? DEFAULT_STEP_NS : flags.stepMs * 1e6;
  return { device, trace, steps, model, strategies: ALL, checkEvery: quick ? 4 : 10, ...(stepNs > 0 && { stepNs }) };
}

function rowOf(comparison: StrategyComparison, index: number, trace: RequestTrace, flags: StrategyFlags): ResultRow {
  const result = comparison.results[index];
  const row = comparison.rows()[index];
  const times = result.records.map((r) => r.deviceNs / r.steps / 1e3).filter((us) => !Number.isNaN(us));
  const { median, min, spreadPct } = spreadOf(times);
  const { model } = result;
  return {
    what: `decode step over ${trace.name}`,
    batch: model.maxBatch,
    kvLen: model.maxKvLen,
    numQoHeads: model.numQoHeads,
    numKvHeads: model.numKvHeads,
    headDim: model.headDim,
    pageSize: model.pageSize,
    dtype: model.dtype,
    kvDtype: model.dtype,
    medianUs: median,
    minUs: min,
    spreadPct,
    floorUs: null,
    peers: {},
    ...row,
    layers: model.layers,
    steps: result.records.reduce((sum, r) => sum + r.steps, 0),
    agreement: result.agreement,
    capture: result.capture,
    skippedRequests: comparison.skippedRequests,
    ...(result.pooled && { pooled: result.pooled, evicted: result.evicted }),
    // Every twentieth step, for the pictures: step, requests, tokens, device µs, host µs, copies µs of the device's.
    samples: result.records
      .filter((_, i) => i % (flags.quick ? 1 : 20) === 0)
      .map((r) => [
        r.step,
        r.batchSize,
        r.tokens,
        round(r.deviceNs / r.steps / 1e3),
        round(r.hostNs / 1e3),
        round(r.copyNs / 1e3),
      ]),
  };
}

/** The shape of the steps whose overheads are measured. */
function smallStep(device: Device) {
  const onGpu = device.kind === 'cuda';
  const dtype = onGpu ? 'bfloat16' : 'float32';
  return {
    numQoHeads: onGpu ? 32 : 8,
    numKvHeads: onGpu ? 8 : 2,
    headDim: onGpu ? 128 : 64,
    pageSize: 16,
    dtype,
    kvDtype: dtype,
  } as const;
}

function periodRow(
  device: Device,
  { strategy, stepsPerReplay, period, host }: MechanismPeriod,
  first: MechanismPeriod,
): ResultRow {
  return {
    what: 'period of a step that hardly computes',
    batch: 1,
    kvLen: 166,
    ...smallStep(device),
    medianUs: period.median / 1e3,
    minUs: period.min / 1e3,
    spreadPct: period.spreadPct,
    floorUs: null,
    peers: {},
    strategy,
    stepsPerReplay,
    overDevicePlannedUs: (period.median - first.period.median * stepsPerReplay) / 1e3,
    hostUs: host.median / 1e3,
  };
}

function hostRow(device: Device, { strategy, host }: HostCost): ResultRow {
  return {
    what: 'host time of a step, back to back',
    batch: HOST_BATCH,
    kvLen: 2000,
    ...smallStep(device),
    medianUs: host.median / 1e3,
    minUs: host.min / 1e3,
    spreadPct: host.spreadPct,
    floorUs: null,
    peers: {},
    strategy,
  };
}

function hostTable(hosts: readonly HostCost[]): string {
  const rows = hosts.map(({ strategy, host }) => ({ strategy, median: host.median / 1e3, p90: host.p90 / 1e3 }));
  const title = `Host time of a step of ${HOST_BATCH} requests whose lengths grow, back to back`;
  return table(rows, { title, units: { median: 'µs', p90: 'µs' } }).toText(120);
}

function periodTable(periods: readonly MechanismPeriod[]): string {
  const rows = periods.map(({ strategy, stepsPerReplay, period, host }) => ({
    strategy,
    steps: stepsPerReplay,
    period: period.median / 1e3,
    'more than in line': (period.median - periods[0].period.median * stepsPerReplay) / 1e3,
    host: host.median / 1e3,
  }));
  const us = { period: 'µs', 'more than in line': 'µs', host: 'µs' };
  return table(rows, { title: 'Replays of a step that hardly computes, back to back', units: us }).toText(160);
}

function round(value: number): number {
  return Math.round(value * 10) / 10;
}
