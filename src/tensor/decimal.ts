/**
 * Decimal digits of binary floating-point numbers, exactly. Works on integers of any size, so nothing here is rounded
 * twice.
 */
import type { FloatDType } from './dtype';
import { roundToDType } from './float-format';

/** d.ddd… × 10^exponent: `digits` has at least one digit, no leading zero (but for 0 itself) and no trailing ones. */
export interface Decimal {
  readonly digits: string;
  readonly exponent: number;
}

const scratch = new DataView(new ArrayBuffer(8));

function trimmed(digits: string, exponent: number): Decimal {
  return { digits: digits.replace(/0+$/, '') || '0', exponent };
}

/** All digits of a finite x >= 0. */
export function exactDecimal(x: number): Decimal {
  if (x === 0) return { digits: '0', exponent: 0 };
  scratch.setFloat64(0, x);
  const bits = scratch.getBigUint64(0);
  const biased = Number(bits >> 52n);
  const fraction = bits & ((1n << 52n) - 1n);
  const significand = biased === 0 ? fraction : fraction | (1n << 52n);
  const power = Math.max(biased, 1) - 1075;
  // x = significand · 2^power; a negative power becomes 5^-power / 10^-power.
  const digits = (power >= 0 ? significand << BigInt(power) : significand * 5n ** BigInt(-power)).toString();
  return trimmed(digits, digits.length - 1 + Math.min(power, 0));
}

function step(digits: string, exponent: number): Decimal {
  const next = (BigInt(digits) + 1n).toString();
  return trimmed(next, exponent + next.length - digits.length);
}

/** Rounded to `count` digits (0 or fewer: to 0 or to the next power of ten), to nearest, ties to even. */
export function roundDecimal({ digits, exponent }: Decimal, count: number): Decimal {
  if (digits.length <= count) return { digits, exponent };
  if (count < 0) return { digits: '0', exponent: 0 };
  const kept = digits.slice(0, count);
  const rest = digits.slice(count);
  const tie = rest === '5';
  const odd = count > 0 && Number(kept[count - 1]) % 2 === 1;
  const up = tie ? odd : rest[0] >= '5';
  if (count === 0) return up ? { digits: '1', exponent: exponent + 1 } : { digits: '0', exponent: 0 };
  return up ? step(kept, exponent) : trimmed(kept, exponent);
}

function numberOf({ digits, exponent }: Decimal): number {
  return Number(`${digits}e${exponent - digits.length + 1}`);
}

/** The fewest digits that no other number of `dtype` is as near to as x >= 0 is; the nearest of them to x. */
export function shortestDecimal(x: number, dtype: FloatDType): Decimal {
  const exact = exactDecimal(x);
  for (let count = 1; count < exact.digits.length; count++) {
    const nearest = roundDecimal(exact, count);
    const below = trimmed(exact.digits.slice(0, count), exact.exponent);
    const above = step(exact.digits.slice(0, count), exact.exponent);
    for (const candidate of [nearest, below, above]) {
      if (roundToDType(numberOf(candidate), dtype) === x) return candidate;
    }
  }
  return exact;
}
