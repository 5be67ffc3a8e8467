/** Launch by launch, with a grid and a chunk size that the host decides at each step: what a CUDA graph is measured against. */
import type { StepBatch } from './batch';
import { ChunkedStrategy } from './chunked';
import type { StepReport, StrategyExplanation } from './strategy';

export class EagerStrategy extends ChunkedStrategy {
  readonly name: string = 'eager';

  explain(): StrategyExplanation {
    return {
      name: this.name,
      does: 'Plans on the host and launches every kernel at each step, with the grid of the batch and kv_chunk_size by value.',
      follows: ['batch size', 'lengths', 'pages'],
      freezes: [],
      cannot: [
        { what: 'run ahead of the host', why: 'each launch is a driver call, two to four microseconds of the host' },
      ],
      needs: 'any device',
    };
  }

  protected prepare(): void {
    return;
  }

  protected run(batch: StepBatch): StepReport {
    const { plan, uploadedBytes, planNs } = this.planStep(batch);
    const rows = batch.kvLens.length;
    const numItems = this.itemsOf(plan);
    this.enqueueStep(rows, { numRequests: rows, kvChunkSize: plan.kvChunkSize, numItems, split: plan.split });
    return { path: 'eager', steps: 1, recaptured: 0, paddedRows: 0, idleCtas: 0, planNs, uploadedBytes };
  }
}
