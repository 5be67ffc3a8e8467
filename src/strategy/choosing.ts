/** What strategies share in which a kernel chooses, by how many requests run, among steps of several sizes that lie ready. */
import type { StepBatch, StepCapacity } from './batch';
import { DevicePlannedStrategy } from './device-planned';
import { Choices, choiceSizes } from './mechanism';
import type { StepReport } from './strategy';

export abstract class ChoosingStrategy extends DevicePlannedStrategy {
  /** Rows of each step that can be chosen, ascending. */
  protected sizes: readonly number[] = [];
  private choices: Choices | undefined;

  protected prepare(capacity: StepCapacity): void {
    this.sizes = choiceSizes(capacity.maxBatch);
    this.choices = new Choices(this.model, this.sizes);
    this.prepareChoices(this.choices);
  }

  /** Captures the steps and the kernel that chooses among them. */
  protected abstract prepareChoices(choices: Choices): void;

  protected run(batch: StepBatch): StepReport {
    return this.replayStep(batch);
  }

  protected override paddedRows(batch: StepBatch): number {
    return (this.sizes.find((size) => size >= batch.kvLens.length) ?? 0) - batch.kvLens.length;
  }

  protected override release(): void {
    super.release();
    this.choices?.dispose();
    this.choices = undefined;
  }
}
