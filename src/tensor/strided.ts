/**
 * Work on strided blocks of device memory: copies with conversion, fills and reads. The layer between tensors and the
 * programs; knows layouts and dtypes, not who owns what.
 */
import type { Buffer } from '../device/buffer';
import type { Device } from '../device/device';
import type { Stream } from '../device/stream';
import { WarpbookError } from '../errors';
import { DTYPE_CODE, type DType, itemSize } from './dtype';
import { elementGrid, tensorCopyParams, tensorFillParams } from './programs';
import {
  collapse,
  contiguousStrides,
  extent,
  formatShape,
  isContiguous,
  numElements,
  type PairedLayout,
} from './shape';

/** Elements of one dtype in a buffer. Strides are in elements, `byteOffset` is that of the first one. */
export interface StridedBlock {
  readonly buffer: Buffer;
  readonly dtype: DType;
  readonly shape: readonly number[];
  readonly strides: readonly number[];
  readonly byteOffset: number;
}

/** The numbered fields of a parameter block for one list of sizes or strides; `rest` fills the unused ones. */
export function dimFields<P extends string>(
  prefix: P,
  values: readonly number[],
  rest: number,
): Record<`${P}${0 | 1 | 2 | 3 | 4 | 5 | 6 | 7}`, number> {
  return Object.fromEntries(Array.from({ length: 8 }, (_, d) => [`${prefix}${d}`, values[d] ?? rest])) as never;
}

/** A dense block at the start of `buffer`. */
function denseBlock(buffer: Buffer, dtype: DType, shape: readonly number[]): StridedBlock {
  return { buffer, dtype, shape, strides: contiguousStrides(shape), byteOffset: 0 };
}

function byteRange(block: StridedBlock): readonly [begin: number, end: number] {
  return [block.byteOffset, block.byteOffset + extent(block.shape, block.strides) * itemSize(block.dtype)];
}

/** @throws WarpbookError INVALID_ARGUMENT unless two blocks certainly share no element; `what` is being done with them */
export function requireApart(target: StridedBlock, source: StridedBlock, what = 'a copy'): void {
  if (target.buffer !== source.buffer) return;
  const [targetBegin, targetEnd] = byteRange(target);
  const [sourceBegin, sourceEnd] = byteRange(source);
  if (targetEnd <= sourceBegin || sourceEnd <= targetBegin || interleaved(target, source)) return;
  throw new WarpbookError(
    'INVALID_ARGUMENT',
    `Got ${what} within buffer '${target.buffer.label}' from bytes [${sourceBegin}, ${sourceEnd}) to bytes ` +
      `[${targetBegin}, ${targetEnd}), which overlap; wanted ranges apart. Read from source.contiguous() instead.`,
  );
}

/**
 * Whether two blocks of equal layout are shifted so that they certainly share no element, like the keys and the values
 * of one KV tensor. The shift is taken apart into a number of steps along each dimension, largest stride first.
 */
function interleaved(target: StridedBlock, source: StridedBlock): boolean {
  const size = itemSize(target.dtype);
  const { sizes, aStrides, bStrides } = collapse(target.shape, target.strides, source.strides);
  if (size !== itemSize(source.dtype) || aStrides.some((stride, d) => stride !== bStrides[d])) return false;
  const dims = sizes.map((count, d) => ({ count, stride: aStrides[d] })).sort((x, y) => y.stride - x.stride);
  let rest = Math.abs(target.byteOffset - source.byteOffset) / size;
  for (const [i, { count, stride }] of dims.entries()) {
    const inner = dims.slice(i + 1).reduce((sum, dim) => sum + (dim.count - 1) * dim.stride, 1);
    if (stride < inner || !Number.isInteger(rest)) return false;
    const steps = Math.floor(rest / stride);
    rest -= steps * stride;
    const meetsHere = steps < count && rest < inner;
    const meetsNext = steps + 1 < count && stride - rest < inner;
    if (meetsNext) return false;
    if (!meetsHere) return true;
  }
  return false;
}

function launchCopy(target: StridedBlock, source: StridedBlock, layout: PairedLayout, stream: Stream): void {
  const count = numElements(layout.sizes);
  const params = tensorCopyParams.pack({
    dst: target.buffer.address(target.byteOffset),
    src: source.buffer.address(source.byteOffset),
    num_elements: count,
    ...dimFields('size_', layout.sizes, 1),
    ...dimFields('dst_stride_', layout.aStrides, 0),
    ...dimFields('src_stride_', layout.bStrides, 0),
    num_dims: layout.sizes.length,
    dst_dtype: DTYPE_CODE[target.dtype],
    src_dtype: DTYPE_CODE[source.dtype],
  });
  const buffers = target.buffer === source.buffer ? [target.buffer] : [target.buffer, source.buffer];
  stream.launch({ program: 'tensor_copy', grid: elementGrid(count), params, buffers });
}

/**
 * Enqueues a copy between blocks of equal shape on one device, converting between dtypes.
 * @throws WarpbookError SHAPE_MISMATCH; INVALID_ARGUMENT where the blocks may overlap
 */
export function enqueueCopy(
  target: StridedBlock,
  source: StridedBlock,
  stream: Stream = target.buffer.device.stream,
): void {
  if (target.shape.length !== source.shape.length || target.shape.some((size, d) => size !== source.shape[d])) {
    throw new WarpbookError(
      'SHAPE_MISMATCH',
      `Got a source of shape ${formatShape(source.shape)} for a target of shape ${formatShape(target.shape)}; ` +
        'wanted equal shapes.',
    );
  }
  const { device } = target.buffer;
  source.buffer.requireDevice(device, 'copyFrom');
  const count = numElements(target.shape);
  if (count === 0) return;
  requireApart(target, source);
  const dense = isContiguous(target.shape, target.strides) && isContiguous(source.shape, source.strides);
  if (dense && target.dtype === source.dtype) {
    const { byteOffset } = target;
    const byteLength = count * itemSize(target.dtype);
    target.buffer.copyFrom(source.buffer, { byteOffset, sourceOffset: source.byteOffset, byteLength, stream });
    return;
  }
  launchCopy(target, source, collapse(target.shape, target.strides, source.strides), stream);
}

/** Enqueues a fill with the bytes of one element. May be captured. */
export function enqueueFill(
  target: StridedBlock,
  element: Uint8Array,
  stream: Stream = target.buffer.device.stream,
): void {
  const count = numElements(target.shape);
  if (count === 0) return;
  if (isContiguous(target.shape, target.strides)) {
    const { byteOffset } = target;
    target.buffer.fill(element, { byteOffset, byteLength: count * element.byteLength, stream });
    return;
  }
  launchFill(target, element, false, stream);
}

/** Enqueues the addition of one element, of an integer dtype, to all of a block. May be captured. */
export function enqueueAdd(
  target: StridedBlock,
  element: Uint8Array,
  stream: Stream = target.buffer.device.stream,
): void {
  if (numElements(target.shape) > 0) launchFill(target, element, true, stream);
}

function launchFill(target: StridedBlock, element: Uint8Array, add: boolean, stream: Stream): void {
  const { sizes, aStrides } = collapse(target.shape, target.strides, target.strides);
  const count = numElements(sizes);
  const value = new Uint8Array(8);
  value.set(element);
  const params = tensorFillParams.pack({
    dst: target.buffer.address(target.byteOffset),
    num_elements: count,
    ...dimFields('size_', sizes, 1),
    ...dimFields('stride_', aStrides, 0),
    value: new DataView(value.buffer).getBigInt64(0, true),
    num_dims: sizes.length,
    item_size: element.byteLength,
    add: add ? 1 : 0,
  });
  stream.launch({ program: 'tensor_fill', grid: elementGrid(count), params, buffers: [target.buffer] });
}

/** Reads a block's elements in row-major order. One with gaps goes through a temporary dense buffer on the device. */
export async function readBlock(block: StridedBlock, stream: Stream = block.buffer.device.stream): Promise<Uint8Array> {
  const byteLength = numElements(block.shape) * itemSize(block.dtype);
  const { byteOffset } = block;
  if (isContiguous(block.shape, block.strides)) return block.buffer.read({ byteOffset, byteLength, stream });
  return readThroughDense(block.buffer.device, block.dtype, block.shape, stream, (dense) =>
    enqueueCopy(dense, block, stream),
  );
}

/**
 * Reads only the corners of a block: the first and last `edge` indices of every dimension that is longer than both
 * together, all indices of the others. Resolves with the elements and their shape.
 */
export async function readCorners(
  block: StridedBlock,
  edge: number,
  stream: Stream = block.buffer.device.stream,
): Promise<{ bytes: Uint8Array; shape: readonly number[] }> {
  const shape = block.shape.map((size) => Math.min(size, 2 * edge));
  const bytes = await readThroughDense(block.buffer.device, block.dtype, shape, stream, (dense) => {
    for (const corner of corners(block.shape, edge))
      enqueueCopy(part(dense, corner.target), part(block, corner.source), stream);
  });
  return { bytes, shape };
}

async function readThroughDense(
  device: Device,
  dtype: DType,
  shape: readonly number[],
  stream: Stream,
  write: (dense: StridedBlock) => void,
): Promise<Uint8Array> {
  const buffer = device.allocate(numElements(shape) * itemSize(dtype), { label: 'tensor read' });
  try {
    write(denseBlock(buffer, dtype, shape));
    return await buffer.read({ stream });
  } finally {
    buffer.dispose();
  }
}

type Ranges = readonly (readonly [begin: number, length: number])[];

/** Where each corner lies in the whole and in the dense block of all corners. */
function corners(shape: readonly number[], edge: number): { source: Ranges; target: Ranges }[] {
  let found: { source: Ranges; target: Ranges }[] = [{ source: [], target: [] }];
  for (const size of shape) {
    const pieces =
      size > 2 * edge
        ? [
            [0, 0, edge],
            [size - edge, edge, edge],
          ]
        : [[0, 0, size]];
    found = found.flatMap(({ source, target }) =>
      pieces.map(([from, to, length]) => ({
        source: [...source, [from, length] as const],
        target: [...target, [to, length] as const],
      })),
    );
  }
  return found;
}

function part(block: StridedBlock, ranges: Ranges): StridedBlock {
  const skipped = ranges.reduce((sum, [begin], d) => sum + begin * block.strides[d], 0);
  return {
    buffer: block.buffer,
    dtype: block.dtype,
    shape: ranges.map(([, length]) => length),
    strides: block.strides,
    byteOffset: block.byteOffset + skipped * itemSize(block.dtype),
  };
}
