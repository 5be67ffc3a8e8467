/**
 * Bits of the float types on the host: decoding to numbers (exact) and rounding numbers to bits.
 *
 * The rules are those of the device's casts: round to nearest, ties to even, subnormals kept; what is too large becomes
 * infinity, except that float8_e4m3fn, which has none, takes its largest value, 448 (as PyTorch since 2.12 and the
 * conversion instructions of the hardware do). A number is rounded once, straight from float64.
 */
import type { FloatDType } from './dtype';

interface FloatFormat {
  /** Explicit bits of the significand. */
  readonly significandBits: number;
  readonly exponentBias: number;
  /** Exponent of the smallest normal number. */
  readonly minExponent: number;
  /** Sign bit's position; bits in all, less one. */
  readonly signShift: number;
  /** Bits of what a finite number beyond the range becomes: infinity, or the largest number. */
  readonly overflowBits: number;
  /** Bits of the NaN that every NaN becomes (its sign is kept). */
  readonly nanBits: number;
}

const FORMATS: Readonly<Record<FloatDType, FloatFormat>> = {
  float32: {
    significandBits: 23,
    exponentBias: 127,
    minExponent: -126,
    signShift: 31,
    overflowBits: 0x7f800000,
    nanBits: 0x7fc00000,
  },
  float16: {
    significandBits: 10,
    exponentBias: 15,
    minExponent: -14,
    signShift: 15,
    overflowBits: 0x7c00,
    nanBits: 0x7e00,
  },
  bfloat16: {
    significandBits: 7,
    exponentBias: 127,
    minExponent: -126,
    signShift: 15,
    overflowBits: 0x7f80,
    nanBits: 0x7fc0,
  },
  float8_e4m3fn: {
    significandBits: 3,
    exponentBias: 7,
    minExponent: -6,
    signShift: 7,
    overflowBits: 0x7e,
    nanBits: 0x7f,
  },
  float8_e5m2: {
    significandBits: 2,
    exponentBias: 15,
    minExponent: -14,
    signShift: 7,
    overflowBits: 0x7c,
    nanBits: 0x7f,
  },
};

const scratch = new DataView(new ArrayBuffer(8));

/** Largest e with 2^e <= x, for finite x > 0 that is normal as a float64; -1023 where it is not. */
function exponentOf(x: number): number {
  scratch.setFloat64(0, x);
  return ((scratch.getUint16(0) >> 4) & 0x7ff) - 1023;
}

/** Nearest integer, ties to even, of 0 <= x < 2^52. */
function roundHalfEven(x: number): number {
  const floor = Math.floor(x);
  const rest = x - floor;
  return rest > 0.5 || (rest === 0.5 && floor % 2 === 1) ? floor + 1 : floor;
}

/** Bits of `value` rounded to `dtype`, as an unsigned integer. */
export function floatToBits(value: number, dtype: FloatDType): number {
  if (dtype === 'float32') {
    scratch.setFloat32(0, value);
    return scratch.getUint32(0);
  }
  const format = FORMATS[dtype];
  scratch.setFloat64(0, value);
  const sign = (scratch.getUint8(0) >> 7) << format.signShift;
  if (Number.isNaN(value)) return sign | format.nanBits;
  const abs = Math.abs(value);
  if (abs === 0) return sign;
  if (abs === Infinity) return sign | format.overflowBits;
  const exponent = Math.max(exponentOf(abs), format.minExponent);
  // Units in the last place. A carry into the next power of two lands on the right bits by itself, and a subnormal has
  // the same unit as the smallest normal numbers but no implicit bit, so its biased exponent of 0 needs no case.
  const units = roundHalfEven(abs * 2 ** (format.significandBits - exponent));
  const bits = (exponent + format.exponentBias - 1) * 2 ** format.significandBits + units;
  return sign | Math.min(bits, format.overflowBits);
}

/** Value of the bits of a magnitude, infinities and NaNs left aside: as if the exponent range had no end. */
function decode(bits: number, format: FloatFormat): number {
  const scale = 2 ** format.significandBits;
  const biased = Math.floor(bits / scale);
  const fraction = bits % scale;
  return biased === 0
    ? fraction * 2 ** (format.minExponent - format.significandBits)
    : (scale + fraction) * 2 ** (biased - format.exponentBias - format.significandBits);
}

/** The number that `bits` (an unsigned integer) stand for; exact. */
export function bitsToFloat(bits: number, dtype: FloatDType): number {
  if (dtype === 'float32') {
    scratch.setUint32(0, bits);
    return scratch.getFloat32(0);
  }
  const format = FORMATS[dtype];
  const negative = bits >>> format.signShift === 1;
  const magnitude = bits & ((1 << format.signShift) - 1);
  let value = decode(magnitude, format);
  if (dtype === 'float8_e4m3fn') {
    if (magnitude === format.nanBits) value = NaN;
  } else if (magnitude >= format.overflowBits) {
    value = magnitude === format.overflowBits ? Infinity : NaN;
  }
  return negative ? -value : value;
}

/** `value` rounded to the nearest number of `dtype`. */
export function roundToDType(value: number, dtype: FloatDType): number {
  return dtype === 'float32' ? Math.fround(value) : bitsToFloat(floatToBits(value, dtype), dtype);
}

const tables = new Map<FloatDType, Float32Array>();

/** Every number of a 16-bit or 8-bit type, by its bits; exact in float32. */
export function decodeTable(dtype: Exclude<FloatDType, 'float32'>): Float32Array {
  let table = tables.get(dtype);
  if (!table) {
    table = Float32Array.from({ length: 2 ** (FORMATS[dtype].signShift + 1) }, (_, bits) => bitsToFloat(bits, dtype));
    tables.set(dtype, table);
  }
  return table;
}

/** Decimal digits that a float type certainly carries, as NumPy's `finfo.precision`: 6 for float32, 3 for float16. */
export function decimalPrecision(dtype: FloatDType): number {
  return Math.floor(FORMATS[dtype].significandBits * Math.log10(2));
}
