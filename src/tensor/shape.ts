/** Arithmetic on shapes and strides. Knows no memory; strides are in elements. */
import { WarpbookError, requireInteger } from '../errors';
import { TENSOR_LIMITS } from './programs';

/** Sizes and strides of a strided block of elements; `offset` is that of its first element. */
export interface Layout {
  readonly shape: readonly number[];
  readonly strides: readonly number[];
  readonly offset: number;
}

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
      'INVALID_ARGUMENT', `shape ${formatShape(shape)} has ${shape.length} dimensions; wanted at most ${TENSOR_LIMITS.maxDims}.`,
    );
  }
  shape.forEach((size, d) => requireInteger(`shape[${d}]`, size, 0));
  if (!Number.isSafeInteger(shape.reduce((product, size) => product * Math.max(size, 1), 1))) {
    throw new WarpbookError('INVALID_ARGUMENT', `shape ${formatShape(shape)} has too many elements; wanted fewer than 2^53.`);
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
export function extent({ shape, strides }: Pick<Layout, 'shape' | 'strides'>): number {
  return numElements(shape) === 0 ? 0 : shape.reduce((sum, size, d) => sum + (size - 1) * strides[d], 1);
}

/** `dim`, which may count from the end as −1, as an index into `shape`. */
export function requireDim(what: string, dim: number, shape: readonly number[]): number {
  requireInteger(what, dim, -shape.length, Math.max(shape.length - 1, 0));
  if (shape.length === 0) throw new WarpbookError('INVALID_ARGUMENT', `${what} is ${dim}; a scalar has no dimensions.`);
  return dim < 0 ? dim + shape.length : dim;
}

/** `shape` with one −1 replaced by what makes `count` elements of it. */
export function resolveShape(shape: readonly number[], count: number): number[] {
  const unknown = shape.indexOf(-1);
  const resolved = [...shape];
  if (unknown >= 0) {
    const known = shape.reduce((product, size, d) => (d === unknown ? product : product * size), 1);
    resolved[unknown] = known > 0 && count % known === 0 ? count / known : 0;
  }
  requireShape(resolved);
  if (numElements(resolved) !== count) {
    throw new WarpbookError(
      'SHAPE_MISMATCH', `shape ${formatShape(shape)} cannot hold ${count} elements; wanted sizes whose product is ${count}.`,
    );
  }
  return resolved;
}

/**
 * Strides with which `target` (of as many elements) names the same elements in the same order, or undefined where only
 * a copy can. Runs of dimensions that are dense among themselves are split and merged freely; others must stay apart.
 */
export function viewStrides(
  shape: readonly number[], strides: readonly number[], target: readonly number[],
): number[] | undefined {
  if (numElements(shape) === 0) return contiguousStrides(target);
  const result = new Array<number>(target.length);
  let t = target.length - 1;
  let runCount = 1;
  let runStride = shape.length > 0 ? strides[shape.length - 1] : 1;
  for (let d = shape.length - 1; d >= 0; d--) {
    runCount *= shape[d];
    const runEnds = d === 0 || (shape[d - 1] !== 1 && strides[d - 1] !== runCount * runStride);
    if (!runEnds) continue;
    let taken = 1;
    while (t >= 0 && (taken < runCount || target[t] === 1)) {
      result[t] = taken * runStride;
      taken *= target[t];
      t--;
    }
    if (taken !== runCount) return undefined;
    runCount = 1;
    runStride = d > 0 ? strides[d - 1] : 1;
  }
  for (; t >= 0; t--) result[t] = 1;
  return result;
}

/** One iteration space over two operands, as the programs take it: at least one dimension, none of size 1 but the only one. */
export interface PairedLayout {
  readonly sizes: readonly number[];
  readonly aStrides: readonly number[];
  readonly bStrides: readonly number[];
}

/** Joins neighbouring dimensions that both operands pass through without a jump, so that inner runs are long. */
export function collapse(shape: readonly number[], aStrides: readonly number[], bStrides: readonly number[]): PairedLayout {
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
