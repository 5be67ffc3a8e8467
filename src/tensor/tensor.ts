/**
 * Tensors: a dtype, a shape and strides over a buffer of a device. Owns the memory and says what is legal; the work is
 * done by strided.ts, and files, printing and random draws are elsewhere.
 *
 * Ownership is explicit. A tensor that was created owns its buffer until dispose(); a view borrows it: disposing a view
 * frees nothing, and disposing the owner makes all views of it, and views of those, throw DISPOSED. Nothing copies
 * silently: what needs a copy is called contiguous(), to() or copyFrom().
 */
import { inspect } from 'node:util';
import type { Buffer } from '../device/buffer';
import type { Device } from '../device/device';
import type { Address } from '../device/params';
import { offScope, onScope } from '../device/scope';
import type { Stream } from '../device/stream';
import { requireInteger, WarpbookError } from '../errors';
import { type DType, itemSize, requireDType } from './dtype';
import { formatValues, type PrintOptions, visibleEdge } from './format';
import {
  type DataArray,
  decodeValues,
  encodeValues,
  type NestedArray,
  nestValues,
  type RawArray,
  rawValues,
  type Scalar,
  scalarAt,
} from './host-values';
import { contiguousStrides, extent, formatShape, isContiguous, numElements, requireShape } from './shape';
import { enqueueAdd, enqueueCopy, enqueueFill, readBlock, readCorners } from './strided';
import { type Layout, reshapeLayout, selectLayout, sliceLayout, transposeLayout } from './views';

/** The stream that orders a call; default: the device's own. */
export interface StreamOption {
  stream?: Stream;
}

/** Where a tensor lies in its buffer. */
export interface TensorPlacement<D extends DType = DType> {
  dtype: D;
  shape: readonly number[];
  /** Elements; default: dense, row-major. */
  strides?: readonly number[];
  /** Of the first element, a multiple of the element's size; default 0. */
  byteOffset?: number;
}

/** See the file head. Made by `zeros`, `fromHost`, `uniform` … or {@link Tensor.over}. */
export class Tensor<D extends DType = DType> {
  readonly device: Device;
  readonly buffer: Buffer;
  readonly dtype: D;
  readonly shape: readonly number[];
  /** Elements from one index to the next, by dimension. */
  readonly strides: readonly number[];
  /** Of the first element in the buffer. */
  readonly byteOffset: number;
  /** What a view was taken from, at the root. */
  private readonly owner: { readonly disposed: boolean } | undefined;
  private readonly ownsBuffer: boolean;
  private isDisposed = false;

  static {
    // What console.log shows; as a member, the computed name would not pass isolatedDeclarations.
    Object.defineProperty(Tensor.prototype, inspect.custom, { value: Tensor.prototype.toString });
  }

  private constructor(
    buffer: Buffer,
    placement: TensorPlacement<D>,
    owner: { readonly disposed: boolean } | undefined,
    ownsBuffer: boolean,
  ) {
    const { dtype, shape, strides = contiguousStrides(shape), byteOffset = 0 } = placement;
    this.device = buffer.device;
    this.buffer = buffer;
    this.dtype = dtype;
    this.shape = shape;
    this.strides = strides;
    this.byteOffset = byteOffset;
    this.owner = owner;
    this.ownsBuffer = ownsBuffer;
  }

  /** A tensor with memory of its own, uninitialised; `label` names it in `device.memory()`. */
  static allocate<D extends DType>(
    device: Device,
    placement: Omit<TensorPlacement<D>, 'byteOffset'>,
    label: string,
  ): Tensor<D> {
    const { dtype } = placement;
    requireDType('dtype', dtype);
    requireShape(placement.shape);
    const shape = [...placement.shape];
    const strides = placement.strides ?? contiguousStrides(shape);
    const buffer = device.allocate(extent(shape, strides) * itemSize(dtype), { label });
    const tensor = new Tensor(buffer, { dtype, shape, strides }, undefined, true);
    // From here on the tensor stands for the buffer: a scope that returns the tensor keeps both.
    offScope(buffer);
    onScope(tensor);
    return tensor;
  }

  /**
   * A tensor over memory that someone else owns; dispose() frees nothing.
   * @throws WarpbookError INVALID_ARGUMENT where the elements don't lie within the buffer or aren't aligned
   */
  static over<D extends DType>(buffer: Buffer, placement: TensorPlacement<D>): Tensor<D> {
    const { dtype, byteOffset = 0 } = placement;
    requireDType('dtype', dtype);
    requireShape(placement.shape);
    const shape = [...placement.shape];
    const strides = [...(placement.strides ?? contiguousStrides(shape))];
    if (strides.length !== shape.length) {
      throw new WarpbookError(
        'INVALID_ARGUMENT',
        `strides ${formatShape(strides)} don't fit shape ${formatShape(shape)}; wanted one a dimension.`,
      );
    }
    for (const [d, stride] of strides.entries()) requireInteger(`strides[${d}]`, stride, 0);
    requireInteger('byteOffset', byteOffset, 0);
    const size = itemSize(dtype);
    const end = byteOffset + extent(shape, strides) * size;
    if (byteOffset % size !== 0 || end > buffer.byteLength) {
      throw new WarpbookError(
        'INVALID_ARGUMENT',
        `Got a ${dtype} tensor of shape ${formatShape(shape)} in bytes [${byteOffset}, ${end}) of ` +
          `buffer '${buffer.label}'; wanted a range within its ${buffer.byteLength} bytes that begins at a multiple ` +
          `of ${size}.`,
      );
    }
    return new Tensor(buffer, { dtype, shape, strides, byteOffset }, undefined, false);
  }

  /** Number of elements. */
  get numel(): number {
    return numElements(this.shape);
  }

  /** Number of dimensions; 0 for a scalar. */
  get ndim(): number {
    return this.shape.length;
  }

  /** Bytes of the elements, gaps between them not counted. */
  get nbytes(): number {
    return this.numel * itemSize(this.dtype);
  }

  /** Whether the elements lie densely in row-major order. */
  get isContiguous(): boolean {
    return isContiguous(this.shape, this.strides);
  }

  /** Owner in `device.memory()`. */
  get label(): string {
    return this.buffer.label;
  }

  get disposed(): boolean {
    return this.isDisposed || (this.owner?.disposed ?? this.buffer.disposed);
  }

  /**
   * A view with other sizes (one may be −1) over the same elements in the same order.
   * @throws WarpbookError SHAPE_MISMATCH where the counts differ, or where only a copy could have that shape
   */
  reshape(...shape: readonly number[] | readonly [readonly number[]]): Tensor<D> {
    this.requireUsable('reshape');
    return this.view(reshapeLayout(this, (Array.isArray(shape[0]) ? shape[0] : shape) as readonly number[]));
  }

  /**
   * A view of the indices [start, end) of a dimension; negative ones count from the end, `end` defaults to the size.
   * @throws WarpbookError INVALID_ARGUMENT for a range outside of the dimension
   */
  slice(dim: number, start: number, end?: number): Tensor<D> {
    this.requireUsable('slice');
    return this.view(sliceLayout(this, dim, start, end));
  }

  /**
   * A view of one index of a dimension, without that dimension; negative counts from the end.
   * @throws WarpbookError INVALID_ARGUMENT for an index outside of the dimension
   */
  select(dim: number, index: number): Tensor<D> {
    this.requireUsable('select');
    return this.view(selectLayout(this, dim, index));
  }

  /** A view with two dimensions exchanged; negative ones count from the end. */
  transpose(a: number, b: number): Tensor<D> {
    this.requireUsable('transpose');
    return this.view(transposeLayout(this, a, b));
  }

  /** A dense copy on the same device, owned by the caller. */
  contiguous(options: StreamOption = {}): Tensor<D> {
    return this.to(this.dtype, options);
  }

  /**
   * A dense copy in another dtype (or the same), owned by the caller; enqueued, not waited for.
   *
   * Floats round to nearest, ties to even; beyond the range they become infinity, and 448 in float8_e4m3fn, which has
   * none. Float to integer truncates, saturates, and makes 0 of NaN; integers to narrower ones keep the low bits; to
   * bool is "not zero". (PyTorch's rules since 2.12, with its undefined cases defined.)
   */
  to<E extends DType>(dtype: E, options?: StreamOption): Tensor<E>;
  /** A dense copy on a device, owned by the caller; goes through the host. */
  to(device: Device, options?: StreamOption): Promise<Tensor<D>>;
  to(target: DType | Device, options: StreamOption = {}): Tensor | Promise<Tensor<D>> {
    if (typeof target === 'object') return this.toDevice(target, options);
    this.requireUsable('to');
    const { shape } = this;
    const copy = Tensor.allocate(this.device, { dtype: target, shape }, this.label);
    try {
      enqueueCopy(copy, this, options.stream);
    } catch (error) {
      copy.dispose();
      throw error;
    }
    return copy;
  }

  /**
   * Enqueues a copy of `source`, of the same shape and device, into this tensor's elements; converts as {@link to}.
   * @throws WarpbookError SHAPE_MISMATCH, DEVICE_MISMATCH; INVALID_ARGUMENT where the two overlap
   */
  copyFrom(source: Tensor, options: StreamOption = {}): void {
    this.requireUsable('copyFrom');
    source.requireUsable('copyFrom');
    source.requireDevice(this.device, 'copyFrom');
    enqueueCopy(this, source, options.stream);
  }

  /**
   * Enqueues writing one value to every element. May be captured.
   * @throws WarpbookError INVALID_ARGUMENT for a value that an integer dtype doesn't have
   */
  fill(value: number | bigint | boolean, options: StreamOption = {}): void {
    this.requireUsable('fill');
    enqueueFill(this, encodeValues([value], this.dtype), options.stream);
  }

  /**
   * Enqueues the addition of an integer, which may be negative, to every element of an int32 or int64 tensor, in place;
   * what leaves the range wraps around. May be captured: so a graph counts, or grows lengths, at each replay.
   * @throws WarpbookError DTYPE_MISMATCH for other dtypes; INVALID_ARGUMENT for a value that the dtype doesn't have, or
   * where elements of the tensor share memory
   */
  increment(by: number | bigint = 1, options: StreamOption = {}): void {
    this.requireUsable('increment');
    if (this.dtype !== 'int32' && this.dtype !== 'int64') {
      throw new WarpbookError(
        'DTYPE_MISMATCH',
        `Got increment of ${this.dtype} tensor '${this.label}'; wanted int32 or int64.`,
      );
    }
    if (this.strides.some((stride, d) => stride === 0 && this.shape[d] > 1)) {
      throw new WarpbookError(
        'INVALID_ARGUMENT',
        `Got increment of a tensor of shape ${formatShape(this.shape)} with strides ${formatShape(this.strides)}, whose ` +
          'elements share memory; wanted each by itself.',
      );
    }
    enqueueAdd(this, encodeValues([by], this.dtype), options.stream);
  }

  /**
   * The elements in row-major order: float dtypes as Float32Array (exact), int64 as BigInt64Array, bool as 0 and 1.
   * A view with gaps is read through a temporary dense buffer on the device.
   */
  async data(options: StreamOption = {}): Promise<DataArray<D>> {
    return decodeValues(await this.bytes('data', options), this.dtype);
  }

  /** The elements' bits: 16-bit floats as Uint16Array, 8-bit ones as Uint8Array, the others as {@link data}. */
  async raw(options: StreamOption = {}): Promise<RawArray<D>> {
    return rawValues(await this.bytes('raw', options), this.dtype);
  }

  /**
   * The elements as nested arrays: numbers, bigints (int64) or booleans. The number of dimensions is known at run time
   * only; where it matters to the compiler, name the type: `await scores.array<number[][]>()`.
   */
  async array<T = NestedArray<D>>(options: StreamOption = {}): Promise<T> {
    return nestValues(decodeValues(await this.bytes('array', options), this.dtype), this.shape, this.dtype) as T;
  }

  /** The value of a tensor of one element. @throws WarpbookError SHAPE_MISMATCH for any other */
  async item(options: StreamOption = {}): Promise<Scalar<D>> {
    this.requireUsable('item');
    if (this.numel !== 1) {
      throw new WarpbookError(
        'SHAPE_MISMATCH',
        `Got item() of a tensor of shape ${formatShape(this.shape)}; wanted one element. Select one, or use array().`,
      );
    }
    return scalarAt(await this.data(options), 0, this.dtype);
  }

  /**
   * The elements as NumPy 2 prints them. A large tensor is shown by its corners, and nothing else is fetched.
   */
  async print(options: PrintOptions & StreamOption = {}): Promise<string> {
    this.requireUsable('print');
    const edge = visibleEdge(this.shape, options);
    const { bytes, shape } =
      edge === undefined
        ? { bytes: await readBlock(this, options.stream), shape: this.shape }
        : await readCorners(this, edge, options.stream);
    return formatValues(decodeValues<DType>(bytes, this.dtype), shape, this.shape, this.dtype, options);
  }

  /** Where launches find the first element. */
  address(): Address {
    this.requireUsable('address');
    return this.buffer.address(this.byteOffset);
  }

  /** Frees the memory once all work enqueued so far has finished; of a view, nothing. Idempotent. */
  dispose(): void {
    if (this.isDisposed) return;
    this.isDisposed = true;
    if (this.ownsBuffer) this.buffer.dispose();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }

  /** `Tensor float32 [2, 3] 'label' on cpu`; the elements are on the device, see {@link print}. */
  toString(): string {
    const state = this.disposed ? ' (disposed)' : '';
    return `Tensor ${this.dtype} ${formatShape(this.shape)} '${this.label}' on ${this.device.name}${state}`;
  }

  /** @internal Throws DISPOSED unless the tensor and what it borrows from can be used. */
  requireUsable(call: string): void {
    if (!this.disposed) return;
    const reason = this.isDisposed
      ? 'its dispose()'
      : 'the dispose() of the tensor, buffer or device that it is a view of';
    throw new WarpbookError(
      'DISPOSED',
      `Got ${call} of ${this.dtype} tensor '${this.label}' of shape ${formatShape(this.shape)} after ${reason}; ` +
        'create it again.',
      { label: this.label },
    );
  }

  /** @internal */
  requireDevice(device: Device, call: string): void {
    if (this.device === device) return;
    throw new WarpbookError(
      'DEVICE_MISMATCH',
      `Got tensor '${this.label}' of device '${this.device.name}' in ${call} on device '${device.name}'; ` +
        'wanted a tensor of that device. Copy it with await tensor.to(device).',
    );
  }

  private view({ shape, strides, offset }: Layout): Tensor<D> {
    const byteOffset = this.byteOffset + offset * itemSize(this.dtype);
    return new Tensor(this.buffer, { dtype: this.dtype, shape, strides, byteOffset }, this.owner ?? this, false);
  }

  private async bytes(call: string, options: StreamOption): Promise<Uint8Array> {
    this.requireUsable(call);
    return readBlock(this, options.stream);
  }

  private async toDevice(device: Device, options: StreamOption): Promise<Tensor<D>> {
    const bytes = await this.bytes('to', options);
    const { dtype, shape } = this;
    const copy = Tensor.allocate(device, { dtype, shape }, this.label);
    copy.buffer.write(bytes);
    return copy;
  }
}
