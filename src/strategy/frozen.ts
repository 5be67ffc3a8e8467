/**
 * The bug, on purpose: eager's launches captured as they are. Grid, batch size and kv_chunk_size are by value, so a replay has
 * those of the capture, while the host goes on planning for the batch of the step: chunks of a size that the kernel doesn't have.
 */
import { capture } from '../graph/capture';
import type { StepBatch, StepCapacity } from './batch';
import { type ChunkPlan, planChunks } from './chunk-plan';
import { ChunkedStrategy } from './chunked';
import type { StepReport, StrategyExplanation } from './strategy';

/** Tokens of the requests that engines capture with, as they have to capture with something. */
const DUMMY_TOKENS = 256;

export class FrozenStrategy extends ChunkedStrategy {
  readonly name: string = 'frozen';
  private frozen: ChunkPlan | undefined;

  /** What the graph was captured with. */
  get capturedPlan(): ChunkPlan | undefined {
    return this.frozen;
  }

  explain(): StrategyExplanation {
    return {
      name: this.name,
      does: "Captures eager's launches once, as they are, and replays them: wrong as soon as lengths differ. Shown, not offered.",
      follows: ['pages'],
      freezes: ['batch size', 'grid', 'kv_chunk_size'],
      cannot: [
        {
          what: 'follow other lengths or another batch size',
          why: 'kv_chunk_size, batch size and grid are by value: keys beyond the captured chunks are never read',
        },
      ],
      needs: 'any device',
    };
  }

  protected prepare(capacity: StepCapacity): void {
    const tokens = Math.min(DUMMY_TOKENS, capacity.maxKvLen);
    const plan = planChunks(new Int32Array(capacity.maxBatch).fill(tokens), this.limits());
    this.frozen = plan;
    const rows = capacity.maxBatch;
    const values = {
      numRequests: rows,
      kvChunkSize: plan.kvChunkSize,
      numItems: this.itemsOf(plan),
      split: plan.split,
    };
    // Buffers that are made when they are first needed can't be in a capture.
    this.arrays.send(plan, false);
    this.keep(capture(this.model.device, () => this.enqueueStep(rows, values)));
  }

  protected run(batch: StepBatch): StepReport {
    const { uploadedBytes, planNs } = this.planStep(batch, { split: this.frozen?.split });
    this.execs[0].replay();
    const paddedRows = this.capacity.maxBatch - batch.kvLens.length;
    return { path: 'graph', steps: 1, recaptured: 0, paddedRows, planNs, uploadedBytes };
  }
}
