/**
 * A WHILE node around a whole step: the device decodes token after token, without the host, until a request ends or a limit of
 * steps, which is on the device too, is reached.
 */
import type { Buffer } from '../device/buffer';
import { requireInteger } from '../errors';
import { capture } from '../graph/capture';
import type { StepBatch, StepCapacity } from './batch';
import { DevicePlannedStrategy } from './device-planned';
import { loadMechanisms, requireCuda } from './mechanism';
import type { DecodeModel } from './model';
import { loopConditionParams, STEP_WORD } from './step-params';
import { mechanismPrograms } from './step-programs';
import type { StepReport, StrategyExplanation, StrategyOptions } from './strategy';

export interface WhileLoopOptions extends StrategyOptions {
  /** Steps of a replay at most, 1 to 2³¹ − 1; default 1024. A loop that nothing else ends, ends there. */
  readonly maxSteps?: number;
}

const HANDLE_BYTES = 8;

export class WhileLoopStrategy extends DevicePlannedStrategy {
  readonly name: string = 'whileLoop';
  private readonly maxSteps: number;
  private handle: Buffer | undefined;

  constructor(model: DecodeModel, options: WhileLoopOptions = {}) {
    super(model, options);
    this.maxSteps = options.maxSteps ?? 1024;
    requireInteger('maxSteps', this.maxSteps, 1, 2 ** 31 - 1);
  }

  explain(): StrategyExplanation {
    return {
      name: this.name,
      does: 'A WHILE node around the whole step: the device decodes until a request ends, or a step limit on the device is reached.',
      follows: ['lengths', 'the end of a request', 'batch size and pages, between loops'],
      freezes: ['rows', 'capacity', 'policy'],
      cannot: [
        {
          what: 'take in a request, or give tokens out, in the middle',
          why: 'the host sees nothing until the loop ends',
        },
        { what: 'hold a launcher kernel', why: 'dynamic parallelism may not stand in a conditional body' },
        { what: 'run for ever', why: 'steps are counted on the device, and the loop ends at its limit' },
      ],
      needs: 'CUDA 12.3',
    };
  }

  protected override requireDevice(): void {
    requireCuda(this.name, this.model.device, 'a WHILE node', 12030);
  }

  protected override load(): Promise<void> {
    return loadMechanisms(this.model.device, [mechanismPrograms.loopCondition]);
  }

  protected prepare(capacity: StepCapacity): void {
    const { device, memory } = this.model;
    const handle = device.allocate(HANDLE_BYTES, { label: 'handle of the loop' });
    this.handle = handle;
    const body = capture(device, () => {
      this.enqueueStep(capacity.maxBatch);
      device.stream.launch({
        program: 'loop_condition',
        grid: [1, 1, 1],
        params: loopConditionParams.pack({ state: memory.state.address(), handle: handle.address() }),
        buffers: [...memory.buffers, handle],
      });
    });
    const graph = capture(device, () => device.stream.launchConditional('while', [body], 1));
    body.dispose();
    this.keep(graph);
    graph.writeHandle(0, handle);
  }

  protected run(batch: StepBatch): StepReport {
    const started = process.hrtime.bigint();
    const uploadedBytes = this.seat(batch);
    const steps = Math.min(this.maxSteps, batch.stepsAhead);
    // Steps so far, their limit, and that nothing asks to stop: neighbours in the state.
    this.model.memory.state.buffer.write(new Uint8Array(Int32Array.of(0, steps, 0).buffer), {
      byteOffset: STEP_WORD.step * 4,
    });
    const planNs = Number(process.hrtime.bigint() - started);
    batch.onSent?.();
    this.execs[0].replay();
    const paddedRows = this.paddedRows(batch) * steps;
    return { path: 'graph', steps, recaptured: 0, paddedRows, planNs, uploadedBytes: uploadedBytes + 12 };
  }

  protected override release(): void {
    super.release();
    this.handle?.dispose();
    this.handle = undefined;
  }
}
