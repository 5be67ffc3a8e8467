/**
 * Values on the host: JavaScript arrays to element bytes and back. Knows no device.
 *
 * Integers are checked, never wrapped: what comes from a program's text should fit. (The device's casts, which cannot
 * throw, saturate; see Tensor.to.) Floats are rounded to nearest, ties to even.
 */
import { WarpbookError } from '../errors';
import { type DType, type FloatDType, isFloat, itemSize } from './dtype';
import { decodeTable, floatToBits } from './float-format';

/** Values of a float tensor are float32 numbers, whatever its dtype: each float dtype converts exactly. */
export type DataArray<D extends DType = DType> = D extends FloatDType
  ? Float32Array
  : D extends 'int32'
    ? Int32Array
    : D extends 'int64'
      ? BigInt64Array
      : Uint8Array;

/** The bits of a tensor's elements: 16-bit floats as Uint16Array, 8-bit ones as Uint8Array. */
export type RawArray<D extends DType = DType> = D extends 'float32'
  ? Float32Array
  : D extends 'float16' | 'bfloat16'
    ? Uint16Array
    : D extends 'int32'
      ? Int32Array
      : D extends 'int64'
        ? BigInt64Array
        : Uint8Array;

/** One element. */
export type Scalar<D extends DType = DType> = D extends 'int64' ? bigint : D extends 'bool' ? boolean : number;

/** Elements nested as deep as the tensor has dimensions. */
export type NestedArray<D extends DType = DType> = Scalar<D> | NestedArray<D>[];

type TypedArray =
  | Float32Array
  | Float64Array
  | Int8Array
  | Int16Array
  | Int32Array
  | BigInt64Array
  | Uint8Array
  | Uint8ClampedArray
  | Uint16Array
  | Uint32Array
  | BigUint64Array;

/** Nested arrays of one kind of value. */
export type NestedValues = number | bigint | boolean | readonly NestedValues[];

/** What `fromHost` takes. */
export type HostData = TypedArray | NestedValues;

/** The dtype that `fromHost` gives data of a type when none is asked for. */
export type InferredDType<T> = T extends Float32Array | Float64Array
  ? 'float32'
  : T extends Int32Array
    ? 'int32'
    : T extends BigInt64Array
      ? 'int64'
      : T extends Uint8Array | Uint8ClampedArray
        ? 'uint8'
        : DType;

const INTEGER_RANGE = {
  int32: [-(2n ** 31n), 2n ** 31n - 1n],
  int64: [-(2n ** 63n), 2n ** 63n - 1n],
  uint8: [0n, 255n],
} as const;

type Value = number | bigint | boolean;

function outOfRange(value: Value, index: number, dtype: DType, wanted: string): never {
  throw new WarpbookError(
    'INVALID_ARGUMENT',
    `value ${String(value)} at index ${index} is no ${dtype}; wanted ${wanted}. Round or choose another dtype.`,
    { index, dtype },
  );
}

function integerOf(value: Value, index: number, dtype: 'int32' | 'int64' | 'uint8'): bigint {
  const [min, max] = INTEGER_RANGE[dtype];
  const integer = typeof value !== 'number' ? BigInt(value) : Number.isInteger(value) ? BigInt(value) : undefined;
  if (integer === undefined || integer < min || integer > max)
    outOfRange(value, index, dtype, `an integer from ${min} to ${max}`);
  return integer;
}

function boolOf(value: Value, index: number): number {
  const number = Number(value);
  if (number !== 0 && number !== 1) outOfRange(value, index, 'bool', 'true, false, 0 or 1');
  return number;
}

function bytesOf(array: ArrayBufferView): Uint8Array {
  return new Uint8Array(array.buffer, array.byteOffset, array.byteLength);
}

/**
 * Little-endian elements of `dtype` with the given values.
 * @throws WarpbookError INVALID_ARGUMENT for a value that an integer dtype or bool doesn't have
 */
export function encodeValues(values: ArrayLike<Value>, dtype: DType): Uint8Array {
  const { length } = values;
  if (dtype === 'float32') {
    return bytesOf(
      values instanceof Float32Array ? values : Float32Array.from({ length }, (_, i) => Number(values[i])),
    );
  }
  if (isFloat(dtype)) {
    const bits = itemSize(dtype) === 2 ? new Uint16Array(length) : new Uint8Array(length);
    for (let i = 0; i < length; i++) bits[i] = floatToBits(Number(values[i]), dtype);
    return bytesOf(bits);
  }
  if (dtype === 'bool') return Uint8Array.from({ length }, (_, i) => boolOf(values[i], i));
  if (dtype === 'int64') {
    if (values instanceof BigInt64Array) return bytesOf(values);
    return bytesOf(BigInt64Array.from({ length }, (_, i) => integerOf(values[i], i, dtype)));
  }
  const same = dtype === 'int32' ? values instanceof Int32Array : values instanceof Uint8Array;
  if (same) return bytesOf(values as unknown as Int32Array | Uint8Array);
  const encoded = dtype === 'int32' ? new Int32Array(length) : new Uint8Array(length);
  for (let i = 0; i < length; i++) encoded[i] = Number(integerOf(values[i], i, dtype));
  return bytesOf(encoded);
}

/** Views of `bytes` as elements; copied where their place in memory is not aligned to the element. */
export function rawValues<D extends DType>(bytes: Uint8Array, dtype: D): RawArray<D>;
export function rawValues(bytes: Uint8Array, dtype: DType): RawArray {
  const aligned = bytes.byteOffset % itemSize(dtype) === 0 ? bytes : bytes.slice();
  const { buffer, byteOffset } = aligned;
  const length = bytes.byteLength / itemSize(dtype);
  switch (dtype) {
    case 'float32':
      return new Float32Array(buffer, byteOffset, length);
    case 'float16':
    case 'bfloat16':
      return new Uint16Array(buffer, byteOffset, length);
    case 'int32':
      return new Int32Array(buffer, byteOffset, length);
    case 'int64':
      return new BigInt64Array(buffer, byteOffset, length);
    default:
      return new Uint8Array(buffer, byteOffset, length);
  }
}

/** The values behind element bytes: float dtypes as float32 numbers (exact), bool as 0 and 1. */
export function decodeValues<D extends DType>(bytes: Uint8Array, dtype: D): DataArray<D>;
export function decodeValues(bytes: Uint8Array, dtype: DType): DataArray {
  const raw = rawValues(bytes, dtype);
  if (!isFloat(dtype) || dtype === 'float32') return raw as DataArray;
  const table = decodeTable(dtype);
  const bits = raw as Uint16Array | Uint8Array;
  const values = new Float32Array(bits.length);
  for (let i = 0; i < bits.length; i++) values[i] = table[bits[i]];
  return values;
}

/** One value of {@link decodeValues} as a number, bigint or boolean. */
export function scalarAt<D extends DType>(values: DataArray<D>, index: number, dtype: D): Scalar<D> {
  const value = values[index];
  return (dtype === 'bool' ? value !== 0 : value) as Scalar<D>;
}

/** Values of a flat array as arrays nested by `shape`. */
export function nestValues<D extends DType>(values: DataArray<D>, shape: readonly number[], dtype: D): NestedArray<D> {
  let next = 0;
  const nest = (dim: number): NestedArray<D> =>
    dim === shape.length ? scalarAt(values, next++, dtype) : Array.from({ length: shape[dim] }, () => nest(dim + 1));
  return nest(0);
}

/**
 * Nested arrays as one flat array and its shape.
 * @throws WarpbookError SHAPE_MISMATCH where arrays of one level differ in length
 */
export function flatten(nested: NestedValues): { values: Value[]; shape: number[] } {
  const shape: number[] = [];
  for (let level: NestedValues = nested; Array.isArray(level); level = level[0] as NestedValues) {
    shape.push(level.length);
    if (level.length === 0) break;
  }
  const values: Value[] = [];
  const walk = (level: NestedValues, path: readonly number[]): void => {
    const dim = path.length;
    const length = Array.isArray(level) ? level.length : undefined;
    if (length !== shape[dim]) {
      const where = path.length === 0 ? 'the data' : `element [${path.join('][')}]`;
      throw new WarpbookError(
        'SHAPE_MISMATCH',
        `${where} has ${length === undefined ? 'no length' : `length ${length}`}; wanted ` +
          `${shape[dim] === undefined ? 'a single value' : `length ${shape[dim]}`}, as its neighbours have.`,
      );
    }
    if (Array.isArray(level)) for (const [i, item] of level.entries()) walk(item as NestedValues, [...path, i]);
    else values.push(level as Value);
  };
  walk(nested, []);
  return { values, shape };
}
