/**
 * One launch of the `tensor_random` program: which words of Philox are drawn, and what is made of them. Knows neither
 * options nor defaults.
 */
import type { Device } from '../device/device';
import { WarpbookError } from '../errors';
import { DTYPE_CODE } from './dtype';
import { elementGrid, RANDOM_DISTRIBUTION, tensorRandomParams } from './programs';
import { Tensor } from './tensor';

const MAX_SEED = 2n ** 64n - 1n;

/** The 64-bit key that a seed stands for. @throws WarpbookError INVALID_ARGUMENT */
export function requireSeed(seed: number | bigint): bigint {
  const key = typeof seed === 'bigint' ? seed : Number.isSafeInteger(seed) ? BigInt(seed) : undefined;
  if (key === undefined || key < 0n || key > MAX_SEED) {
    throw new WarpbookError(
      'INVALID_ARGUMENT',
      `seed is ${String(seed)}; wanted an integer from 0 to 2^53 − 1, or a bigint up to 2^64 − 1.`,
    );
  }
  return key;
}

/** The parameters of a distribution, see programs.ts. */
export interface Draw {
  readonly distribution: number;
  readonly offset: number;
  readonly scale: number;
  readonly ceiling: number;
}

/** Enqueues drawing every element of a dense tensor; `counter` is the 128-bit counter of the first block. */
export function drawInto(tensor: Tensor, seed: number | bigint, draw: Draw, counter: bigint = 0n): void {
  const { numel } = tensor;
  if (numel === 0) return;
  const params = tensorRandomParams.pack({
    dst: tensor.address(),
    num_elements: numel,
    key: BigInt.asIntN(64, requireSeed(seed)),
    counter_lo: BigInt.asIntN(64, counter),
    counter_hi: BigInt.asIntN(64, counter >> 64n),
    ...draw,
    dtype: DTYPE_CODE[tensor.dtype],
  });
  tensor.device.stream.launch({ program: 'tensor_random', grid: elementGrid(numel), params, buffers: [tensor.buffer] });
}

/** The raw 32-bit words, as int32, from a 128-bit counter on: what the published test vectors are about. */
export function randomBits(
  shape: readonly number[],
  options: { seed: bigint; counter: bigint; device: Device },
): Tensor<'int32'> {
  const { seed, counter, device } = options;
  const tensor = Tensor.allocate(device, { dtype: 'int32', shape }, 'random bits');
  drawInto(
    tensor as Tensor,
    seed,
    { distribution: RANDOM_DISTRIBUTION.bits, offset: 0, scale: 0, ceiling: 0 },
    counter,
  );
  return tensor;
}
