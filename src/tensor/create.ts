/** Ways to make tensors: empty, filled, counted or from host values. Every result owns its memory. */
import { type Device, defaultDevice } from '../device/device';
import { WarpbookError } from '../errors';
import { DTYPE_CODE, type DType, isFloat, itemSize, requireDType } from './dtype';
import { encodeValues, flatten, type HostData, type InferredDType, type NestedValues } from './host-values';
import { elementGrid, float64Bits, tensorArangeParams } from './programs';
import { formatShape, numElements } from './shape';
import { Tensor } from './tensor';

/** Options of every function that makes a tensor. */
export interface TensorOptions<D extends DType = DType> {
  /** Default float32, except where values say otherwise. */
  dtype?: D;
  /** Default: `defaultDevice()`. */
  device?: Device;
  /** Owner in `device.memory()`; default 'tensor'. */
  label?: string;
}

const DEFAULT_LABEL = 'tensor';

/** An uninitialised tensor. */
export function empty<D extends DType = 'float32'>(
  shape: readonly number[],
  options: TensorOptions<D> = {},
): Tensor<D> {
  const { dtype = 'float32' as D, device = defaultDevice(), label = DEFAULT_LABEL } = options;
  return Tensor.allocate(device, { dtype, shape }, label);
}

/** Every element `value`, which is rounded for float dtypes and must fit an integer one. */
export function full<D extends DType = 'float32'>(
  shape: readonly number[],
  value: number | bigint | boolean,
  options: TensorOptions<D> = {},
): Tensor<D> {
  const tensor = empty(shape, options);
  try {
    tensor.fill(value);
  } catch (error) {
    tensor.dispose();
    throw error;
  }
  return tensor;
}

/** A tensor of zeros. */
export function zeros<D extends DType = 'float32'>(
  shape: readonly number[],
  options: TensorOptions<D> = {},
): Tensor<D> {
  return full(shape, 0, options);
}

/** A tensor of ones. */
export function ones<D extends DType = 'float32'>(shape: readonly number[], options: TensorOptions<D> = {}): Tensor<D> {
  return full(shape, 1, options);
}

/** Options of {@link arange}. */
export interface ArangeOptions<D extends DType = DType> extends TensorOptions<D> {
  /** First value; default 0. */
  start?: number;
  /** Default 1; may be negative. */
  step?: number;
}

/**
 * start, start + step, … up to but without `end`: shape [ceil((end − start) / step)]. The default dtype is int32 where
 * all three are integers, float32 otherwise. Float values are start + i · step in float64, rounded once.
 * @throws WarpbookError INVALID_ARGUMENT for a step of 0, a step away from `end`, or fractions in an integer dtype
 */
export function arange<D extends DType = DType>(end: number, options: ArangeOptions<D> = {}): Tensor<D> {
  const { start = 0, step = 1, device = defaultDevice(), label = DEFAULT_LABEL } = options;
  const integers = Number.isSafeInteger(start) && Number.isSafeInteger(end) && Number.isSafeInteger(step);
  const dtype = options.dtype ?? ((integers ? 'int32' : 'float32') as D);
  requireDType('dtype', dtype);
  const count = Math.ceil((end - start) / step);
  if (!Number.isSafeInteger(count) || count < 0) {
    throw new WarpbookError(
      'INVALID_ARGUMENT',
      `Got arange from ${start} to ${end} in steps of ${step}; wanted finite numbers and a step that leads from start ` +
        'to end.',
    );
  }
  if (dtype === 'bool' || (!isFloat(dtype) && !integers)) {
    throw new WarpbookError(
      'INVALID_ARGUMENT',
      `Got arange from ${start} to ${end} in steps of ${step} of dtype ${dtype}; wanted integers, or a float dtype.`,
    );
  }
  if (count > 0 && !isFloat(dtype)) encodeValues([start, start + (count - 1) * step], dtype);
  const tensor = Tensor.allocate(device, { dtype, shape: [count] }, label);
  if (count === 0) return tensor;
  const params = tensorArangeParams.pack({
    dst: tensor.address(),
    num_elements: count,
    start: isFloat(dtype) ? float64Bits(start) : start,
    step: isFloat(dtype) ? float64Bits(step) : step,
    dtype: DTYPE_CODE[dtype],
  });
  device.stream.launch({ program: 'tensor_arange', grid: elementGrid(count), params, buffers: [tensor.buffer] });
  return tensor;
}

/** Options of {@link fromHost}. */
export interface FromHostOptions<D extends DType = DType> extends TensorOptions<D> {
  /** Default: that of nested arrays; [length] for a typed array. */
  shape?: readonly number[];
}

interface HostValues {
  readonly values: ArrayLike<number | bigint | boolean>;
  readonly shape: readonly number[];
  /** Undefined where the data doesn't say. */
  readonly dtype: DType | undefined;
}

const TYPED_ARRAY_DTYPE: Readonly<Record<string, DType>> = {
  Float32Array: 'float32',
  Float64Array: 'float32',
  Float16Array: 'float16',
  Int32Array: 'int32',
  BigInt64Array: 'int64',
  Uint8Array: 'uint8',
  Uint8ClampedArray: 'uint8',
};

function hostValues(data: HostData): HostValues {
  if (ArrayBuffer.isView(data)) {
    const values = data as Extract<HostData, ArrayBufferView>;
    // Node's Buffer is a Uint8Array that answers to another name here: the tag is the type's own.
    return { values, shape: [values.length], dtype: TYPED_ARRAY_DTYPE[values[Symbol.toStringTag]] };
  }
  const { values, shape } = flatten(data as NestedValues);
  const kinds = new Set(values.map((value) => typeof value));
  const [kind] = kinds;
  const known = kind === undefined || kind === 'number' || kind === 'bigint' || kind === 'boolean';
  if (kinds.size > 1 || !known) {
    throw new WarpbookError(
      'INVALID_ARGUMENT',
      `Got host data with values of type ${[...kinds].join(' and ')}; wanted numbers, bigints or booleans, of one ` +
        'type.',
    );
  }
  return { values, shape, dtype: kind === 'boolean' ? 'bool' : kind === 'bigint' ? 'int64' : 'float32' };
}

/**
 * A tensor with the given values, which are copied before this returns.
 *
 * Typed arrays keep their type (Float64Array becomes float32; a Uint16Array or another without a dtype of its own needs
 * `dtype`); numbers become float32, booleans bool, bigints int64. With `dtype` values are converted: rounded for float
 * dtypes, refused where they don't fit an integer one. A Uint16Array for float16 or bfloat16, and a Uint8Array for a
 * float8 type, are taken as bits, as `raw()` gives them.
 * @throws WarpbookError INVALID_ARGUMENT, SHAPE_MISMATCH
 */
export function fromHost<T extends HostData, D extends DType = InferredDType<T>>(
  data: T,
  options: FromHostOptions<D> = {},
): Tensor<D> {
  const host = hostValues(data);
  const { shape = host.shape, device = defaultDevice(), label = DEFAULT_LABEL } = options;
  const dtype = options.dtype ?? (host.dtype as D | undefined);
  if (dtype === undefined) {
    throw new WarpbookError(
      'INVALID_ARGUMENT',
      `Got a ${(data as ArrayBufferView & object).constructor.name} without a dtype; wanted options.dtype, such as ` +
        "'float16' or 'int32'.",
    );
  }
  requireDType('dtype', dtype);
  if (host.values.length !== numElements(shape)) {
    throw new WarpbookError(
      'SHAPE_MISMATCH',
      `Got ${host.values.length} values for shape ${formatShape(shape)}; wanted ${numElements(shape)}.`,
    );
  }
  const areBits =
    isFloat(dtype) &&
    ((itemSize(dtype) === 2 && data instanceof Uint16Array) || (itemSize(dtype) === 1 && data instanceof Uint8Array));
  const bytes = areBits
    ? new Uint8Array((data as Uint16Array).buffer, (data as Uint16Array).byteOffset, (data as Uint16Array).byteLength)
    : encodeValues(host.values, dtype);
  const tensor = Tensor.allocate(device, { dtype, shape }, label);
  tensor.buffer.write(bytes);
  return tensor;
}
