/** One graph with the planner in front: the device plans for the lengths that it keeps itself, and the host only replays. */
import type { Launch } from '../device/stream';
import { capture } from '../graph/capture';
import type { StepBatch, StepCapacity } from './batch';
import { type StepReport, StepStrategy, type StrategyExplanation } from './strategy';

/** What the strategies share whose work list is written by the planner on the device. */
export abstract class DevicePlannedStrategy extends StepStrategy {
  /**
   * Enqueues a step with `rows` rows, or captures it.
   * @param attention the launch of each layer; default: the machine's grid
   * @param pdl false: no programmatic edges
   */
  protected enqueueStep(rows: number, options: StepPieces = {}): void {
    const { model } = this;
    const { pdl } = options;
    const attention = options.attention ?? ((layer) => model.device.stream.launch({ ...this.launches[layer], pdl }));
    const { kvLens, numRequests } = model.memory;
    model.advance();
    this.attention.planOnDevice(kvLens.slice(0, 0, rows), {
      policy: options.policy ?? 'headGroups',
      batchSize: numRequests,
    });
    options.planned?.();
    for (let layer = 0; layer < model.layers; layer++) {
      model.projectAndAppend(layer, rows, pdl);
      attention(layer);
    }
  }

  /** Tells the device who runs, where that changed, and replays: all that the host has to do. */
  protected replayStep(batch: StepBatch): StepReport {
    const { uploadedBytes, planNs } = this.timedSeat(batch);
    this.execs[0].replay();
    return { path: 'graph', steps: 1, recaptured: 0, paddedRows: this.paddedRows(batch), planNs, uploadedBytes };
  }

  protected paddedRows(batch: StepBatch): number {
    return this.capacity.maxBatch - batch.kvLens.length;
  }
}

/** How a step of these strategies differs. */
export interface StepPieces {
  readonly attention?: (layer: number) => void;
  readonly pdl?: boolean;
  readonly policy?: 'headGroups' | 'binarySearch';
  /** Enqueues what comes right behind the planner. */
  readonly planned?: () => void;
}

/** Of launches that no programmatic edge may lead to. */
export function withoutPdl(launch: Launch): Launch {
  return { ...launch, pdl: false };
}

export class DevicePlanStrategy extends DevicePlannedStrategy {
  readonly name: string = 'devicePlanned';

  explain(): StrategyExplanation {
    return {
      name: this.name,
      does: 'One graph with a planner kernel in front of persistent kernels: lengths grow and work is dealt on the device.',
      follows: ['batch size', 'lengths', 'pages', 'tiles and their order'],
      freezes: ['grid of the machine', 'capacity', 'policy'],
      cannot: [
        {
          what: 'use a policy of your own',
          why: 'the planner on the device knows headGroups, binarySearch and noSplit',
        },
        {
          what: 'take new pages',
          why: 'pages are reserved ahead; the host sends the page table when requests join or leave',
        },
      ],
      needs: 'any device',
    };
  }

  protected prepare(capacity: StepCapacity): void {
    this.keep(capture(this.model.device, () => this.enqueueStep(capacity.maxBatch)));
  }

  protected run(batch: StepBatch): StepReport {
    return this.replayStep(batch);
  }
}
