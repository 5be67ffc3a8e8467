/** A short list of named facts about one object, with tables below, as HTML and text: devices, caches, plans. */
import type { MimeBundle, RenderOptions } from '../renderers';
import { cleanLabel, escapeHtml } from './escape';
import { captionHtml, type Table } from './table';
import { alignPairs } from './text-lines';

export type Facts = readonly (readonly [name: string, value: string])[];

/** A citation is longer than a label. */
const MAX_VALUE_LENGTH = 240;

export function factsBundle(title: string, facts: Facts, tables: readonly Table[], options: RenderOptions): MimeBundle {
  const clean = facts.map(([name, value]) => [cleanLabel(name), cleanLabel(value, MAX_VALUE_LENGTH)] as const);
  const cell = (tag: 'th' | 'td', content: string): string =>
    `<${tag} style="text-align:left">${escapeHtml(content)}</${tag}>`;
  const rows = clean.map(([name, value]) => `<tr>${cell('th', name)}${cell('td', value)}</tr>`);
  const caption = captionHtml(title);
  const list = `<table>${caption}<tbody>\n${rows.join('\n')}\n</tbody></table>`;
  const text = [`${cleanLabel(title)}\n${alignPairs(clean)}`, ...tables.map((table) => table.toText(options.columns))];
  return {
    'text/html': [list, ...tables.map((table) => table.toHtml())].join('\n'),
    'text/plain': text.join('\n\n'),
  };
}

/** A share as a bar of ten cells: `███▌······ 35.0 %`. */
export function shareBar(used: number, total: number): string {
  const share = total > 0 ? Math.min(1, used / total) : 0;
  const halves = Math.round(share * 20);
  const bar = '█'.repeat(Math.floor(halves / 2)) + (halves % 2 === 1 ? '▌' : '');
  return `${bar.padEnd(10, '·')} ${(share * 100).toFixed(1)} %`;
}
