/**
 * One strategy through one trace: steps in the loop's order, each timed, with the outputs of some steps kept. Two passes over the
 * same steps: one in which the host waits for each step, as an engine that has to sample does, and one in which the device is held up
 * ahead of each step, so that its time is without the host.
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
  /** Of the GPU's %globaltimer, to the host's steady clock; NaN: unknown. */
  readonly clockOffsetNs: number;
}

/** What was seen of one call of a strategy's step. */
export interface StepRecord {
  /** Number of the first decode step. */
  readonly step: number;
  readonly steps: number;
  readonly batchSize: number;
  readonly tokens: number;
  readonly chunkTokens: number;
  /** Host time of the call, ns. */
  readonly hostNs: number;
  /** From the call to the end of its work, waited for, ns. */
  readonly totalNs: number;
  /** From the call to the start of its first kernel, ns; NaN where nobody knows. */
  readonly startNs: number;
  /** Of the device, without the host, ns; NaN before the second pass. */
  deviceNs: number;
  readonly changed: boolean;
  readonly report: StepReport;
}

/** Called behind a step that has been waited for. */
export type Inspect = (step: number, batch: StepBatch) => Promise<void>;

/** First pass. */
export async function runWaiting(strategy: Strategy, settings: RunSettings, inspect: Inspect): Promise<StepRecord[]> {
  const { model, clockOffsetNs } = settings;
  const { stream } = model.device;
  const records: StepRecord[] = [];
  const takers = new Takers(strategy, settings);
  await forEachStep(strategy, settings, async (loop, batch) => {
    await stream.synchronize();
    const started = process.hrtime.bigint();
    const report = await takers.take(batch);
    const hostNs = Number(process.hrtime.bigint() - started);
    await stream.synchronize();
    const totalNs = Number(process.hrtime.bigint() - started);
    const { startNs } = await model.memory.read();
    const last = loop.steps + report.steps - 1;
    records.push({
      step: loop.steps,
      steps: report.steps,
      batchSize: batch.kvLens.length,
      tokens: batch.kvLens.reduce((sum, length) => sum + length, 0),
      chunkTokens: batch.chunk?.tokens ?? 0,
      hostNs,
      totalNs,
      // A loop's first step has long begun when its last one has.
      startNs: report.steps === 1 ? startNs + clockOffsetNs - Number(started) : Number.NaN,
      deviceNs: Number.NaN,
      changed: batch.table !== undefined,
      report,
    });
    if (batch.kvLens.length > 0) await inspect(last, batch);
    return report.steps;
  });
  return records;
}

/** Second pass; fills in the records of the first. */
export async function runHeld(strategy: Strategy, settings: RunSettings, records: StepRecord[]): Promise<void> {
  const { device } = settings.model;
  const { stream } = device;
  const marks: [Event, Event] = [device.createEvent(), device.createEvent()];
  const takers = new Takers(strategy, settings);
  let index = 0;
  try {
    await forEachStep(strategy, settings, async (_loop, batch) => {
      const record = records[index++];
      // Twice what the host took for this step, and what an update of the page table may take.
      hold(device, 2 * record.hostNs + 30_000);
      stream.record(marks[0]);
      const report = await takers.take(batch);
      stream.record(marks[1]);
      record.deviceNs = await marks[1].elapsedSinceNs(marks[0]);
      return report.steps;
    });
  } finally {
    for (const mark of marks) mark.dispose();
  }
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

/**
 * What has to be added to the time that a step writes down, to have it on the host's steady clock: the least that the end of a
 * tiny step was seen behind its start.
 */
export async function clockOffset(model: DecodeModel): Promise<number> {
  const { device, memory } = model;
  if (device.kind === 'cpu') return 0;
  let least = Number.POSITIVE_INFINITY;
  const mark = device.createEvent();
  for (let i = 0; i < 20; i++) {
    await device.stream.synchronize();
    model.advance();
    device.stream.record(mark);
    const ended = await device.state.watch(device.state.backend.eventTime(mark.handle));
    least = Math.min(least, ended - (await memory.read()).startNs);
  }
  mark.dispose();
  memory.reset();
  return least;
}
