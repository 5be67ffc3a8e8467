/** What the strategies with a grid of chunks share: the host's plan, its arrays on the device, launches whose grid follows it. */
import type { Launch } from '../device/stream';
import { numCtaSlots } from '../schedule/machine';
import type { StepBatch } from './batch';
import { ChunkArrays, type ChunkValues } from './chunk-launch';
import { type ChunkLimits, type ChunkPlan, planChunks } from './chunk-plan';
import { StepStrategy } from './strategy';

/** What was decided for a step, and what that cost the host. */
export interface PlannedStep {
  readonly plan: ChunkPlan;
  readonly uploadedBytes: number;
  readonly planNs: number;
}

/** A work item is a chunk of one KV head, and a CTA takes one. */
export abstract class ChunkedStrategy extends StepStrategy {
  private chunkArrays: ChunkArrays | undefined;

  protected get arrays(): ChunkArrays {
    this.chunkArrays ??= new ChunkArrays(this.model, this.maxItems());
    return this.chunkArrays;
  }

  /** Chunks that a launch may have at most: where requests alone fill the machine, one each. */
  protected maxItems(): number {
    return Math.max(this.model.maxBatch, Math.ceil(this.slots() / this.model.numKvHeads));
  }

  protected override maxCtas(): number {
    return Math.max(this.maxItems() * this.model.numKvHeads, this.slots());
  }

  protected limits(): ChunkLimits {
    const { numKvHeads, pageSize } = this.model;
    return { slots: this.slots(), numKvHeads, pageSize };
  }

  /** Decides on the chunks of a batch and enqueues the copy that tells the device; host time and bytes are of both. */
  protected planStep(batch: StepBatch, options: { split?: boolean; masked?: boolean } = {}): PlannedStep {
    const started = process.hrtime.bigint();
    const seated = this.seat(batch);
    const plan = planChunks(batch.kvLens, this.limits(), options.split);
    const uploadedBytes = seated + this.arrays.send(plan, options.masked ?? false);
    const planNs = Number(process.hrtime.bigint() - started);
    if (uploadedBytes > 0) batch.onSent?.();
    return { plan, uploadedBytes, planNs };
  }

  /** Chunks of a plan. */
  protected itemsOf({ oIndptr }: ChunkPlan): number {
    return oIndptr[oIndptr.length - 1];
  }

  /** Attention of a layer with a CTA for each of `numItems` chunks and KV head. */
  protected attentionOf(layer: number, numItems: number): Launch {
    return { ...this.launches[layer], grid: [Math.max(1, numItems * this.model.numKvHeads), 1, 1] };
  }

  /** Enqueues a step launch by launch, or into a graph. */
  protected enqueueStep(rows: number, values: ChunkValues): void {
    const { model } = this;
    model.advance();
    this.enqueueList(values);
    for (let layer = 0; layer < model.layers; layer++) {
      model.projectAndAppend(layer, rows);
      model.device.stream.launch(this.attentionOf(layer, values.numItems));
    }
  }

  /** Enqueues the writing of the work list. */
  protected enqueueList(values: ChunkValues): void {
    this.model.device.stream.launch(this.arrays.launch(this.attention, values));
  }

  protected override workspaceBuffers(): readonly { byteLength: number }[] {
    return [...super.workspaceBuffers(), ...(this.chunkArrays ? [this.chunkArrays.buffer] : [])];
  }

  protected override release(): void {
    super.release();
    this.chunkArrays?.dispose();
    this.chunkArrays = undefined;
  }

  private slots(): number {
    return numCtaSlots(this.machine());
  }
}
