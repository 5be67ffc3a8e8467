/**
 * Tables: rows of plain objects, or an arquero table, as HTML and as aligned text. Every string is escaped; numbers are
 * right-aligned and formatted by column. Knows nothing of what the columns mean.
 */
import { WarpbookError } from '../errors';
import type { MimeBundle, RenderOptions } from '../renderers';
import { cleanLabel, displayWidth, escapeHtml, pad } from './escape';
import { type FormattedColumn, formatColumn } from './table-format';
import { countOf } from './text-lines';

/** The part of arquero's ColumnTable that a display reads: rows in its order, after its filters. */
export interface ArqueroLike {
  numRows(): number;
  columnNames(): string[];
  get(name: string, row: number): unknown;
}

/** Options of {@link table}. */
export interface TableOptions {
  /** A line above the table. */
  readonly title?: string;
  /** Columns to show, in this order; default: all, in the order of their first appearance. */
  readonly columns?: readonly string[];
  /** Units by column, shown in the header: `{ makespan: 'µs' }`. */
  readonly units?: Readonly<Record<string, string>>;
  /** Fixed decimals by column; default: by the values. */
  readonly decimals?: Readonly<Record<string, number>>;
  /** Rows shown; the rest is counted. Default 100. */
  readonly maxRows?: number;
}

interface ShownColumn extends FormattedColumn {
  readonly header: string;
}

export class Table {
  readonly title: string | undefined;
  readonly numRows: number;
  private readonly columns: readonly ShownColumn[];
  private readonly shownRows: number;

  /** Formats the rows at once: later changes of `rows` don't show. */
  constructor(rows: ArqueroLike, options: TableOptions = {}) {
    const names = options.columns ?? rows.columnNames();
    const known = new Set(rows.columnNames());
    for (const name of names) {
      if (!known.has(name)) {
        throw new WarpbookError(
          'INVALID_ARGUMENT',
          `The table has no column ${name}; it has ${[...known].join(', ')}.`,
        );
      }
    }
    this.title = options.title === undefined ? undefined : cleanLabel(options.title);
    this.numRows = rows.numRows();
    this.shownRows = Math.min(this.numRows, Math.max(0, options.maxRows ?? 100));
    this.columns = names.map((name) => {
      const values = Array.from({ length: this.shownRows }, (_, row) => rows.get(name, row));
      const unit = options.units?.[name];
      const header = cleanLabel(unit === undefined ? name : `${name} (${unit})`);
      return { header, ...formatColumn(values, options.decimals?.[name]) };
    });
  }

  toHtml(): string {
    const style = (column: ShownColumn): string => ` style="text-align:${column.align}"`;
    const caption = this.title === undefined ? '' : captionHtml(this.title);
    const head = this.columns.map((c) => `<th${style(c)}>${escapeHtml(c.header)}</th>`).join('');
    const body: string[] = [];
    for (let row = 0; row < this.shownRows; row++) {
      body.push(`<tr>${this.columns.map((c) => `<td${style(c)}>${escapeHtml(c.cells[row])}</td>`).join('')}</tr>`);
    }
    const rest = this.restNote();
    const foot =
      rest === ''
        ? ''
        : `<tfoot><tr><td colspan="${Math.max(1, this.columns.length)}">${escapeHtml(rest)}</td></tr></tfoot>`;
    return `<table>${caption}<thead><tr>${head}</tr></thead><tbody>\n${body.join('\n')}\n</tbody>${foot}</table>`;
  }

  /**
   * @param columns width of the terminal in characters; the widest text columns are cut to fit. Where that isn't enough, the table
   * goes on below itself, each part with the first column. Default 100
   */
  toText(columns: number = 100): string {
    const lines = inParts(this.columns, columns).flatMap((part, i) => [
      ...(i === 0 ? [] : ['']),
      ...this.partLines(part),
    ]);
    const rest = this.restNote();
    return [...(this.title === undefined ? [] : [this.title]), ...lines, ...(rest === '' ? [] : [rest])].join('\n');
  }

  private partLines(part: readonly SizedColumn[]): string[] {
    const line = (cellOf: (column: ShownColumn) => string): string =>
      part
        .map(({ column, width }) => pad(cut(cellOf(column), width), width, column.align))
        .join('  ')
        .trimEnd();
    const lines = [line(({ header }) => header), part.map(({ width }) => '─'.repeat(width)).join('  ')];
    for (let row = 0; row < this.shownRows; row++) lines.push(line(({ cells }) => cells[row]));
    return lines;
  }

  toString(): string {
    return this.toText();
  }

  bundle(options: RenderOptions = {}): MimeBundle {
    return { 'text/html': this.toHtml(), 'text/plain': this.toText(options.columns) };
  }

  private restNote(): string {
    if (this.numRows === 0) return '(no rows)';
    const rest = this.numRows - this.shownRows;
    return rest === 0 ? '' : `… and ${countOf(rest, 'more row')}`;
  }
}

/** The title of a table; JupyterLab would centre it, far from a wide table's columns. */
export function captionHtml(title: string): string {
  return `<caption style="text-align:left"><strong>${escapeHtml(cleanLabel(title))}</strong></caption>`;
}

/**
 * Makes a table of rows (plain objects; a missing key is an empty cell) or of an arquero table.
 * @throws WarpbookError INVALID_ARGUMENT for anything else, and for columns that don't exist
 */
export function table(rows: readonly object[] | ArqueroLike, options: TableOptions = {}): Table {
  if (isArqueroLike(rows)) return new Table(rows, options);
  if (!Array.isArray(rows) || rows.some((row) => typeof row !== 'object' || row === null)) {
    throw new WarpbookError('INVALID_ARGUMENT', 'table() wants an array of objects, one per row, or an arquero table.');
  }
  return new Table(fromRows(rows), options);
}

/** Recognises arquero's tables without loading arquero. */
export function isArqueroLike(value: unknown): value is ArqueroLike {
  const candidate = value as Partial<ArqueroLike> | null;
  return (
    typeof candidate === 'object' &&
    candidate !== null &&
    typeof candidate.numRows === 'function' &&
    typeof candidate.columnNames === 'function' &&
    typeof candidate.get === 'function'
  );
}

function fromRows(rows: readonly Readonly<Record<string, unknown>>[]): ArqueroLike {
  const names = new Set<string>();
  for (const row of rows) for (const name of Object.keys(row)) names.add(name);
  return {
    numRows: () => rows.length,
    columnNames: () => [...names],
    get: (name, row) => (Object.hasOwn(rows[row], name) ? rows[row][name] : undefined),
  };
}

const MIN_TEXT_WIDTH = 8;

interface SizedColumn {
  readonly column: ShownColumn;
  readonly width: number;
}

/** The columns with their widths, in one part where a line fits when text is cut, else in several, uncut if they can be. */
function inParts(columns: readonly ShownColumn[], available: number): SizedColumn[][] {
  const whole = fitted(columns, available);
  if (whole || columns.length < 3) return [whole ?? columns.map((column) => ({ column, width: leastWidth(column) }))];
  const [first, ...others] = columns;
  const parts: ShownColumn[][] = [];
  for (const column of others) {
    const last = parts.at(-1);
    if (last && lineWidth([first, ...last, column].map(fullWidth)) <= available) last.push(column);
    else parts.push([column]);
  }
  return parts.map((part) => {
    const own = [first, ...part];
    return fitted(own, available) ?? own.map((column) => ({ column, width: leastWidth(column) }));
  });
}

/** Left-aligned columns shrink, the widest first, until a line fits; undefined where none does. */
function fitted(columns: readonly ShownColumn[], available: number): SizedColumn[] | undefined {
  const widths = columns.map(fullWidth);
  const least = columns.map(leastWidth);
  // A row goes by its first column, so that one is cut no further than rows can be told apart.
  if (columns.length > 0) least[0] = tellingWidth(columns[0], least[0], available / 2);
  while (lineWidth(widths) > available) {
    let widest = -1;
    widths.forEach((width, i) => {
      if (width > least[i] && (widest < 0 || width > widths[widest])) widest = i;
    });
    if (widest < 0) return undefined;
    widths[widest]--;
  }
  return columns.map((column, i) => ({ column, width: widths[i] }));
}

function lineWidth(widths: readonly number[]): number {
  return widths.reduce((sum, width) => sum + width + 2, -2);
}

function fullWidth({ header, cells }: ShownColumn): number {
  return Math.max(displayWidth(header), ...cells.map(displayWidth));
}

function leastWidth(column: ShownColumn): number {
  return column.align === 'left' ? Math.min(MIN_TEXT_WIDTH, fullWidth(column)) : fullWidth(column);
}

/** The least width, from `least` on, at which cells that differ still do; `least` where that is beyond `most`. */
function tellingWidth(column: ShownColumn, least: number, most: number): number {
  const different = new Set(column.cells).size;
  for (let width = least; width <= most; width++)
    if (new Set(column.cells.map((cell) => cut(cell, width))).size === different) return width;
  return least;
}

function cut(text: string, width: number): string {
  if (displayWidth(text) <= width) return text;
  let kept = '';
  for (const c of text) {
    if (displayWidth(kept + c) > width - 1) break;
    kept += c;
  }
  return `${kept}…`;
}
