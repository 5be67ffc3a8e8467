/**
 * One strategy through one trace: steps in the loop's order, each timed. A pass in which the host waits for each step, as an engine
 * that has to sample does, and passes in which the device is held up ahead of each step, so that its time is without the host.
 */
import type { PageTable } from '../attention/page-table';
import type { Device } from '../device/device';
import type { Event } from '../device/event';
import { WarpbookError } from '../errors';
import { throwIfInterrupted } from '../interruption';
import type { StepBatch } from '../strategy/batch';
import type { DecodeModel } from '../strategy/model';
import type { PrefillLane } from '../strategy/prefill-lane';
import { holdStreamParams } from '../strategy/step-params';
import type { StepReport, Strategy } from '../strategy/strategy';
import type { RequestTrace } from '../workload/request-trace';
import { DecodeLoop, type DecodeLoopOptions } from './decode-loop';

export interface RunSettings {
  readonly model: DecodeModel;
  readonly trace: RequestTrace;
  readonly steps: number;
  readonly loop: DecodeLoopOptions;
  readonly lane: PrefillLane | undefined;
  /** Runs the steps that a strategy refuses, where the caller wants that. */
  readonly substitute: Strategy | undefined;
}

/** What was seen of one call of a strategy's step. */
export interface StepRecord {
  /** Number of the first decode step. */
  readonly step: number;
  readonly steps: number;
  readonly batchSize: number;
  readonly tokens: number;
  readonly chunkTokens: number;
  /** Host time of the call, ns: while the device is busy, or, where device time isn't measured, while it is idle. */
  readonly hostNs: number;
  /** From the call to the end of its work, waited for, ns. */
  readonly totalNs: number;
  /** From the call to the start of its first kernel on an idle device, ns; NaN where nobody knows. */
  readonly startNs: number;
  /** Of the device, without the host, ns: the mean of two passes; NaN where it wasn't measured. */
  readonly deviceNs: number;
  /** Of that, what passes until the step's copies are done, ns; 0 where it sends nothing. */
  readonly copyNs: number;
  readonly changed: boolean;
  readonly report: StepReport;
}

/** Called behind a step that has been waited for. */
export type Inspect = (step: number, batch: StepBatch) => Promise<void>;

/** The pass in which each step is waited for. */
export async function runWaiting(strategy: Strategy, settings: RunSettings, inspect: Inspect): Promise<StepRecord[]> {
  const { model } = settings;
  const { stream } = model.device;
  const records: StepRecord[] = [];
  const calls: number[] = [];
  const takers = new Takers(strategy, settings);
  const clock = new KernelClock(model);
  await clock.mark();
  await forEachStep(strategy, settings, async (loop, batch) => {
    await stream.synchronize();
    const started = process.hrtime.bigint();
    const report = await takers.take(batch);
    const hostNs = Number(process.hrtime.bigint() - started);
    await stream.synchronize();
    const totalNs = Number(process.hrtime.bigint() - started);
    const { startNs } = await model.memory.read();
    const last = loop.steps + report.steps - 1;
    calls.push(Number(started));
    records.push({
      step: loop.steps,
      steps: report.steps,
      batchSize: batch.kvLens.length,
      tokens: batch.kvLens.reduce((sum, length) => sum + length, 0),
      chunkTokens: batch.chunk?.tokens ?? 0,
      hostNs,
      totalNs,
      // A loop's first step has long begun when its last one has.
      startNs: report.steps === 1 ? startNs : Number.NaN,
      deviceNs: Number.NaN,
      copyNs: Number.NaN,
      changed: batch.table !== undefined,
      report,
    });
    if (batch.kvLens.length > 0) await inspect(last, batch);
    return report.steps;
  });
  await clock.mark();
  return records.map((record, i) => ({ ...record, startNs: clock.onHost(record.startNs, calls[i]) - calls[i] }));
}

/** What a pass tells in which the device is held up. */
export interface HeldStep {
  readonly hostNs: number;
  /** NaN where the host took longer than the device was held up. */
  readonly deviceNs: number;
  /** Of that, until the copies are done. */
  readonly copyNs: number;
  readonly recaptured: number;
}

/** How long the device is held up ahead of a step; longer where requests join or leave. */
const HOLD_NS = 300_000;
const HOLD_CHANGED_NS = 2_000_000;
/** Of the hold, for what comes ahead of the strategy's call. */
const HOLD_MARGIN_NS = 20_000;

/** A pass in which the device is busy while the host enqueues a step. */
export async function runHeld(strategy: Strategy, settings: RunSettings): Promise<HeldStep[]> {
  const { device } = settings.model;
  const { stream } = device;
  const [begun, sent, ended]: Event[] = [device.createEvent(), device.createEvent(), device.createEvent()];
  const takers = new Takers(strategy, settings);
  const seen: HeldStep[] = [];
  try {
    await forEachStep(strategy, settings, async (_loop, batch) => {
      const holdNs = device.kind === 'cpu' ? Number.POSITIVE_INFINITY : batch.table ? HOLD_CHANGED_NS : HOLD_NS;
      hold(device, device.kind === 'cpu' ? 0 : holdNs);
      stream.record(begun);
      let sends = false;
      const onSent = (): void => {
        stream.record(sent);
        sends = true;
      };
      const started = process.hrtime.bigint();
      const report = await takers.take({ ...batch, onSent });
      const hostNs = Number(process.hrtime.bigint() - started);
      stream.record(ended);
      const elapsed = await ended.elapsedSinceNs(begun);
      const inTime = hostNs < holdNs - HOLD_MARGIN_NS;
      seen.push({
        hostNs,
        deviceNs: inTime ? elapsed : Number.NaN,
        copyNs: inTime ? (sends ? await sent.elapsedSinceNs(begun) : 0) : Number.NaN,
        recaptured: report.recaptured,
      });
      return report.steps;
    });
  } finally {
    for (const mark of [begun, sent, ended]) mark.dispose();
  }
  return seen;
}

/** Puts passes together: device time is the mean of what there is, host time that of the last pass. */
export function withHeld(records: readonly StepRecord[], passes: readonly (readonly HeldStep[])[]): StepRecord[] {
  return records.map((record, i) => {
    const [deviceNs, copyNs] = (['deviceNs', 'copyNs'] as const).map((key) =>
      meanOf(passes.map((pass) => pass[i][key])),
    );
    // What is captured when it is first needed was captured in the first pass.
    const report = { ...record.report, recaptured: passes[0]?.[i].recaptured ?? record.report.recaptured };
    return { ...record, deviceNs, copyNs, hostNs: passes.at(-1)?.[i].hostNs ?? record.hostNs, report };
  });
}

/** Of those that are numbers; NaN where none is. */
function meanOf(values: readonly number[]): number {
  const numbers = values.filter((value) => !Number.isNaN(value));
  return numbers.length === 0 ? Number.NaN : numbers.reduce((sum, value) => sum + value, 0) / numbers.length;
}

async function forEachStep(
  strategy: Strategy,
  settings: RunSettings,
  body: (loop: DecodeLoop, batch: StepBatch) => Promise<number>,
): Promise<void> {
  const { model, trace, steps } = settings;
  model.reset();
  const loop = new DecodeLoop(model, trace, settings.loop);
  while (loop.steps < steps) {
    throwIfInterrupted();
    const next = loop.next();
    if (!next) break;
    const batch = { ...next, stepsAhead: Math.min(next.stepsAhead, steps - loop.steps) };
    loop.took(await body(loop, batch));
  }
  await strategy.check();
}

/** Steps to whom they belong: to the strategy, or to its substitute where it refuses one. */
class Takers {
  private last: Strategy | undefined;
  private table: PageTable | undefined;

  constructor(
    private readonly strategy: Strategy,
    private readonly settings: RunSettings,
  ) {}

  async take(batch: StepBatch): Promise<StepReport> {
    const { lane, substitute } = this.settings;
    this.table = batch.table ?? this.table;
    if (batch.chunk) lane?.run(batch.chunk);
    try {
      return await this.step(this.strategy, batch);
    } catch (error) {
      const refused = error instanceof WarpbookError && error.code === 'CAPACITY_EXCEEDED';
      if (!refused || !substitute) throw error;
      return { ...(await this.step(substitute, batch)), fallback: error.message };
    }
  }

  /** Each has pages of its own to keep up: who didn't take the step before is told the table again. */
  private async step(taker: Strategy, batch: StepBatch): Promise<StepReport> {
    const table = taker === this.last ? batch.table : this.table?.withLengths(batch.kvLens);
    const report = await taker.step({ ...batch, table });
    this.last = taker;
    return report;
  }
}

function hold(device: Device, holdNs: number): void {
  device.stream.launch({
    program: 'hold_stream',
    grid: [1, 1, 1],
    params: holdStreamParams.pack({ hold_ns: Math.round(holdNs) }),
    buffers: [],
  });
}

/** Tries of which the shortest bounds the clocks best. */
const CLOCK_TRIES = 40;

/**
 * The time that a step's first kernel writes down, on the host's steady clock. The GPU has a clock of its own, which drifts: it is
 * compared at the start of a pass and at its end. A kernel that is waited for has begun between the call and its return, so the
 * shortest of many tries says how the clocks stand, to half of what launching and waiting take.
 */
class KernelClock {
  private readonly marks: { readonly hostNs: number; readonly offsetNs: number }[] = [];

  constructor(private readonly model: DecodeModel) {}

  async mark(): Promise<void> {
    const { device, memory } = this.model;
    if (device.kind === 'cpu') return;
    let earliest = Number.NEGATIVE_INFINITY;
    let latest = Number.POSITIVE_INFINITY;
    let hostNs = 0;
    for (let i = 0; i < CLOCK_TRIES; i++) {
      await device.stream.synchronize();
      const before = Number(process.hrtime.bigint());
      this.model.advance();
      await device.stream.synchronize();
      const after = Number(process.hrtime.bigint());
      const { startNs } = await memory.read();
      earliest = Math.max(earliest, before - startNs);
      latest = Math.min(latest, after - startNs);
      hostNs = after;
    }
    this.marks.push({ hostNs, offsetNs: (earliest + latest) / 2 });
  }

  /** @param hostNs about when that was */
  onHost(kernelNs: number, hostNs: number): number {
    const [first, last] = this.marks;
    if (!first || !last) return kernelNs;
    const share = (hostNs - first.hostNs) / (last.hostNs - first.hostNs);
    return kernelNs + first.offsetNs + share * (last.offsetNs - first.offsetNs);
  }
}
