/** Lines of plain text: breaking a list of facts, laying columns out. Knows no markup. */
import { formatCount } from '../units';
import { displayWidth, pad } from './escape';

/** Breaks `a · b · c` at its separators into lines of at most `columns` characters, where the parts allow it. */
export function wrapParts(text: string, columns: number): string[] {
  const lines: string[] = [];
  for (const part of text.split(' · ')) {
    const last = lines[lines.length - 1];
    if (last !== undefined && last.length + 3 + part.length <= columns) lines[lines.length - 1] = `${last} · ${part}`;
    else lines.push(part);
  }
  return lines;
}

/** Rows of `name  value`, the names padded to one width. */
export function alignPairs(pairs: readonly (readonly [name: string, value: string])[]): string {
  const width = Math.max(0, ...pairs.map(([name]) => name.length));
  return pairs.map(([name, value]) => `${pad(name, width)}  ${value}`.trimEnd()).join('\n');
}

/** `1 merge`, `2,384 tiles`. */
export function countOf(count: number, noun: string): string {
  return `${formatCount(count)} ${noun}${count === 1 ? '' : 's'}`;
}

const EIGHTHS = ' ▏▎▍▌▋▊▉';

/** Horizontal bars: `label  ███▌ text`, at most `columns` characters wide. */
export function barLines(
  bars: readonly { readonly label: string; readonly value: number; readonly text: string }[],
  columns: number,
): string[] {
  const labelWidth = Math.max(0, ...bars.map(({ label }) => displayWidth(label)));
  const textWidth = Math.max(0, ...bars.map(({ text }) => displayWidth(text)));
  const room = Math.max(8, Math.min(60, columns - labelWidth - textWidth - 4));
  const top = Math.max(Number.MIN_VALUE, ...bars.map(({ value }) => value));
  return bars.map(({ label, value, text }) => {
    const eighths = value > 0 ? Math.max(1, Math.round((value / top) * room * 8)) : 0;
    const bar = '█'.repeat(Math.floor(eighths / 8)) + EIGHTHS[eighths % 8].trim();
    return `${pad(label, labelWidth, 'right')}  ${bar} ${text}`;
  });
}

const BLOCKS = '▁▂▃▄▅▆▇█';

/** Values in their order as a line of blocks from 0 to the largest; of more than `width`, the largest of neighbours. */
export function sparkline(values: ArrayLike<number>, width: number): string {
  const count = Math.min(width, values.length);
  const tops = Array.from({ length: count }, (_, i) => {
    const from = Math.floor((i * values.length) / count);
    const to = Math.floor(((i + 1) * values.length) / count);
    let top = 0;
    for (let v = from; v < to; v++) top = Math.max(top, values[v]);
    return top;
  });
  const most = Math.max(Number.MIN_VALUE, ...tops);
  return tops.map((top) => BLOCKS[Math.min(7, Math.floor((top / most) * 8))]).join('');
}
