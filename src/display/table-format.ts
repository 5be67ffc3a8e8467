/**
 * Cells of a table as text: one format per column, so that digits line up. Knows no markup.
 *
 * Integers get thousands separators. Other numbers share the decimals that show four digits of the column's largest
 * value and two of its smallest; columns that span more than a million-fold use exponents.
 */
import { inspect } from 'node:util';
import { cleanLabel } from './escape';

export interface FormattedColumn {
  readonly align: 'left' | 'right';
  readonly cells: readonly string[];
}

const MAX_DECIMALS = 6;
const MAX_CELL_LENGTH = 160;

/** @param decimals fixed number of decimals; default: by the values */
export function formatColumn(values: readonly unknown[], decimals?: number): FormattedColumn {
  const present = values.filter((v) => v !== null && v !== undefined);
  const isNumeric = present.length > 0 && present.every((v) => typeof v === 'number' || typeof v === 'bigint');
  if (!isNumeric) return { align: 'left', cells: values.map(formatCell) };
  const format = numberFormat(present as (number | bigint)[], decimals);
  return {
    align: 'right',
    cells: values.map((v) => (v === null || v === undefined ? '' : format(v as number | bigint))),
  };
}

function formatCell(value: unknown): string {
  if (value === null || value === undefined) return '';
  if (typeof value === 'string') return cleanLabel(value, MAX_CELL_LENGTH);
  if (value instanceof Date) return Number.isNaN(value.getTime()) ? 'invalid date' : value.toISOString();
  if (typeof value === 'object') {
    return cleanLabel(inspect(value, { depth: 1, breakLength: Infinity, maxArrayLength: 6 }), MAX_CELL_LENGTH);
  }
  return cleanLabel(String(value), MAX_CELL_LENGTH);
}

function numberFormat(
  values: readonly (number | bigint)[],
  decimals: number | undefined,
): (value: number | bigint) => string {
  if (decimals !== undefined) return fixed(decimals);
  const finite = values.filter((v): v is number => typeof v === 'number' && Number.isFinite(v));
  if (finite.every(Number.isInteger)) return fixed(0);
  const magnitudes = finite.map(Math.abs).filter((v) => v > 0);
  const top = Math.floor(Math.log10(magnitudes.reduce((a, b) => Math.max(a, b))));
  const bottom = Math.floor(Math.log10(magnitudes.reduce((a, b) => Math.min(a, b))));
  if (top - bottom > 6 || top >= 12 || bottom < 1 - MAX_DECIMALS) return (v) => exponential(v);
  return fixed(neededDecimals(finite, Math.max(0, 3 - top, 1 - bottom)));
}

/** Drops decimals that are zero in every value: 0.50 and 1.50 are shown as 0.5 and 1.5. */
function neededDecimals(values: readonly number[], most: number): number {
  let decimals = Math.min(most, MAX_DECIMALS);
  while (decimals > 1 && values.every((v) => v.toFixed(decimals).endsWith('0'))) decimals--;
  return decimals;
}

function fixed(decimals: number): (value: number | bigint) => string {
  const format = new Intl.NumberFormat('en-US', { minimumFractionDigits: decimals, maximumFractionDigits: decimals });
  return (value) => (typeof value === 'number' && !Number.isFinite(value) ? String(value) : format.format(value));
}

function exponential(value: number | bigint): string {
  const number = Number(value);
  return number === 0 || !Number.isFinite(number) ? String(number) : number.toExponential(3);
}
