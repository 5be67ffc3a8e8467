/**
 * What views look like: sizes, strides and the offset of the first element, from those of the tensor viewed. Knows no
 * memory; offsets and strides are in elements.
 */
import { requireInteger, WarpbookError } from '../errors';
import { contiguousStrides, formatShape, numElements, requireShape } from './shape';

/** Sizes and strides; `offset` counts from the first element of what is viewed. */
export interface Layout {
  readonly shape: readonly number[];
  readonly strides: readonly number[];
  readonly offset: number;
}

type Viewed = Pick<Layout, 'shape' | 'strides'>;

/** `dim`, which may count from the end as −1, as an index into `shape`. */
function requireDim(what: string, dim: number, shape: readonly number[]): number {
  requireInteger(what, dim, -shape.length, Math.max(shape.length - 1, 0));
  if (shape.length === 0) throw new WarpbookError('INVALID_ARGUMENT', `${what} is ${dim}; a scalar has no dimensions.`);
  return dim < 0 ? dim + shape.length : dim;
}

/** `shape` with one −1 replaced by what makes `count` elements of it. */
function resolveShape(shape: readonly number[], count: number): number[] {
  const unknown = shape.indexOf(-1);
  const resolved = [...shape];
  if (unknown >= 0) {
    const known = shape.reduce((product, size, d) => (d === unknown ? product : product * size), 1);
    resolved[unknown] = known > 0 && count % known === 0 ? count / known : 0;
  }
  requireShape(resolved);
  if (numElements(resolved) !== count) {
    throw new WarpbookError(
      'SHAPE_MISMATCH',
      `shape ${formatShape(shape)} cannot hold ${count} elements; wanted sizes whose product is ${count}.`,
    );
  }
  return resolved;
}

/**
 * Strides with which `target` (of as many elements) names the same elements in the same order, or undefined where only
 * a copy can. Runs of dimensions that are dense among themselves are split and merged freely; others must stay apart.
 */
function viewStrides(
  shape: readonly number[],
  strides: readonly number[],
  target: readonly number[],
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

/** See `Tensor.reshape`. */
export function reshapeLayout({ shape, strides }: Viewed, asked: readonly number[]): Layout {
  const target = resolveShape(asked, numElements(shape));
  const targetStrides = viewStrides(shape, strides, target);
  if (!targetStrides) {
    throw new WarpbookError(
      'SHAPE_MISMATCH',
      `Got reshape to ${formatShape(target)} of a tensor of shape ${formatShape(shape)} with strides ` +
        `${formatShape(strides)}, which would need a copy; wanted contiguous elements. ` +
        'Use .contiguous().reshape(…).',
    );
  }
  return { shape: target, strides: targetStrides, offset: 0 };
}

/** See `Tensor.slice`. */
export function sliceLayout({ shape, strides }: Viewed, dim: number, start: number, end?: number): Layout {
  const d = requireDim('dim', dim, shape);
  const size = shape[d];
  const begin = start < 0 ? start + size : start;
  const stop = end === undefined ? size : end < 0 ? end + size : end;
  if (!Number.isInteger(begin) || !Number.isInteger(stop) || begin < 0 || begin > stop || stop > size) {
    throw new WarpbookError(
      'INVALID_ARGUMENT',
      `Got slice [${start}, ${end ?? size}) of dimension ${d} of shape ${formatShape(shape)}; ` +
        `wanted 0 <= start <= end <= ${size}.`,
    );
  }
  return {
    shape: shape.map((n, i) => (i === d ? stop - begin : n)),
    strides,
    offset: stop > begin ? begin * strides[d] : 0,
  };
}

/** See `Tensor.select`. */
export function selectLayout({ shape, strides }: Viewed, dim: number, index: number): Layout {
  const d = requireDim('dim', dim, shape);
  const size = shape[d];
  if (!Number.isInteger(index) || index < -size || index >= size) {
    throw new WarpbookError(
      'INVALID_ARGUMENT',
      `Got index ${index} of dimension ${d} of shape ${formatShape(shape)}; wanted one from ${-size} to ${size - 1}.`,
    );
  }
  const others = (_: number, i: number): boolean => i !== d;
  const offset = (index < 0 ? index + size : index) * strides[d];
  return { shape: shape.filter(others), strides: strides.filter(others), offset };
}

/** See `Tensor.transpose`. */
export function transposeLayout({ shape, strides }: Viewed, a: number, b: number): Layout {
  const x = requireDim('a', a, shape);
  const y = requireDim('b', b, shape);
  const exchange = (values: readonly number[]): number[] =>
    values.map((value, d) => (d === x ? values[y] : d === y ? values[x] : value));
  return { shape: exchange(shape), strides: exchange(strides), offset: 0 };
}
