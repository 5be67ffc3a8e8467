/** Outputs of steps against each other and against the float64 reference. Reads tensors; knows no strategy. */
import { reference } from '../attention/reference';
import { makeVariant } from '../attention/variant';
import type { StepBatch } from '../strategy/batch';
import type { DecodeModel } from '../strategy/model';
import type { Agreement } from './strategy-comparison';

/** Rounding to the type of outputs, twice for each layer, and a margin of two. */
const TOLERANCE = { float32: 1e-5, float16: 4e-3, bfloat16: 1e-2 } as const;
/** Of one attention against float64, whose operands are the same. */
const REFERENCE_TOLERANCE = { float32: 1e-5, float16: 1e-3, bfloat16: 5e-3 } as const;

export interface CheckSettings {
  /** Every how many steps outputs are compared. */
  readonly every: number;
  /** Steps whose outputs are checked by the reference. */
  readonly referenceSteps: readonly number[];
}

/** Outputs of the first strategy, by step. */
export type KnownOutputs = Map<number, Float32Array>;

export class OutputCheck {
  private stepsCompared = 0;
  private sameBits = 0;
  private maxRelativeError = 0;
  private maxReferenceError = Number.NaN;
  private referenceSamples = 0;

  constructor(
    private readonly model: DecodeModel,
    private readonly settings: CheckSettings,
    private readonly known: KnownOutputs,
    /** Whether this is the run that the others are compared with. */
    private readonly first: boolean,
  ) {}

  /** Looks at the outputs of the step that was taken last, which has been waited for. */
  async inspect(step: number, batch: StepBatch): Promise<void> {
    const wanted = this.settings.every > 0 && (step % this.settings.every === 0 || batch.stepsAhead === 1);
    if (wanted) await this.compare(step, batch.kvLens.length);
    if (this.settings.referenceSteps.includes(step)) await this.compareWithReference();
  }

  result(): Agreement {
    const { stepsCompared, sameBits, maxRelativeError, maxReferenceError, referenceSamples } = this;
    const tolerance = TOLERANCE[this.model.dtype];
    const agrees = maxRelativeError <= tolerance && !(maxReferenceError > REFERENCE_TOLERANCE[this.model.dtype]);
    return { stepsCompared, sameBits, maxRelativeError, maxReferenceError, referenceSamples, tolerance, agrees };
  }

  private async compare(step: number, rows: number): Promise<void> {
    const { model, known } = this;
    const last = model.outputs[model.layers - 1];
    const values = Float32Array.from((await last.slice(0, 0, rows).data()) as Float32Array);
    if (this.first) {
      known.set(step, values);
      this.stepsCompared++;
      this.sameBits++;
      return;
    }
    const wanted = known.get(step);
    if (!wanted || wanted.length !== values.length) return;
    this.stepsCompared++;
    const error = relativeError(values, wanted);
    if (error === 0) this.sameBits++;
    // A NaN is the largest error of all.
    this.maxRelativeError = Number.isNaN(error) ? Number.POSITIVE_INFINITY : Math.max(this.maxRelativeError, error);
  }

  /** The last layer of the shortest and the longest request. */
  private async compareWithReference(): Promise<void> {
    const { model } = this;
    const cache = model.caches[model.layers - 1];
    const { numRequests } = await model.memory.read();
    const { table, kvLens } = await model.memory.readTable();
    if (numRequests === 0) return;
    const order = Array.from({ length: numRequests }, (_, r) => r).sort((a, b) => kvLens[a] - kvLens[b]);
    const variant = makeVariant(
      { numQoHeads: model.numQoHeads, numKvHeads: model.numKvHeads, headDim: model.headDim, dtype: model.dtype },
      false,
    );
    for (const r of new Set([order[0], order[numRequests - 1]])) {
      const { output } = await reference(model.q.slice(0, r, r + 1), cache, table(r), variant);
      const got = (await model.outputs[model.layers - 1].slice(0, r, r + 1).data()) as Float32Array;
      const error = relativeError(got, output);
      this.maxReferenceError = Math.max(
        Number.isNaN(this.maxReferenceError) ? 0 : this.maxReferenceError,
        Number.isNaN(error) ? Number.POSITIVE_INFINITY : error,
      );
      this.referenceSamples++;
    }
  }
}

/** ‖a − b‖ / ‖b‖ */
function relativeError(values: ArrayLike<number>, wanted: ArrayLike<number>): number {
  let difference = 0;
  let norm = 0;
  for (let i = 0; i < wanted.length; i++) {
    const delta = values[i] - wanted[i];
    difference += delta * delta;
    norm += wanted[i] * wanted[i];
  }
  return difference === 0 ? 0 : Math.sqrt(difference / norm);
}
