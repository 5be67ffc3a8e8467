/**
 * Random tensors as a pure function of seed and shape: Philox4x32-10, counter-based, so that a draw depends neither on
 * the number of threads nor on what was drawn before. Element i, in row-major order, uses word i % 4 of the block with
 * counter i / 4 and the seed as key. native/kernels/philox.h defines what is made of the bits, operation by operation:
 * every device gives the same float32 numbers. Narrower dtypes are those numbers, rounded.
 */
import { defaultDevice } from '../device/device';
import { WarpbookError } from '../errors';
import type { TensorOptions } from './create';
import { type Draw, drawInto, requireSeed } from './draw';
import { type FloatDType, isFloat, requireDType } from './dtype';
import { RANDOM_DISTRIBUTION } from './programs';
import { Tensor } from './tensor';

interface RandomOptions<D extends FloatDType> extends TensorOptions<D> {
  /** 0 … 2^64 − 1. */
  seed: number | bigint;
}

/** Options of {@link uniform}. */
export interface UniformOptions<D extends FloatDType = FloatDType> extends RandomOptions<D> {
  /** Default 0. */
  low?: number;
  /** Default 1; not drawn itself, but a narrow dtype may round up to it. */
  high?: number;
}

/** Options of {@link normal}. */
export interface NormalOptions<D extends FloatDType = FloatDType> extends RandomOptions<D> {
  /** Default 0. */
  mean?: number;
  /** Standard deviation, default 1. */
  std?: number;
}

function requireFinite(what: string, value: number): void {
  if (!Number.isFinite(Math.fround(value))) {
    throw new WarpbookError('INVALID_ARGUMENT', `${what} is ${value}; wanted a finite float32.`);
  }
}

/** The largest float32 below x, for finite x. */
function float32Below(x: number): number {
  const float = new Float32Array([x]);
  const bits = new Int32Array(float.buffer);
  if (x === 0) return -(2 ** -149);
  bits[0] += x > 0 ? -1 : 1;
  return float[0];
}

function makeDrawn<D extends FloatDType>(shape: readonly number[], options: RandomOptions<D>, draw: Draw): Tensor<D> {
  const { seed, dtype = 'float32' as D, device = defaultDevice(), label = 'tensor' } = options;
  requireDType('dtype', dtype);
  if (!isFloat(dtype)) {
    throw new WarpbookError('INVALID_ARGUMENT', `dtype is ${String(dtype)}; wanted a float dtype for random draws.`);
  }
  requireSeed(seed);
  const tensor = Tensor.allocate(device, { dtype, shape }, label);
  drawInto(tensor as Tensor, seed, draw);
  return tensor;
}

/**
 * Numbers drawn evenly from [low, high): low + u · (high − low) in float32, u a multiple of 2^-24 in [0, 1).
 * @throws WarpbookError INVALID_ARGUMENT unless low <= high, both and their difference finite in float32
 */
export function uniform<D extends FloatDType = 'float32'>(
  shape: readonly number[],
  options: UniformOptions<D>,
): Tensor<D> {
  const low = Math.fround(options.low ?? 0);
  const high = Math.fround(options.high ?? 1);
  const scale = Math.fround(high - low);
  requireFinite('low', low);
  requireFinite('high', high);
  requireFinite('high - low', scale);
  if (low > high) throw new WarpbookError('INVALID_ARGUMENT', `low is ${low} and high is ${high}; wanted low <= high.`);
  const ceiling = low === high ? low : float32Below(high);
  return makeDrawn(shape, options, { distribution: RANDOM_DISTRIBUTION.uniform, offset: low, scale, ceiling });
}

/**
 * Numbers drawn from the normal distribution: mean + std · z in float32, z by Box and Muller's method.
 * @throws WarpbookError INVALID_ARGUMENT unless mean and std are finite and std >= 0
 */
export function normal<D extends FloatDType = 'float32'>(
  shape: readonly number[],
  options: NormalOptions<D>,
): Tensor<D> {
  const { mean = 0, std = 1 } = options;
  requireFinite('mean', mean);
  requireFinite('std', std);
  if (std < 0) throw new WarpbookError('INVALID_ARGUMENT', `std is ${std}; wanted at least 0.`);
  return makeDrawn(shape, options, { distribution: RANDOM_DISTRIBUTION.normal, offset: mean, scale: std, ceiling: 0 });
}
