/**
 * The device programs behind tensors: their names, parameter blocks and constants. native/cpu/ops implements them, and
 * the CUDA kernels of the same names take the same bytes. Knows no Tensor.
 *
 * A program's grid is chosen here: CTA i works on elements [i · elementsPerCta, (i + 1) · elementsPerCta), counted in
 * row-major order of the given sizes. So results depend neither on the number of threads nor on the machine.
 */
import { defineParams, type ParamLayout } from '../device/params';

/** Constants that native code shares, as `TENSOR_…` in tensor_params.h. */
export const TENSOR_LIMITS = {
  /** Largest number of dimensions of a tensor. */
  maxDims: 8,
  /** Elements that one CTA of a program handles; a multiple of 4, the draws of one Philox counter. */
  elementsPerCta: 4096,
  /** float64 values that one CTA of `tensor_compare` writes, see COMPARE_FIELD. */
  compareFields: 6,
  /** Most CTAs of `tensor_compare`; each takes a contiguous share. */
  maxCompareCtas: 256,
} as const;

/** What one CTA of `tensor_compare` writes, in this order, about its share of the elements. */
export const COMPARE_FIELD = {
  /** Σ (a − b)² over pairs that are both finite. */
  sumSquaredDifference: 0,
  /** Σ b² over pairs that are both finite. */
  sumSquaredReference: 1,
  /** Largest |a − b| of pairs that are both finite. */
  maxAbsDifference: 2,
  /** Pairs that are neither equal nor within atol + rtol · |b|; a NaN is equal to nothing. */
  numMismatches: 3,
  /** Pairs with a NaN. */
  numNan: 4,
  /** Pairs without NaN of which one or both are infinite, and which are unequal. */
  numInfinityMismatches: 5,
} as const;

/** What `tensor_random` draws. */
export const RANDOM_DISTRIBUTION = { bits: 0, uniform: 1, normal: 2 } as const;

const copySpec = {
  dst: ['address', 'first element of the target'],
  src: ['address', 'first element of the source'],
  num_elements: ['i64', 'product of the sizes'],
  size_0: ['i64', 'sizes, outermost first; 1 beyond num_dims'],
  size_1: ['i64', ''],
  size_2: ['i64', ''],
  size_3: ['i64', ''],
  size_4: ['i64', ''],
  size_5: ['i64', ''],
  size_6: ['i64', ''],
  size_7: ['i64', ''],
  dst_stride_0: ['i64', 'elements; 0 beyond num_dims'],
  dst_stride_1: ['i64', ''],
  dst_stride_2: ['i64', ''],
  dst_stride_3: ['i64', ''],
  dst_stride_4: ['i64', ''],
  dst_stride_5: ['i64', ''],
  dst_stride_6: ['i64', ''],
  dst_stride_7: ['i64', ''],
  src_stride_0: ['i64', 'elements; 0 beyond num_dims'],
  src_stride_1: ['i64', ''],
  src_stride_2: ['i64', ''],
  src_stride_3: ['i64', ''],
  src_stride_4: ['i64', ''],
  src_stride_5: ['i64', ''],
  src_stride_6: ['i64', ''],
  src_stride_7: ['i64', ''],
  num_dims: ['i32', '1 .. TENSOR_MAX_DIMS'],
  dst_dtype: ['i32', 'DTYPE code'],
  src_dtype: ['i32', 'DTYPE code'],
} as const;

const fillSpec = {
  dst: ['address', 'first element'],
  num_elements: ['i64', 'product of the sizes'],
  size_0: ['i64', 'sizes, outermost first; 1 beyond num_dims'],
  size_1: ['i64', ''],
  size_2: ['i64', ''],
  size_3: ['i64', ''],
  size_4: ['i64', ''],
  size_5: ['i64', ''],
  size_6: ['i64', ''],
  size_7: ['i64', ''],
  stride_0: ['i64', 'elements; 0 beyond num_dims'],
  stride_1: ['i64', ''],
  stride_2: ['i64', ''],
  stride_3: ['i64', ''],
  stride_4: ['i64', ''],
  stride_5: ['i64', ''],
  stride_6: ['i64', ''],
  stride_7: ['i64', ''],
  value: ['i64', "low bytes: one element's bits"],
  num_dims: ['i32', '1 .. TENSOR_MAX_DIMS'],
  item_size: ['i32', 'bytes of an element: 1, 2, 4 or 8'],
  add: ['i32', '0: elements become the value; 1: it is added to them as an integer, modulo the size'],
} as const;

const arangeSpec = {
  dst: ['address', 'contiguous'],
  num_elements: ['i64', ''],
  start: ['i64', 'an integer, or the bits of a float64 where dtype is a float'],
  step: ['i64', 'as start'],
  dtype: ['i32', 'DTYPE code'],
} as const;

const randomSpec = {
  dst: ['address', 'contiguous'],
  num_elements: ['i64', ''],
  key: ['i64', 'the 64-bit seed; its low half is word 0 of the Philox key'],
  counter_lo: ['i64', 'low 64 bits of the counter of element 0'],
  counter_hi: ['i64', 'high 64 bits of the same'],
  offset: ['f32', 'uniform: low; normal: mean'],
  scale: ['f32', 'uniform: high - low; normal: std'],
  ceiling: ['f32', 'uniform: largest value that may come out, the float32 below high'],
  distribution: ['i32', 'RANDOM_...'],
  dtype: ['i32', 'DTYPE code of a float; int32 for the raw bits'],
} as const;

const compareSpec = {
  partials: ['address', 'float64 [grid.x, TENSOR_COMPARE_FIELDS], see COMPARE_...'],
  a: ['address', 'first element of the values'],
  b: ['address', 'first element of the reference'],
  num_elements: ['i64', 'product of the sizes'],
  elements_per_cta: ['i64', 'share of each CTA'],
  rtol: ['i64', 'bits of a float64'],
  atol: ['i64', 'bits of a float64'],
  size_0: ['i64', 'sizes, outermost first; 1 beyond num_dims'],
  size_1: ['i64', ''],
  size_2: ['i64', ''],
  size_3: ['i64', ''],
  size_4: ['i64', ''],
  size_5: ['i64', ''],
  size_6: ['i64', ''],
  size_7: ['i64', ''],
  a_stride_0: ['i64', 'elements; 0 beyond num_dims'],
  a_stride_1: ['i64', ''],
  a_stride_2: ['i64', ''],
  a_stride_3: ['i64', ''],
  a_stride_4: ['i64', ''],
  a_stride_5: ['i64', ''],
  a_stride_6: ['i64', ''],
  a_stride_7: ['i64', ''],
  b_stride_0: ['i64', 'elements; 0 beyond num_dims'],
  b_stride_1: ['i64', ''],
  b_stride_2: ['i64', ''],
  b_stride_3: ['i64', ''],
  b_stride_4: ['i64', ''],
  b_stride_5: ['i64', ''],
  b_stride_6: ['i64', ''],
  b_stride_7: ['i64', ''],
  num_dims: ['i32', '1 .. TENSOR_MAX_DIMS'],
  a_dtype: ['i32', 'DTYPE code'],
  b_dtype: ['i32', 'DTYPE code'],
} as const;

/** `tensor_copy`: strided copy with conversion. */
export const tensorCopyParams: ParamLayout<typeof copySpec> = defineParams('TensorCopyParams', copySpec);
/** `tensor_fill`: one value into strided elements, or added to them. */
export const tensorFillParams: ParamLayout<typeof fillSpec> = defineParams('TensorFillParams', fillSpec);
/** `tensor_arange`: start + i · step. */
export const tensorArangeParams: ParamLayout<typeof arangeSpec> = defineParams('TensorArangeParams', arangeSpec);
/** `tensor_random`: Philox4x32-10 bits, uniform or normal draws. */
export const tensorRandomParams: ParamLayout<typeof randomSpec> = defineParams('TensorRandomParams', randomSpec);
/** `tensor_compare`: sums for `allClose` and `relativeError`. */
export const tensorCompareParams: ParamLayout<typeof compareSpec> = defineParams('TensorCompareParams', compareSpec);

/** Every layout of this file, for the generated header. */
export const tensorParamLayouts: readonly ParamLayout[] = [
  tensorCopyParams,
  tensorFillParams,
  tensorArangeParams,
  tensorRandomParams,
  tensorCompareParams,
] as readonly unknown[] as readonly ParamLayout[];

const float64 = new DataView(new ArrayBuffer(8));

/** The bits of a float64, for the `i64` fields that carry one. */
export function float64Bits(value: number): bigint {
  float64.setFloat64(0, value);
  return float64.getBigInt64(0);
}

/** Grid of the programs that give each CTA a fixed number of elements; `numElements` is at least 1. */
export function elementGrid(numElements: number): readonly [number, number, number] {
  return [Math.ceil(numElements / TENSOR_LIMITS.elementsPerCta), 1, 1];
}
