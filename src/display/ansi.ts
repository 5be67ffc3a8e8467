/**
 * Terminal output (streams, tracebacks) as HTML: colours and weights become spans with classes, carriage returns
 * overwrite their line as they do in a terminal, everything else that steers a terminal is dropped.
 */
import { cleanText, escapeHtml } from './escape';

interface Style {
  bold: boolean;
  dim: boolean;
  italic: boolean;
  underline: boolean;
  inverse: boolean;
  /** A class suffix (0–15) or a `#rrggbb`. */
  foreground: string | undefined;
  background: string | undefined;
}

const PLAIN: Readonly<Style> = {
  bold: false,
  dim: false,
  italic: false,
  underline: false,
  inverse: false,
  foreground: undefined,
  background: undefined,
};

// biome-ignore lint/suspicious/noControlCharactersInRegex: SGR sequences start with an escape character
const SGR = /\x1b\[([0-9;]*)m/g;

/** Escaped HTML of terminal text; the classes are `ansi-bold`, `ansi-fg-1`, `ansi-bg-4` and the like. */
export function ansiToHtml(text: string): string {
  const source = overwriteLines(text);
  let style: Style = { ...PLAIN };
  let html = '';
  let from = 0;
  for (const match of source.matchAll(SGR)) {
    html += span(source.slice(from, match.index), style);
    style = applySgr(style, match[1]);
    from = match.index + match[0].length;
  }
  return html + span(source.slice(from), style);
}

/** What is left of each line after its carriage returns: progress bars redraw themselves with them. */
function overwriteLines(text: string): string {
  return text
    .replace(/\r+\n/g, '\n')
    .split('\n')
    .map((line) => line.replace(/\r+$/, '').split('\r').pop() as string)
    .join('\n');
}

function span(text: string, style: Style): string {
  const content = escapeHtml(cleanText(text));
  if (content === '') return '';
  const [foreground, background] = style.inverse
    ? [style.background ?? 'inverse', style.foreground ?? 'inverse']
    : [style.foreground, style.background];
  const classes: string[] = [];
  const inline: string[] = [];
  for (const name of ['bold', 'dim', 'italic', 'underline'] as const) if (style[name]) classes.push(`ansi-${name}`);
  if (foreground?.startsWith('#')) inline.push(`color:${foreground}`);
  else if (foreground !== undefined) classes.push(`ansi-fg-${foreground}`);
  if (background?.startsWith('#')) inline.push(`background-color:${background}`);
  else if (background !== undefined) classes.push(`ansi-bg-${background}`);
  if (classes.length === 0 && inline.length === 0) return content;
  const classAttribute = classes.length > 0 ? ` class="${classes.join(' ')}"` : '';
  const styleAttribute = inline.length > 0 ? ` style="${inline.join(';')}"` : '';
  return `<span${classAttribute}${styleAttribute}>${content}</span>`;
}

function applySgr(before: Style, parameters: string): Style {
  const style = { ...before };
  const codes = parameters.split(';').map((code) => Number(code || 0));
  for (let i = 0; i < codes.length; i++) {
    const code = codes[i];
    if (code === 0) Object.assign(style, PLAIN);
    else if (code === 1) style.bold = true;
    else if (code === 2) style.dim = true;
    else if (code === 3) style.italic = true;
    else if (code === 4) style.underline = true;
    else if (code === 7) style.inverse = true;
    else if (code === 22) style.bold = style.dim = false;
    else if (code === 23) style.italic = false;
    else if (code === 24) style.underline = false;
    else if (code === 27) style.inverse = false;
    else if (code >= 30 && code <= 37) style.foreground = String(code - 30);
    else if (code >= 90 && code <= 97) style.foreground = String(code - 82);
    else if (code === 39) style.foreground = undefined;
    else if (code >= 40 && code <= 47) style.background = String(code - 40);
    else if (code >= 100 && code <= 107) style.background = String(code - 92);
    else if (code === 49) style.background = undefined;
    else if (code === 38 || code === 48) {
      const [color, used] = extendedColor(codes, i + 1);
      if (code === 38) style.foreground = color;
      else style.background = color;
      i += used;
    }
  }
  return style;
}

/** `5;n` (palette) or `2;r;g;b`, and how many codes that took. */
function extendedColor(codes: readonly number[], at: number): [color: string | undefined, used: number] {
  if (codes[at] === 5) return [paletteColor(codes[at + 1]), 2];
  if (codes[at] === 2) return [hex(codes[at + 1], codes[at + 2], codes[at + 3]), 4];
  return [undefined, 0];
}

/** The 256-colour palette: 16 named, a 6 × 6 × 6 cube, 24 greys. */
function paletteColor(n: number | undefined): string | undefined {
  if (n === undefined || !(n >= 0 && n <= 255)) return undefined;
  if (n < 16) return String(n);
  if (n >= 232) return hex(8 + (n - 232) * 10, 8 + (n - 232) * 10, 8 + (n - 232) * 10);
  const level = (v: number): number => (v === 0 ? 0 : 55 + v * 40);
  const cube = n - 16;
  return hex(level(Math.floor(cube / 36)), level(Math.floor(cube / 6) % 6), level(cube % 6));
}

function hex(...channels: (number | undefined)[]): string {
  return `#${channels
    .map((c) =>
      Math.min(255, Math.max(0, Math.trunc(c ?? 0)))
        .toString(16)
        .padStart(2, '0'),
    )
    .join('')}`;
}
