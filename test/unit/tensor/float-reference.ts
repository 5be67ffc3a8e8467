/** The float types by their definitions alone: every value from its fields, rounding by looking for the nearest value. */
import type { FloatDType } from '../../../src/tensor/dtype';

export type NarrowFloat = Exclude<FloatDType, 'float32'>;

export const NARROW_FLOATS: readonly NarrowFloat[] = ['float16', 'bfloat16', 'float8_e4m3fn', 'float8_e5m2'];

const FIELDS: Record<NarrowFloat, { exponentBits: number; fractionBits: number }> = {
  float16: { exponentBits: 5, fractionBits: 10 },
  bfloat16: { exponentBits: 8, fractionBits: 7 },
  float8_e4m3fn: { exponentBits: 4, fractionBits: 3 },
  float8_e5m2: { exponentBits: 5, fractionBits: 2 },
};

/** The bits that a NaN of either sign is rounded to, sign aside. */
export const CANONICAL_NAN: Record<NarrowFloat, number> = {
  float16: 0x7e00,
  bfloat16: 0x7fc0,
  float8_e4m3fn: 0x7f,
  float8_e5m2: 0x7f,
};

export function numCodes(dtype: NarrowFloat): number {
  const { exponentBits, fractionBits } = FIELDS[dtype];
  return 2 ** (1 + exponentBits + fractionBits);
}

export function decodeByDefinition(bits: number, dtype: NarrowFloat): number {
  const { exponentBits, fractionBits } = FIELDS[dtype];
  const bias = 2 ** (exponentBits - 1) - 1;
  const magnitude = bits % (numCodes(dtype) / 2);
  const sign = bits >= numCodes(dtype) / 2 ? -1 : 1;
  const exponent = Math.floor(magnitude / 2 ** fractionBits);
  const fraction = (magnitude % 2 ** fractionBits) / 2 ** fractionBits;
  if (dtype === 'float8_e4m3fn') {
    if (magnitude === 0x7f) return NaN;
  } else if (exponent === 2 ** exponentBits - 1) {
    return fraction === 0 ? sign * Infinity : NaN;
  }
  return sign * (exponent === 0 ? fraction * 2 ** (1 - bias) : (1 + fraction) * 2 ** (exponent - bias));
}

const magnitudes = new Map<NarrowFloat, Float64Array>();

/** Finite magnitudes by their bits, and the power of two that would come next. */
function magnitudesOf(dtype: NarrowFloat): Float64Array {
  let values = magnitudes.get(dtype);
  if (!values) {
    const finite: number[] = [];
    for (let bits = 0; Number.isFinite(decodeByDefinition(bits, dtype)); bits++)
      finite.push(decodeByDefinition(bits, dtype));
    finite.push(2 * finite[finite.length - 1] - finite[finite.length - 2]);
    values = Float64Array.from(finite);
    magnitudes.set(dtype, values);
  }
  return values;
}

/** Bits of the nearest value, of an even one where two are as near; NaN becomes the canonical one without sign. */
export function encodeBySearch(x: number, dtype: NarrowFloat): number {
  if (Number.isNaN(x)) return CANONICAL_NAN[dtype];
  const values = magnitudesOf(dtype);
  const sign = x < 0 || Object.is(x, -0) ? numCodes(dtype) / 2 : 0;
  const abs = Math.abs(x);
  const last = values.length - 1;
  let low = 0;
  let high = last;
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    if (values[middle] <= abs) low = middle;
    else high = middle;
  }
  let bits =
    abs - values[low] < values[high] - abs || (abs - values[low] === values[high] - abs && low % 2 === 0) ? low : high;
  if (abs >= values[last]) bits = last;
  if (bits === last && dtype === 'float8_e4m3fn') bits = last - 1;
  return sign + bits;
}

/** Every upper half of a float32, with lower halves around the places where rounding turns. */
export function interestingFloats(): Float32Array {
  const lower = [0, 1, 0x0fff, 0x1000, 0x1001, 0x7fff, 0x8000, 0x8001, 0xffff];
  const bits = new Uint32Array(2 ** 16 * lower.length);
  for (let i = 0; i < bits.length; i++) bits[i] = Math.floor(i / lower.length) * 2 ** 16 + lower[i % lower.length];
  return new Float32Array(bits.buffer);
}
