/**
 * Element types: names, sizes and the codes by which native code and kernels know them. Holds no values; conversions
 * are in host-values.ts (host) and native/cpu/ops (device).
 */
import { WarpbookError } from '../errors';

/** Codes of element types in parameter blocks (`DTYPE_…` in native/kernels/schedule_layout.h). */
export const DTYPE_CODE = {
  float32: 0,
  float16: 1,
  bfloat16: 2,
  float8_e4m3fn: 3,
  float8_e5m2: 4,
  int32: 5,
  int64: 6,
  uint8: 7,
  bool: 8,
} as const;

/**
 * Element type of a tensor. The 16-bit and 8-bit floats have the bit layouts of IEEE 754 binary16, bfloat16 and of OCP
 * FP8 E4M3 (no infinities, largest value 448) and E5M2 (largest 57,344); `bool` is one byte, 0 or 1.
 */
export type DType = keyof typeof DTYPE_CODE;

/** Element types that hold fractions. */
export type FloatDType = 'float32' | 'float16' | 'bfloat16' | 'float8_e4m3fn' | 'float8_e5m2';

/** Every dtype, in the order of its code. */
export const DTYPES: readonly DType[] = Object.keys(DTYPE_CODE) as DType[];

const ITEM_SIZE: Readonly<Record<DType, 1 | 2 | 4 | 8>> = {
  float32: 4,
  float16: 2,
  bfloat16: 2,
  float8_e4m3fn: 1,
  float8_e5m2: 1,
  int32: 4,
  int64: 8,
  uint8: 1,
  bool: 1,
};

/** Bytes of one element. */
export function itemSize(dtype: DType): 1 | 2 | 4 | 8 {
  return ITEM_SIZE[dtype];
}

/** Whether elements are floating-point numbers. */
export function isFloat(dtype: DType): dtype is FloatDType {
  return DTYPE_CODE[dtype] <= DTYPE_CODE.float8_e5m2;
}

/** Throws `INVALID_ARGUMENT` unless `value` names a dtype. */
export function requireDType(what: string, value: unknown): asserts value is DType {
  if (typeof value !== 'string' || !Object.hasOwn(DTYPE_CODE, value)) {
    throw new WarpbookError('INVALID_ARGUMENT', `${what} is ${String(value)}; wanted one of ${DTYPES.join(', ')}.`);
  }
}
