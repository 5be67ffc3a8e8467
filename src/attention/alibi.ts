/** The slopes of ALiBi, attention with linear biases: how fast a head's logits fall with the distance of a key. */
import { requireInteger } from '../errors';
import { fromHost, type TensorOptions } from '../tensor/create';
import type { Tensor } from '../tensor/tensor';

/** Slopes of n heads where n is a power of two: 2^(−8/n), and so on in the same ratio. */
function geometric(n: number): number[] {
  return Array.from({ length: n }, (_, head) => 2 ** ((-8 * (head + 1)) / n));
}

/**
 * The slopes that models with ALiBi are trained with, float32 [numQoHeads]: for `alibiSlopes` of a wrapper's `run`.
 *
 * After Press, Smith and Lewis, "Train Short, Test Long" (arXiv:2108.12409), section 3: a geometric sequence that ends at
 * 2^−8. For other numbers of heads than powers of two their code (github.com/ofirpress/attention_with_linear_biases) takes
 * those of the power of two below, and then every other one of twice as many heads.
 * @throws WarpbookError INVALID_ARGUMENT unless `numQoHeads` is a positive integer
 */
export function alibiSlopes(numQoHeads: number, options: Omit<TensorOptions, 'dtype'> = {}): Tensor<'float32'> {
  requireInteger('numQoHeads', numQoHeads, 1);
  const below = 2 ** Math.floor(Math.log2(numQoHeads));
  const between = geometric(2 * below).filter((_, head) => head % 2 === 0);
  const slopes = [...geometric(below), ...between.slice(0, numQoHeads - below)];
  return fromHost(slopes, { ...options, dtype: 'float32' });
}
