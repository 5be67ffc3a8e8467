/**
 * Which HTML outputs may go into a page as they are: static tables and text, such as warpbook's own. The markup is read
 * and written again from an allow-list, so nothing that this file doesn't name reaches the page. Knows no notebook.
 */
import { cleanText, escapeHtml } from './escape';

const TAGS: ReadonlySet<string> = new Set([
  'table',
  'caption',
  'colgroup',
  'col',
  'thead',
  'tbody',
  'tfoot',
  'tr',
  'th',
  'td',
  'div',
  'span',
  'p',
  'pre',
  'code',
  'kbd',
  'b',
  'strong',
  'i',
  'em',
  'u',
  's',
  'small',
  'sub',
  'sup',
  'br',
  'hr',
  'ul',
  'ol',
  'li',
  'dl',
  'dt',
  'dd',
  'blockquote',
  'h1',
  'h2',
  'h3',
  'h4',
  'h5',
  'h6',
  'details',
  'summary',
  'progress',
]);
const VOID_TAGS: ReadonlySet<string> = new Set(['br', 'hr', 'col']);
const NUMERIC_ATTRIBUTES: ReadonlySet<string> = new Set(['colspan', 'rowspan', 'border', 'value', 'max']);
const STYLE_PROPERTY = /^(text-align):(left|right|center)$/;

const TOKEN =
  /<!--[\s\S]*?-->|<(\/?)([a-z][a-z0-9]*)((?:\s+[^\s=<>"'/]+(?:\s*=\s*(?:"[^"]*"|'[^']*'|[^\s"'=<>`]+))?)*)\s*\/?>/gi;
const ATTRIBUTE = /([^\s=<>"'/]+)(?:\s*=\s*(?:"([^"]*)"|'([^']*)'|([^\s"'=<>`]+)))?/g;
const ENTITY = /^&(?:amp|lt|gt|quot|apos|nbsp|#39|#[0-9]{1,7}|#x[0-9a-fA-F]{1,6});$/;

/**
 * The markup rewritten from the allow-list, or undefined where something in it isn't on the list (scripts, styles,
 * links, images, unknown tags, stray `<`), so that the caller can isolate the whole instead.
 */
export function staticMarkup(html: string): string | undefined {
  let output = '';
  let from = 0;
  const open: string[] = [];
  for (const match of html.matchAll(TOKEN)) {
    const text = staticText(html.slice(from, match.index));
    if (text === undefined) return undefined;
    output += text;
    from = match.index + match[0].length;
    if (match[2] === undefined) continue;
    const tag = match[2].toLowerCase();
    if (!TAGS.has(tag)) return undefined;
    if (match[1] === '/') {
      if (open.pop() !== tag) return undefined;
      output += `</${tag}>`;
    } else {
      output += `<${tag}${staticAttributes(match[3] ?? '')}>`;
      if (!VOID_TAGS.has(tag)) open.push(tag);
    }
  }
  const rest = staticText(html.slice(from));
  return rest === undefined || open.length > 0 ? undefined : output + rest;
}

/** Text between tags, its entities kept. A `<` here opened something that isn't a plain tag. */
function staticText(text: string): string | undefined {
  if (text.includes('<')) return undefined;
  let output = '';
  for (const part of cleanText(text).split(/(&[^&;\s]{1,10};)/)) output += ENTITY.test(part) ? part : escapeHtml(part);
  return output;
}

/** Spans and alignment stay; classes, ids, other styles and handlers go. */
function staticAttributes(source: string): string {
  let output = '';
  for (const [, name, doubleQuoted, singleQuoted, bare] of source.matchAll(ATTRIBUTE)) {
    const value = (doubleQuoted ?? singleQuoted ?? bare ?? '').trim();
    const key = name.toLowerCase();
    if (NUMERIC_ATTRIBUTES.has(key) && /^[0-9]{1,4}$/.test(value)) output += ` ${key}="${value}"`;
    if (key === 'align' && /^(left|right|center)$/.test(value)) output += ` style="text-align:${value}"`;
    if (key === 'style') {
      const kept = value
        .split(';')
        .map((p) => p.replace(/\s+/g, ''))
        .filter((p) => STYLE_PROPERTY.test(p));
      if (kept.length > 0) output += ` style="${kept.join(';')}"`;
    }
  }
  return output;
}
