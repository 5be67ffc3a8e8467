/** Arithmetic on shapes and strides. Knows no memory; strides are in elements. */
import { requireInteger, WarpbookError } from '../errors';
import { TENSOR_LIMITS } from './programs';

/** `[2, 3]`, as messages show it. */
export function formatShape(shape: readonly number[]): string {
  return `[${shape.join(', ')}]`;
}

/** Throws `INVALID_ARGUMENT` unless `shape` has at most 8 sizes, integers of at least 0, and a countable product. */
export function requireShape(shape: readonly number[]): void {
  if (!Array.isArray(shape)) {
    throw new WarpbookError('INVALID_ARGUMENT', `shape is ${String(shape)}; wanted an array of sizes, such as [2, 3].`);
  }
  if (shape.length > TENSOR_LIMITS.maxDims) {
    throw new WarpbookError(
      'INVALID_ARGUMENT',
      `shape ${formatShape(shape)} has ${shape.length} dimensions; wanted at most ${TENSOR_LIMITS.maxDims}.`,
    );
  }
  for (const [d, size] of shape.entries()) requireInteger(`shape[${d}]`, size, 0);
  if (!Number.isSafeInteger(shape.reduce((product, size) => product * Math.max(size, 1), 1))) {
    throw new WarpbookError(
      'INVALID_ARGUMENT',
      `shape ${formatShape(shape)} has too many elements; wanted fewer than 2^53.`,
    );
  }
}

/** Product of the sizes; 1 for a scalar. */
export function numElements(shape: readonly number[]): number {
  return shape.reduce((product, size) => product * size, 1);
}

/** Row-major strides of a dense block. */
export function contiguousStrides(shape: readonly number[]): number[] {
  const strides = new Array<number>(shape.length);
  let stride = 1;
  for (let d = shape.length - 1; d >= 0; d--) {
    strides[d] = stride;
    stride *= Math.max(shape[d], 1);
  }
  return strides;
}

/** Whether the elements lie densely in row-major order. Dimensions of size 1 may have any stride. */
export function isContiguous(shape: readonly number[], strides: readonly number[]): boolean {
  let expected = 1;
  for (let d = shape.length - 1; d >= 0; d--) {
    if (shape[d] === 0) return true;
    if (shape[d] !== 1 && strides[d] !== expected) return false;
    expected *= shape[d];
  }
  return true;
}

/** Elements between the first and the last one in memory, both included; 0 where there is none. */
export function extent(shape: readonly number[], strides: readonly number[]): number {
  return numElements(shape) === 0 ? 0 : shape.reduce((sum, size, d) => sum + (size - 1) * strides[d], 1);
}

/** One iteration space over two operands, as the programs take it: at least one dimension, and no needless ones. */
export interface PairedLayout {
  readonly sizes: readonly number[];
  readonly aStrides: readonly number[];
  readonly bStrides: readonly number[];
}

/** Joins neighbouring dimensions that both operands pass through without a jump, so that inner runs are long. */
export function collapse(
  shape: readonly number[],
  aStrides: readonly number[],
  bStrides: readonly number[],
): PairedLayout {
  const sizes: number[] = [];
  const a: number[] = [];
  const b: number[] = [];
  for (let d = 0; d < shape.length; d++) {
    if (shape[d] === 1) continue;
    const last = sizes.length - 1;
    if (last >= 0 && a[last] === shape[d] * aStrides[d] && b[last] === shape[d] * bStrides[d]) {
      sizes[last] *= shape[d];
      a[last] = aStrides[d];
      b[last] = bStrides[d];
    } else {
      sizes.push(shape[d]);
      a.push(aStrides[d]);
      b.push(bStrides[d]);
    }
  }
  return sizes.length > 0 ? { sizes, aStrides: a, bStrides: b } : { sizes: [1], aStrides: [1], bStrides: [1] };
}
