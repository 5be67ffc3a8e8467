/**
 * What the ways to change a captured graph cost by themselves: the period of steps that hardly compute, replayed back to back, of the
 * strategies whose steps need nothing of the host.
 */
import type { Device } from '../device/device';
import { WarpbookError } from '../errors';
import { type Spread, spreadOf } from '../measure/statistics';
import { DecodeModel } from '../strategy/model';
import { strategies } from '../strategy/strategies';
import type { Strategy } from '../strategy/strategy';

/** Of one strategy: ns from step to step. */
export interface MechanismPeriod {
  readonly strategy: string;
  /** Decode steps of a replay. */
  readonly stepsPerReplay: number;
  /** Ns a replay. */
  readonly period: Spread;
  /** Host time of a replay's call, ns, while the device is busy. */
  readonly host: Spread;
}

const REPLAYS = 150;
const ROUNDS = 9;
const FIRST_LENGTH = 16;

interface Contender {
  readonly label: string;
  readonly make: (model: DecodeModel) => Strategy;
  readonly stepsAhead: number;
}

const CONTENDERS: readonly Contender[] = [
  {
    label: 'devicePlannedInLine',
    make: (model) => strategies.devicePlanned(model, { ahead: false }),
    stepsAhead: 1,
  },
  { label: 'devicePlanned', make: (model) => strategies.devicePlanned(model), stepsAhead: 1 },
  { label: 'launcher', make: (model) => strategies.launcher(model), stepsAhead: 1 },
  { label: 'launcherTail', make: (model) => strategies.launcher(model, { launch: 'tail' }), stepsAhead: 1 },
  { label: 'updatableNodes', make: (model) => strategies.updatableNodes(model), stepsAhead: 1 },
  { label: 'deviceGraph', make: (model) => strategies.deviceGraph(model), stepsAhead: 1 },
  { label: 'conditional', make: (model) => strategies.conditional(model), stepsAhead: 1 },
  { label: 'whileLoop × 1', make: (model) => strategies.whileLoop(model), stepsAhead: 1 },
  { label: 'whileLoop × 11', make: (model) => strategies.whileLoop(model), stepsAhead: 11 },
];

/**
 * Measures what the device has of them; the first is what the others are compared with, which plan in line, too.
 * @throws WarpbookError UNSUPPORTED where not even the first can be had
 */
export async function mechanismPeriods(device: Device): Promise<MechanismPeriod[]> {
  const heads = device.kind === 'cuda' ? { numQoHeads: 32, numKvHeads: 8, headDim: 128 } : {};
  const maxKvLen = FIRST_LENGTH + 12 * REPLAYS + 16;
  const model = await DecodeModel.create({ device, ...heads, layers: 1, maxBatch: 1, maxKvLen });
  const found: MechanismPeriod[] = [];
  try {
    for (const contender of CONTENDERS) {
      const strategy = contender.make(model);
      try {
        await strategy.capture({ maxBatch: 1, maxKvLen });
        found.push(await periodOf(strategy, model, contender));
      } catch (error) {
        if (!(error instanceof WarpbookError && error.code === 'UNSUPPORTED')) throw error;
      } finally {
        strategy.dispose();
      }
    }
  } finally {
    model.dispose();
  }
  return found;
}

async function periodOf(
  strategy: Strategy,
  model: DecodeModel,
  { label, stepsAhead }: Contender,
): Promise<MechanismPeriod> {
  const { device, caches } = model;
  const request = caches[0].allocate(model.maxKvLen);
  const pages = caches[0].pageTable([request]);
  const marks = [device.createEvent(), device.createEvent()];
  const periods: number[] = [];
  const hosts: number[] = [];
  for (let round = 0; round <= ROUNDS; round++) {
    model.reset();
    const kvLens = Int32Array.of(FIRST_LENGTH);
    const remaining = Int32Array.of(2 ** 30);
    await strategy.step({ kvLens, remaining, stepsAhead, table: pages.withLengths(kvLens) });
    await device.synchronize();
    device.stream.record(marks[0]);
    for (let i = 0; i < REPLAYS; i++) {
      const started = process.hrtime.bigint();
      await strategy.step({ kvLens, remaining, stepsAhead });
      if (round > 0) hosts.push(Number(process.hrtime.bigint() - started));
    }
    device.stream.record(marks[1]);
    const ns = await marks[1].elapsedSinceNs(marks[0]);
    // The first round warms up.
    if (round > 0) periods.push(ns / REPLAYS);
  }
  await strategy.check();
  for (const mark of marks) mark.dispose();
  caches[0].free(request);
  return { strategy: label, stepsPerReplay: stepsAhead, period: spreadOf(periods), host: spreadOf(hosts) };
}

/** Host time of one strategy's step. */
export interface HostCost {
  readonly strategy: string;
  /** Ns. */
  readonly host: Spread;
}

/** Requests of the steps of {@link hostCosts}. */
export const HOST_BATCH = 32;
/** Steps between waits for the device, so that its staging rings don't fill. */
const STEPS_PER_WAIT = 4;
const HOST_WARM_UP = 100;
/** Tokens of the shortest request; the longest has twice as many. */
const HOST_LENGTH = 1000;

/** What a step costs the host when nothing has gone cold: steps one after the other, with the same requests, lengths growing. */
export async function hostCosts(
  device: Device,
  steps: number,
  { warmUp = HOST_WARM_UP, length: first = HOST_LENGTH }: { warmUp?: number; length?: number } = {},
): Promise<HostCost[]> {
  const heads = device.kind === 'cuda' ? { numQoHeads: 32, numKvHeads: 8, headDim: 128 } : {};
  const maxKvLen = 2 * first + warmUp + steps + 16;
  const model = await DecodeModel.create({ device, ...heads, layers: 4, maxBatch: HOST_BATCH, maxKvLen });
  const requests = Array.from({ length: HOST_BATCH }, () => model.caches[0].allocate(maxKvLen));
  const pages = model.caches[0].pageTable(requests);
  const costs: HostCost[] = [];
  for (const name of ['eager', 'fixedGrid', 'persistent', 'devicePlanned', 'graphPool', 'hostUpdate'] as const) {
    const strategy = strategies[name](model);
    await strategy.capture({ maxBatch: HOST_BATCH, maxKvLen });
    model.reset();
    const kvLens = Int32Array.from({ length: HOST_BATCH }, (_, r) => first + Math.floor((r * first) / HOST_BATCH));
    const remaining = new Int32Array(HOST_BATCH).fill(2 ** 30);
    await strategy.step({ kvLens, remaining, stepsAhead: 1, table: pages.withLengths(kvLens) });
    const times: number[] = [];
    for (let i = 0; i < warmUp + steps; i++) {
      for (let r = 0; r < HOST_BATCH; r++) kvLens[r]++;
      const started = process.hrtime.bigint();
      const report = strategy.step({ kvLens, remaining, stepsAhead: 1 });
      const ns = Number(process.hrtime.bigint() - started);
      await report;
      if (i >= warmUp) times.push(ns);
      if (i % STEPS_PER_WAIT === 0) await device.synchronize();
    }
    await strategy.check();
    costs.push({ strategy: strategy.name, host: spreadOf(times) });
    strategy.dispose();
  }
  model.dispose();
  return costs;
}
