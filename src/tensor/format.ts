/**
 * Text of arrays by the printing rules of NumPy 2.4 (`str(array)` with default options): one format for all elements
 * shown, scientific notation where magnitudes differ much, corners with `...` for large arrays, wrapped lines.
 *
 * bfloat16 and the float8 types, which NumPy doesn't have, are shown as the float32 numbers that they are. Knows no
 * device: what is shown has been fetched.
 */
import { requireInteger } from '../errors';
import { type Decimal, exactDecimal, roundDecimal, shortestDecimal } from './decimal';
import { type DType, type FloatDType, isFloat } from './dtype';
import { decimalPrecision, roundToDType } from './float-format';
import type { DataArray } from './host-values';
import { numElements } from './shape';

/** Options of `Tensor.print()`, with NumPy's defaults. */
export interface PrintOptions {
  /** Most digits after the point; default 8. */
  precision?: number;
  /** Arrays of more elements are shown by their corners; default 1000. */
  threshold?: number;
  /** Indices shown at each end of a long dimension; default 3. */
  edgeItems?: number;
  /** Characters a line; default 75. */
  lineWidth?: number;
}

const DEFAULTS: Required<PrintOptions> = { precision: 8, threshold: 1000, edgeItems: 3, lineWidth: 75 };

function resolveOptions(options: PrintOptions): Required<PrintOptions> {
  const resolved = { ...DEFAULTS, ...options };
  requireInteger('precision', resolved.precision, 0);
  requireInteger('threshold', resolved.threshold, 0);
  requireInteger('edgeItems', resolved.edgeItems, 1);
  requireInteger('lineWidth', resolved.lineWidth, 1);
  return resolved;
}

/** Indices shown at each end of the long dimensions, or undefined where everything is shown. */
export function visibleEdge(shape: readonly number[], options: PrintOptions = {}): number | undefined {
  const { threshold, edgeItems } = resolveOptions(options);
  return numElements(shape) > threshold && shape.some((size) => size > 2 * edgeItems) ? edgeItems : undefined;
}

/** A dtype that NumPy prints. */
type PrintedFloat = 'float32' | 'float16';

function printedAs(dtype: FloatDType): PrintedFloat {
  return dtype === 'float16' ? 'float16' : 'float32';
}

/** Magnitude from which on elements are shown with an exponent. */
function cutoff(dtype: PrintedFloat): number {
  return 10 ** Math.min(8, decimalPrecision(dtype));
}

function signOf(x: number): string {
  return x < 0 || Object.is(x, -0) ? '-' : '';
}

function positional({ digits, exponent }: Decimal): readonly [integer: string, fraction: string] {
  if (exponent < 0) return ['0', digits === '0' ? '' : '0'.repeat(-exponent - 1) + digits];
  return [digits.slice(0, exponent + 1).padEnd(exponent + 1, '0'), digits.slice(exponent + 1)];
}

function exponentText(exponent: number, width = 2): string {
  return `e${exponent < 0 ? '-' : '+'}${String(Math.abs(exponent)).padStart(width, '0')}`;
}

function nonFinite(x: number): string {
  return Number.isNaN(x) ? 'nan' : `${signOf(x)}inf`;
}

/** The digits of |x| that are shown: those that its dtype needs, of which `digitsKept` allows so many. */
function shownDigits(x: number, dtype: PrintedFloat, digitsKept: (d: Decimal) => number): Decimal {
  const shortest = shortestDecimal(Math.abs(x), dtype);
  const kept = digitsKept(shortest);
  return shortest.digits.length <= kept ? shortest : roundDecimal(exactDecimal(Math.abs(x)), kept);
}

type Formatter = (index: number) => string;

/** Whether magnitudes are too large, too small or too different for positional notation. */
function needsExponent(values: readonly number[], dtype: PrintedFloat): boolean {
  const magnitudes = values.map(Math.abs).filter((x) => x !== 0);
  if (magnitudes.length === 0) return false;
  const max = magnitudes.reduce((a, b) => Math.max(a, b));
  const min = magnitudes.reduce((a, b) => Math.min(a, b));
  return max >= cutoff(dtype) || min < roundToDType(1e-4, dtype) || roundToDType(max / min, dtype) > 1000;
}

interface Shown {
  readonly sign: string;
  readonly decimal: Decimal;
}

/** One common format for all elements: places before and after the point, and of the exponent. */
function floatFormatter(values: ArrayLike<number>, dtype: PrintedFloat, precision: number): Formatter {
  const all = Array.from(values);
  const finite = all.filter(Number.isFinite);
  const scientific = needsExponent(finite, dtype);
  const digitsKept = scientific ? () => precision + 1 : (d: Decimal) => d.exponent + 1 + precision;
  const shown = all.map((x): Shown | undefined =>
    Number.isFinite(x) ? { sign: signOf(x), decimal: shownDigits(x, dtype, digitsKept) } : undefined,
  );
  let left = 0;
  let right = 0;
  let exponentWidth = 2;
  for (const element of shown) {
    if (!element) continue;
    const { sign, decimal } = element;
    const [integer, fraction] = scientific ? [decimal.digits[0], decimal.digits.slice(1)] : positional(decimal);
    left = Math.max(left, sign.length + integer.length);
    right = Math.max(right, fraction.length);
    exponentWidth = Math.max(exponentWidth, String(Math.abs(decimal.exponent)).length);
  }
  const exponentSpace = scientific ? exponentWidth + 2 : 0;
  const special = all.filter((x) => !Number.isFinite(x)).map((x) => nonFinite(x).length);
  const width = special.reduce((a, b) => Math.max(a, b), left + 1 + right + exponentSpace);
  return (i) => {
    const element = shown[i];
    if (!element) return nonFinite(all[i]).padStart(width);
    const { sign, decimal } = element;
    if (!scientific) {
      const [integer, fraction] = positional(decimal);
      return `${sign}${integer}.${fraction.padEnd(right)}`.padStart(width);
    }
    // Places that other elements need are filled with further digits of the exact value, not with zeros.
    const { digits, exponent } =
      decimal.digits.length <= right ? roundDecimal(exactDecimal(Math.abs(all[i])), right + 1) : decimal;
    return `${sign}${digits[0]}.${digits.slice(1).padEnd(right, '0')}${exponentText(exponent, exponentWidth)}`.padStart(
      width,
    );
  };
}

function formatterOf(values: DataArray, dtype: DType, precision: number): Formatter {
  if (isFloat(dtype)) return floatFormatter(values as Float32Array, printedAs(dtype), precision);
  if (dtype === 'bool') return (i) => (values[i] ? ' True' : 'False');
  const texts = Array.from(values as ArrayLike<number | bigint>, String);
  const width = texts.reduce((widest, text) => Math.max(widest, text.length), 0);
  return (i) => texts[i].padStart(width);
}

/** A scalar, which follows rules of its own: every digit that its dtype needs, no padding. */
function formatScalar(value: number | bigint, dtype: DType): string {
  if (dtype === 'bool') return value ? 'True' : 'False';
  if (!isFloat(dtype)) return String(value);
  const x = Number(value);
  if (!Number.isFinite(x)) return nonFinite(x);
  const magnitude = Math.abs(x);
  const printed = printedAs(dtype);
  const decimal = shortestDecimal(magnitude, printed);
  if (magnitude !== 0 && (magnitude >= cutoff(printed) || magnitude < 1e-4)) {
    const fraction = decimal.digits.slice(1);
    return `${signOf(x)}${decimal.digits[0]}${fraction && `.${fraction}`}${exponentText(decimal.exponent)}`;
  }
  const [integer, fraction] = positional(decimal);
  return `${signOf(x)}${integer}.${fraction || '0'}`;
}

/** Appends a word to a line that is wrapped before it if it would be longer than `width`. */
class Lines {
  private done = '';
  constructor(
    private line: string,
    private readonly width: number,
    private readonly indent: string,
  ) {}

  add(word: string): void {
    const wraps = this.line.length + word.length > this.width && this.line.length > this.indent.length;
    if (wraps) {
      this.done += `${this.line.trimEnd()}\n`;
      this.line = this.indent;
    }
    this.line += word;
  }

  space(): void {
    this.line += ' ';
  }

  text(): string {
    return this.done + this.line;
  }
}

/**
 * The text of an array.
 * @param values - the elements that are shown, row-major
 * @param visible - their shape: 2 · edgeItems instead of the size in the dimensions that are cut
 * @param shape - the whole array's
 */
export function formatValues(
  values: DataArray,
  visible: readonly number[],
  shape: readonly number[],
  dtype: DType,
  options: PrintOptions = {},
): string {
  const { precision, lineWidth, edgeItems } = resolveOptions(options);
  if (shape.length === 0) return formatScalar(values[0], dtype);
  if (numElements(shape) === 0) return '[]';
  const format = formatterOf(values, dtype, precision);

  const nest = (axis: number, first: number, indent: string, width: number): string => {
    const cut = visible[axis] < shape[axis];
    const size = visible[axis];
    const isRow = axis === shape.length - 1;
    if (isRow) {
      const lines = new Lines(indent, width - 1, indent);
      for (let i = 0; i < size; i++) {
        if (i > 0) lines.space();
        if (cut && i === edgeItems) {
          lines.add('...');
          lines.space();
        }
        lines.add(format(first + i));
      }
      return `[${lines.text().slice(indent.length)}]`;
    }
    const inner = visible.slice(axis + 1).reduce((product, n) => product * n, 1);
    const parts: string[] = [];
    for (let i = 0; i < size; i++) {
      if (cut && i === edgeItems) parts.push(`${indent}...`);
      parts.push(indent + nest(axis + 1, first + i * inner, `${indent} `, width - 1));
    }
    return `[${parts.join('\n'.repeat(shape.length - 1 - axis)).slice(indent.length)}]`;
  };
  return nest(0, 0, ' ', lineWidth);
}
