/**
 * Strings from outside (trace names, labels, errors, titles) made safe to show. The one place that escapes; every
 * display goes through it. Knows no layout.
 */

const HTML_ENTITIES: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
};

/** Text for HTML and SVG, in element content and in quoted attributes alike; control characters are dropped too. */
export function escapeHtml(text: string): string {
  return cleanText(text).replace(/[&<>"']/g, (c) => HTML_ENTITIES[c]);
}

/** JSON for the content of a `<script>` element: no `<`, so no `</script>` and no `<!--`, and no line separators. */
export function escapeScriptJson(value: unknown): string {
  const json = JSON.stringify(value) ?? 'null';
  return json.replace(/[<>&\u2028\u2029]/g, (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, '0')}`);
}

// ECMA-48 sequences: CSI (colours, cursor), strings such as OSC (titles, links, clipboard) up to their terminator, and
// two-character escapes.
const ESCAPE_SEQUENCES =
  // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what this pattern is about
  /\x1b(?:\[[0-?]*[ -/]*[@-~]|[\]PX^_][^\x07\x1b\n]*(?:\x07|\x1b\\)?|[ -/]*[0-~])|\x9b[0-?]*[ -/]*[@-~]/g;
// C0 and C1 except tab and newline, invisible direction overrides, and what XML forbids (lone surrogates, U+FFFE and
// U+FFFF).
// biome-ignore lint/suspicious/noControlCharactersInRegex: see above
const UNSAFE = /[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ufffe\uffff]/g;
const LONE_SURROGATE = /[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/g;

/** Text without terminal escape sequences and control characters; newlines and tabs stay. */
export function cleanText(text: string): string {
  return text.replace(/\r\n/g, '\n').replace(ESCAPE_SEQUENCES, '').replace(UNSAFE, '').replace(LONE_SURROGATE, '');
}

/** One line of clean text, at most `maxLength` characters (then an ellipsis). */
export function cleanLabel(text: string, maxLength: number = 120): string {
  const line = cleanText(text).replace(/\s+/g, ' ').trim();
  if (line.length <= maxLength) return line;
  const points = [...line];
  return points.length <= maxLength ? line : `${points.slice(0, maxLength - 1).join('')}…`;
}

/** Columns that text takes in a terminal: combining marks 0, East Asian wide characters and emoji 2. */
export function displayWidth(text: string): number {
  let width = 0;
  for (const c of text) {
    if (/\p{M}|\u200d|\ufe0f/u.test(c)) continue;
    width += isWide(c.codePointAt(0) as number) ? 2 : 1;
  }
  return width;
}

function isWide(point: number): boolean {
  return (
    (point >= 0x1100 && point <= 0x115f) ||
    (point >= 0x2e80 && point <= 0xa4cf) ||
    (point >= 0xac00 && point <= 0xd7a3) ||
    (point >= 0xf900 && point <= 0xfaff) ||
    (point >= 0xfe30 && point <= 0xfe6f) ||
    (point >= 0xff00 && point <= 0xff60) ||
    (point >= 0xffe0 && point <= 0xffe6) ||
    (point >= 0x1f300 && point <= 0x1faff) ||
    (point >= 0x20000 && point <= 0x3fffd)
  );
}

/** Pads to `width` terminal columns. */
export function pad(text: string, width: number, align: 'left' | 'right' = 'left'): string {
  const space = ' '.repeat(Math.max(0, width - displayWidth(text)));
  return align === 'left' ? text + space : space + text;
}
