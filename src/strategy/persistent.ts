/** One graph with a grid of the machine's; the host rewrites the work list in device memory ahead of each replay. */
import { capture } from '../graph/capture';
import { policies } from '../schedule/policies/known';
import type { StepBatch, StepCapacity } from './batch';
import { type StepReport, StepStrategy, type StrategyExplanation } from './strategy';

export class PersistentStrategy extends StepStrategy {
  readonly name: string = 'persistent';

  explain(): StrategyExplanation {
    return {
      name: this.name,
      does: 'One graph of persistent kernels, which drain a work list in device memory; the host plans it anew at each step.',
      follows: ['batch size', 'lengths', 'pages', 'policy', 'tiles and their order'],
      freezes: ['grid of the machine', 'capacity'],
      cannot: [
        { what: 'run without the host', why: 'each step waits for a plan and its copy; devicePlanned does without' },
        {
          what: 'compute fewer rows in the matrix products',
          why: 'their grid is of the capacity; a pool of graphs has several',
        },
      ],
      needs: 'any device',
    };
  }

  protected prepare(capacity: StepCapacity): void {
    const { model } = this;
    this.keep(
      capture(model.device, () => {
        model.advance();
        for (let layer = 0; layer < model.layers; layer++) {
          model.projectAndAppend(layer, capacity.maxBatch);
          model.device.stream.launch(this.launches[layer]);
        }
      }),
    );
  }

  protected run(batch: StepBatch): StepReport {
    const startedMs = performance.now();
    const seated = this.model.seat(batch);
    const plan = this.attention.plan(batch.table ?? batch.kvLens, {
      policy: this.options.policy ?? policies.adaptive,
    });
    const planNs = Math.round((performance.now() - startedMs) * 1e6);
    batch.onSent?.();
    this.execs[0].replay();
    const paddedRows = this.capacity.maxBatch - batch.kvLens.length;
    const uploadedBytes = seated + plan.cost.uploadedBytes;
    return { path: 'graph', steps: 1, recaptured: 0, paddedRows, planNs, uploadedBytes };
  }
}
