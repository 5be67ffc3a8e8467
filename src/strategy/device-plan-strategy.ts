/**
 * The device plans for the lengths that it keeps itself, and the host only replays. A step's work list is written while the step
 * before runs, on a branch of its graph, since the planner takes a CTA for some microseconds and lengths grow by one: two work lists
 * take turns. Where requests join or leave, a third graph plans its own step first.
 */
import type { BatchDecode } from '../attention/batch-decode';
import type { Event } from '../device/event';
import type { Launch, Stream } from '../device/stream';
import { capture } from '../graph/capture';
import type { StepBatch, StepCapacity } from './batch';
import { DevicePlannedStrategy } from './device-planned';
import type { DecodeModel } from './model';
import type { StepReport, StrategyExplanation, StrategyOptions } from './strategy';

export interface DevicePlanOptions extends StrategyOptions {
  /** Plan a step while the one before runs; default true. False: one graph, and one work list, planned ahead of each step's layers. */
  readonly ahead?: boolean;
}

/** A work list, and the launches that drain it. */
interface Side {
  readonly wrapper: BatchDecode;
  readonly launches: readonly Launch[];
}

/** What the branch of a captured step is made of; needed while capturing only. */
interface Branch {
  readonly stream: Stream;
  readonly forked: Event;
  readonly joined: Event;
}

/** The graphs, in the order in which they are kept. */
const PLANS_ITSELF = 0;
const ON_SECOND = 1;
const ON_FIRST = 2;

export class DevicePlanStrategy extends DevicePlannedStrategy {
  readonly name: string;
  private readonly ahead: boolean;
  private second: Side | undefined;
  /** The graph whose work list the last replay has written. */
  private planned = PLANS_ITSELF;

  constructor(model: DecodeModel, options: DevicePlanOptions = {}) {
    super(model, options);
    this.ahead = options.ahead ?? true;
    this.name = this.ahead ? 'devicePlanned' : 'devicePlannedInLine';
  }

  explain(): StrategyExplanation {
    return {
      name: this.name,
      does: this.ahead
        ? "Graphs of persistent kernels with a planner on a branch: while a step runs, the device deals the next one's work."
        : 'One graph with a planner kernel in front of persistent kernels: lengths grow and work is dealt on the device.',
      follows: ['batch size', 'lengths', 'pages', 'tiles and their order'],
      freezes: ['grid of the machine', 'capacity', 'policy'],
      cannot: [
        {
          what: 'use a policy of your own',
          why: 'the planner on the device knows adaptive, headGroups, binarySearch and noSplit',
        },
        {
          what: 'take new pages',
          why: 'pages are reserved ahead; the host sends the page table when requests join or leave',
        },
      ],
      needs: 'any device',
    };
  }

  protected override async load(): Promise<void> {
    if (!this.ahead) return;
    const wrapper = await this.createWrapper();
    this.second = { wrapper, launches: this.launchesOf(wrapper) };
  }

  protected prepare({ maxBatch }: StepCapacity): void {
    const { device } = this.model;
    const { second } = this;
    if (!second) {
      this.keep(capture(device, () => this.enqueueStep(maxBatch)));
      return;
    }
    const first = { wrapper: this.attention, launches: this.launches };
    const branch = { stream: device.createStream(), forked: device.createEvent(), joined: device.createEvent() };
    const step = (now: Side, next: Side, plansItself: boolean): void => {
      this.keep(capture(device, () => this.enqueueAhead(maxBatch, { now, next, branch, plansItself })));
    };
    try {
      step(first, second, true);
      step(second, first, false);
      step(first, second, false);
    } finally {
      for (const part of [branch.stream, branch.forked, branch.joined]) part.dispose();
    }
    this.planned = PLANS_ITSELF;
  }

  private enqueueAhead(
    rows: number,
    { now, next, branch, plansItself }: { now: Side; next: Side; branch: Branch; plansItself: boolean },
  ): void {
    const { model } = this;
    const { stream } = model.device;
    const { kvLens, nextKvLens, numRequests } = model.memory;
    const options = { policy: this.devicePolicy, batchSize: numRequests };
    const lengthsOf = (tensor: typeof kvLens) => tensor.slice(0, 0, rows);
    model.advance();
    if (plansItself) now.wrapper.planOnDevice(lengthsOf(kvLens), options);
    for (let layer = 0; layer < model.layers; layer++) {
      model.projectAndAppend(layer, rows);
      // Behind the first product and append: a branch right behind `advance` costs the product its early start, 6 to 8 µs a step.
      if (layer === 0) {
        branch.stream.wait(stream.record(branch.forked));
        next.wrapper.planOnDevice(lengthsOf(nextKvLens), { ...options, stream: branch.stream });
      }
      stream.launch(now.launches[layer]);
    }
    stream.wait(branch.stream.record(branch.joined));
  }

  protected override seat(batch: StepBatch): number {
    const bytes = super.seat(batch);
    return bytes + (batch.table && this.second ? this.tellPages(this.second.wrapper, batch.table) : 0);
  }

  protected run(batch: StepBatch): StepReport {
    if (!this.second) return this.replayStep(batch);
    // Nobody's lengths are known ahead where others run than before.
    const turn = batch.table || batch.kvLens.length === 0 ? PLANS_ITSELF : this.planned;
    const report = this.replayStep(batch, turn);
    this.planned = turn === ON_SECOND ? ON_FIRST : ON_SECOND;
    return report;
  }

  protected override workspaceBuffers(): readonly { byteLength: number }[] {
    return [...super.workspaceBuffers(), ...(this.second?.wrapper.memory.buffers ?? [])];
  }

  protected override release(): void {
    super.release();
    this.second?.wrapper.dispose();
    this.second = undefined;
  }
}
