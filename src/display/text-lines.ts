/** Lines of plain text: breaking a list of facts, laying columns out. Knows no markup. */
import { formatCount } from '../units';
import { pad } from './escape';

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
