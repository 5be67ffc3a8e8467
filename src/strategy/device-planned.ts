/** What the strategies share whose work list is written by the planner on the device: the host only replays. */
import type { DevicePolicy } from '../attention/device-plan';
import type { Launch } from '../device/stream';
import { WarpbookError } from '../errors';
import { policies } from '../schedule/policies/known';
import type { Policy } from '../schedule/schedule';
import type { StepBatch } from './batch';
import type { DecodeModel } from './model';
import { type StepReport, StepStrategy, type StrategyOptions } from './strategy';

/** See the file head. */
export abstract class DevicePlannedStrategy extends StepStrategy {
  /** What the planner deals by. */
  protected readonly devicePolicy: DevicePolicy;

  /** @throws WarpbookError UNSUPPORTED for a policy that the planner on the device doesn't know */
  constructor(model: DecodeModel, options: StrategyOptions = {}) {
    super(model, options);
    this.devicePolicy = devicePolicyOf(options.policy);
  }

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
      policy: options.policy ?? this.devicePolicy,
      batchSize: numRequests,
    });
    options.planned?.();
    for (let layer = 0; layer < model.layers; layer++) {
      model.projectAndAppend(layer, rows, pdl);
      attention(layer);
    }
  }

  /**
   * Tells the device who runs, where that changed, and replays: all that the host has to do.
   * @param graph which of the strategy's own
   */
  protected replayStep(batch: StepBatch, graph = 0): StepReport {
    const { uploadedBytes, planNs } = this.timedSeat(batch);
    this.execs[graph].replay();
    return { path: 'graph', steps: 1, recaptured: 0, paddedRows: this.paddedRows(batch), planNs, uploadedBytes };
  }

  protected paddedRows(batch: StepBatch): number {
    return this.capacity.maxBatch - batch.kvLens.length;
  }
}

const KNOWN = ['adaptive', 'headGroups', 'binarySearch', 'noSplit'] as const satisfies readonly DevicePolicy[];

function devicePolicyOf(policy: Policy | undefined): DevicePolicy {
  if (policy === undefined) return 'adaptive';
  const known = KNOWN.find((name) => policies[name] === policy);
  if (known !== undefined) return known;
  throw new WarpbookError(
    'UNSUPPORTED',
    `The planner on the device knows ${KNOWN.join(', ')} of policies; got another one, '${policy.name}'. Only the host can plan by it: ` +
      'take the strategy persistent.',
  );
}

/** How a step of these strategies differs. */
export interface StepPieces {
  readonly attention?: (layer: number) => void;
  readonly pdl?: boolean;
  readonly policy?: DevicePolicy;
  /** Enqueues what comes right behind the planner. */
  readonly planned?: () => void;
}

/** Of launches that no programmatic edge may lead to. */
export function withoutPdl(launch: Launch): Launch {
  return { ...launch, pdl: false };
}
