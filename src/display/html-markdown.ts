/** Markdown and source code as HTML for a page. HTML in markdown is shown as text. Libraries load on use. */
import { escapeHtml } from './escape';

/** Escaped HTML of source code with spans of highlight.js classes. */
export type Highlighter = (source: string, language: string) => string;

/** Escaped HTML of a markdown cell; `attachments` are the cell's own pictures. */
export type MarkdownRenderer = (source: string, attachments: Readonly<Record<string, unknown>>) => string;

export async function loadHighlighter(): Promise<Highlighter> {
  const { default: highlight } = await import('highlight.js/lib/common');
  return (source, language) => {
    if (!highlight.getLanguage(language)) return escapeHtml(source);
    return highlight.highlight(source, { language, ignoreIllegals: true }).value;
  };
}

export async function loadMarkdown(highlight: Highlighter): Promise<MarkdownRenderer> {
  const { default: MarkdownIt } = await import('markdown-it');
  const markdown = new MarkdownIt({ html: false, linkify: true, highlight });
  const defaultLink =
    markdown.renderer.rules.link_open ?? ((tokens, i, options, _env, self) => self.renderToken(tokens, i, options));
  markdown.renderer.rules.link_open = (tokens, i, options, env, self) => {
    tokens[i].attrSet('rel', 'noopener noreferrer');
    return defaultLink(tokens, i, options, env, self);
  };
  const defaultImage = markdown.renderer.rules.image;
  markdown.renderer.rules.image = (tokens, i, options, env, self) => {
    const source = attachedPicture(tokens[i].attrGet('src') ?? '', env as Readonly<Record<string, unknown>>);
    if (source !== undefined) tokens[i].attrSet('src', source);
    return defaultImage ? defaultImage(tokens, i, options, env, self) : self.renderToken(tokens, i, options);
  };
  return (source, attachments) => markdown.render(source, { ...attachments });
}

/** `attachment:name.png` → a data URI, where the cell has a bitmap of that name. */
function attachedPicture(source: string, attachments: Readonly<Record<string, unknown>>): string | undefined {
  if (!source.startsWith('attachment:')) return undefined;
  const name = decodeURIComponentSafely(source.slice('attachment:'.length));
  const bundle = Object.hasOwn(attachments, name) ? (attachments[name] as Record<string, unknown>) : {};
  for (const mime of ['image/png', 'image/jpeg', 'image/gif', 'image/webp']) {
    const data = bundle[mime];
    if (typeof data === 'string' && isBase64(data)) return `data:${mime};base64,${data.replace(/\s+/g, '')}`;
  }
  return undefined;
}

/** True for base64 text, with the line breaks that nbformat allows. */
export function isBase64(text: string): boolean {
  return /^[A-Za-z0-9+/\s]*={0,2}\s*$/.test(text);
}

function decodeURIComponentSafely(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
