/**
 * The launcher kernel of FlashInfer's issue 187: in the graph stands a kernel of one warp, which reads the work list in device
 * memory and launches attention with as many CTAs as there is work for, by dynamic parallelism.
 */
import { concatParams } from '../device/params';
import type { Launch } from '../device/stream';
import { capture } from '../graph/capture';
import type { StepBatch, StepCapacity } from './batch';
import { DevicePlannedStrategy, withoutPdl } from './device-planned';
import { attentionSource, loadMechanisms, requireCuda } from './mechanism';
import type { DecodeModel } from './model';
import { launcherParams } from './step-params';
import { launcherProgram } from './step-programs';
import type { StepReport, StrategyExplanation, StrategyOptions } from './strategy';

export interface LauncherOptions extends StrategyOptions {
  /**
   * `fireAndForget` (default): attention starts while the launcher still runs; `tail`: when it has ended. Either way the node has
   * ended when attention has.
   */
  readonly launch?: 'fireAndForget' | 'tail';
}

export class LauncherStrategy extends DevicePlannedStrategy {
  readonly name: string;
  private readonly tail: boolean;
  private program = '';
  private cta = { threads: 0, sharedBytes: 0 };

  constructor(model: DecodeModel, options: LauncherOptions = {}) {
    super(model, options);
    this.tail = options.launch === 'tail';
    this.name = this.tail ? 'launcherTail' : 'launcher';
  }

  explain(): StrategyExplanation {
    return {
      name: this.name,
      does: `A one-warp kernel in the graph reads the work list and launches attention (${this.tail ? 'tail launch' : 'fire and forget'}).`,
      follows: ['batch size', 'lengths', 'pages', 'grid of attention'],
      freezes: ['capacity', 'policy', 'build of attention'],
      cannot: [
        {
          what: 'stand in a conditional body, or in a graph that a kernel launches',
          why: 'CUDA allows no kernel that launches kernels there',
        },
        {
          what: "raise its child's limit of shared memory",
          why: 'more than 48 KiB fail (cudaErrorInvalidConfiguration) unless the host has raised it, in the launcher’s own module',
        },
        { what: 'wait for its child', why: 'CUDA 12 took device-side synchronisation away' },
      ],
      needs: 'CUDA 12.0, nvJitLink and libcudadevrt; about 100 MiB for the device runtime',
    };
  }

  protected override requireDevice(): void {
    requireCuda(this.name, this.model.device, 'dynamic parallelism', 12000);
  }

  protected override async load(): Promise<void> {
    const source = attentionSource(this.model);
    const launcher = launcherProgram(source);
    await loadMechanisms(this.model.device, [launcher]);
    this.program = launcher.name;
    this.cta = { threads: source.threads, sharedBytes: source.sharedMemoryBytes };
  }

  protected prepare(capacity: StepCapacity): void {
    const { stream } = this.model.device;
    this.keep(
      capture(this.model.device, () =>
        this.enqueueStep(capacity.maxBatch, {
          attention: (layer) => stream.launch(withoutPdl(this.launcherOf(layer))),
        }),
      ),
    );
  }

  private launcherOf(layer: number): Launch {
    const { params, buffers } = this.launches[layer];
    const { state } = this.model.memory;
    const own = launcherParams.pack({
      state: state.address(),
      threads: this.cta.threads,
      shared_bytes: this.cta.sharedBytes,
      tail: this.tail ? 1 : 0,
    });
    return {
      program: this.program,
      grid: [1, 1, 1],
      params: concatParams(params, own),
      buffers: [...buffers, state.buffer],
    };
  }

  protected run(batch: StepBatch): StepReport {
    return this.replayStep(batch);
  }
}
