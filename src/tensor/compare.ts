/** How near two tensors are to each other, summed on the device in float64. Operands may be views and differ in dtype. */
import { WarpbookError } from '../errors';
import { DTYPE_CODE } from './dtype';
import { COMPARE_FIELD, float64Bits, TENSOR_LIMITS, tensorCompareParams } from './programs';
import { collapse, formatShape } from './shape';
import { dimFields } from './strided';
import type { StreamOption, Tensor } from './tensor';

/** When two elements count as equal: |a − b| <= atol + rtol · |b|. */
export interface Tolerance {
  /** Default 1e-5. */
  rtol?: number;
  /** Default 1e-8. */
  atol?: number;
}

/** Options of {@link compareTensors} and {@link allClose}. */
export interface CompareTensorsOptions extends Tolerance, StreamOption {}

/** What {@link compareTensors} finds. */
export interface Comparison {
  /** ‖a − b‖₂ / ‖b‖₂, see {@link relativeError}. */
  readonly relativeError: number;
  /** Largest |a − b| over pairs of finite values. */
  readonly maxAbsError: number;
  /** Pairs outside of the tolerance, those with a NaN included. */
  readonly numMismatches: number;
}

function checkOperands(a: Tensor, b: Tensor): void {
  a.requireUsable('compare');
  b.requireUsable('compare');
  b.requireDevice(a.device, 'compare');
  if (a.ndim !== b.ndim || a.shape.some((size, d) => size !== b.shape[d])) {
    throw new WarpbookError(
      'SHAPE_MISMATCH',
      `Got tensors of shapes ${formatShape(a.shape)} and ${formatShape(b.shape)} to compare; wanted equal shapes.`,
    );
  }
}

/** The sums over all elements, by COMPARE_FIELD. */
async function sums(a: Tensor, b: Tensor, options: CompareTensorsOptions): Promise<Float64Array> {
  const { rtol = 1e-5, atol = 1e-8, stream = a.device.stream } = options;
  checkOperands(a, b);
  const total = new Float64Array(TENSOR_LIMITS.compareFields);
  const { numel, device } = a;
  if (numel === 0) return total;
  const share = Math.max(TENSOR_LIMITS.elementsPerCta, Math.ceil(numel / TENSOR_LIMITS.maxCompareCtas));
  const numCtas = Math.ceil(numel / share);
  const { sizes, aStrides, bStrides } = collapse(a.shape, a.strides, b.strides);
  const partials = device.allocate(numCtas * TENSOR_LIMITS.compareFields * 8, { label: 'tensor compare' });
  try {
    const params = tensorCompareParams.pack({
      partials: partials.address(),
      a: a.address(),
      b: b.address(),
      num_elements: numel,
      elements_per_cta: share,
      rtol: float64Bits(rtol),
      atol: float64Bits(atol),
      ...dimFields('size_', sizes, 1),
      ...dimFields('a_stride_', aStrides, 0),
      ...dimFields('b_stride_', bStrides, 0),
      num_dims: sizes.length,
      a_dtype: DTYPE_CODE[a.dtype],
      b_dtype: DTYPE_CODE[b.dtype],
    });
    const buffers = [...new Set([partials, a.buffer, b.buffer])];
    stream.launch({ program: 'tensor_compare', grid: [numCtas, 1, 1], params, buffers });
    const bytes = await partials.read({ stream });
    const rows = new Float64Array(bytes.buffer, bytes.byteOffset, bytes.byteLength / 8);
    rows.forEach((value, i) => {
      const field = i % TENSOR_LIMITS.compareFields;
      total[field] = field === COMPARE_FIELD.maxAbsDifference ? Math.max(total[field], value) : total[field] + value;
    });
    return total;
  } finally {
    partials.dispose();
  }
}

function relativeErrorOf(total: Float64Array): number {
  if (total[COMPARE_FIELD.numNan] > 0) return NaN;
  if (total[COMPARE_FIELD.numInfinityMismatches] > 0) return Infinity;
  const difference = Math.sqrt(total[COMPARE_FIELD.sumSquaredDifference]);
  return difference === 0 ? 0 : difference / Math.sqrt(total[COMPARE_FIELD.sumSquaredReference]);
}

/**
 * All of it at once; `b` is the reference.
 * @throws WarpbookError SHAPE_MISMATCH, DEVICE_MISMATCH, DISPOSED
 */
export async function compareTensors(a: Tensor, b: Tensor, options: CompareTensorsOptions = {}): Promise<Comparison> {
  const total = await sums(a, b, options);
  return {
    relativeError: relativeErrorOf(total),
    maxAbsError: total[COMPARE_FIELD.maxAbsDifference],
    numMismatches: total[COMPARE_FIELD.numMismatches],
  };
}

/**
 * Whether every element of `a` is within atol + rtol · |b| of its counterpart in `b`, as NumPy's `allclose`: equal
 * infinities match, a NaN matches nothing.
 * @throws WarpbookError SHAPE_MISMATCH, DEVICE_MISMATCH, DISPOSED
 */
export async function allClose(a: Tensor, b: Tensor, options: CompareTensorsOptions = {}): Promise<boolean> {
  return (await sums(a, b, options))[COMPARE_FIELD.numMismatches] === 0;
}

/**
 * Relative L2 error ‖a − b‖₂ / ‖b‖₂ of `a` against the reference `b`. Pairs of the same infinity are left out; any
 * other infinity makes it Infinity, a NaN makes it NaN. Equal tensors give 0, also where all of `b` is 0.
 * @throws WarpbookError SHAPE_MISMATCH, DEVICE_MISMATCH, DISPOSED
 */
export async function relativeError(a: Tensor, b: Tensor, options: StreamOption = {}): Promise<number> {
  return relativeErrorOf(await sums(a, b, options));
}
