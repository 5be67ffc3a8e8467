/** What `predict` answers: a time, and where it comes from. */
import { formatDuration } from '../units';

export interface PredictionFields {
  readonly durationNs: number;
  readonly makespanNs: number;
  readonly bytes: number;
  readonly finishNs: Float64Array;
  readonly model: string;
  readonly calibrated: boolean;
}

/** Made by `predict`. */
export class Prediction implements PredictionFields {
  /** Launch to launch in a graph, ns: what `measure` finds with cold caches. */
  readonly durationNs: number;
  /** From the release to the last CTA's end, ns: what a timeline shows. */
  readonly makespanNs: number;
  /** Keys and values that are read from memory. */
  readonly bytes: number;
  /** When each CTA has ended, ns after the release; float64 [numCtas], 0 where it had no tile. */
  readonly finishNs: Float64Array;
  /** Name of the model, which says whether it is an estimate. */
  readonly model: string;
  /** Whether the model was fitted to measurements; a roofline estimate wasn't. */
  readonly calibrated: boolean;

  constructor(fields: PredictionFields) {
    this.durationNs = fields.durationNs;
    this.makespanNs = fields.makespanNs;
    this.bytes = fields.bytes;
    this.finishNs = fields.finishNs;
    this.model = fields.model;
    this.calibrated = fields.calibrated;
  }

  /** Bytes over duration, GB/s. */
  get gbps(): number {
    return this.durationNs > 0 ? this.bytes / this.durationNs : 0;
  }

  toString(): string {
    return `Prediction(${formatDuration(this.durationNs)}, ${this.gbps.toFixed(0)} GB/s; ${this.model})`;
  }
}
