/**
 * Outputs of a code cell as HTML: the richest representation that a page can show safely. Tables and static markup go
 * in from an allow-list, other HTML in a sandboxed frame, SVG as a picture (where its scripts don't run).
 */
import { ansiToHtml } from './ansi';
import { VEGA_LITE_MIME } from './chart';
import { cleanText, escapeHtml, escapeScriptJson } from './escape';
import { isBase64, type MarkdownRenderer } from './html-markdown';
import { staticMarkup } from './sanitize-html';

/** An nbformat output: stream, display_data, execute_result or error. */
export interface OutputLike {
  readonly output_type: string;
  readonly name?: string;
  readonly text?: string | readonly string[];
  readonly data?: Readonly<Record<string, unknown>>;
  readonly ename?: string;
  readonly evalue?: string;
  readonly traceback?: readonly string[];
}

/** The specifications of a page's charts, kept apart from the markup. */
export class PageCharts {
  private readonly specs: Readonly<Record<string, unknown>>[] = [];

  get isEmpty(): boolean {
    return this.specs.length === 0;
  }

  /** @returns id of the element that holds the specification */
  add(spec: Readonly<Record<string, unknown>>): string {
    // `usermeta` could set options of the embedder; the schema of the embedded version avoids a warning.
    const { usermeta: _, ...rest } = spec;
    this.specs.push({ ...rest, $schema: 'https://vega.github.io/schema/vega-lite/v6.json' });
    return `spec-${this.specs.length}`;
  }

  dataElements(): string[] {
    return this.specs.map(
      (spec, i) => `<script type="application/json" id="spec-${i + 1}">${escapeScriptJson(spec)}</script>`,
    );
  }
}

export interface OutputContext {
  readonly charts: PageCharts;
  readonly markdown: MarkdownRenderer;
}

/** HTML of one output; empty where there is nothing to show. */
export function renderOutput(output: OutputLike, page: OutputContext): string {
  switch (output.output_type) {
    case 'stream':
      return terminal(joinText(output.text), output.name === 'stderr' ? 'stream stderr' : 'stream');
    case 'error':
      return renderError(output);
    case 'display_data':
    case 'execute_result':
      return renderBundle(output.data ?? {}, page);
    default:
      return '';
  }
}

/** nbformat's multi-line strings: one string, or its lines. */
export function joinText(text: unknown): string {
  if (typeof text === 'string') return text;
  return Array.isArray(text) ? text.join('') : '';
}

function renderError(output: OutputLike): string {
  const traceback = (output.traceback ?? []).map(String).join('\n');
  const summary = [output.ename, output.evalue].filter((part) => typeof part === 'string' && part !== '').join(': ');
  return terminal(traceback.trim() === '' ? summary : traceback, 'error');
}

function terminal(text: string, kind: string): string {
  return text === '' ? '' : `<pre class="${kind}">${ansiToHtml(text.replace(/\n+$/, ''))}</pre>`;
}

type Renderer = (data: unknown, bundle: Readonly<Record<string, unknown>>, page: OutputContext) => string | undefined;

/** In the order of preference; a renderer that can't use its data returns undefined. */
const RENDERERS: readonly (readonly [mime: string, render: Renderer])[] = [
  [VEGA_LITE_MIME, renderChart],
  ['text/html', (data) => renderHtml(joinText(data))],
  ['image/png', (data, bundle) => picture('image/png', data, altText(bundle))],
  ['image/jpeg', (data, bundle) => picture('image/jpeg', data, altText(bundle))],
  ['image/gif', (data, bundle) => picture('image/gif', data, altText(bundle))],
  ['image/webp', (data, bundle) => picture('image/webp', data, altText(bundle))],
  [
    'image/svg+xml',
    (data, bundle) => picture('image/svg+xml', Buffer.from(joinText(data)).toString('base64'), altText(bundle)),
  ],
  ['text/markdown', (data, _bundle, page) => `<div class="markdown">${page.markdown(joinText(data), {})}</div>`],
  ['application/json', (data) => terminal(JSON.stringify(data, null, 2) ?? '', 'text')],
  ['text/plain', (data) => terminal(joinText(data), 'text')],
];

function renderBundle(bundle: Readonly<Record<string, unknown>>, page: OutputContext): string {
  for (const [mime, render] of RENDERERS) {
    if (!Object.hasOwn(bundle, mime)) continue;
    const html = render(bundle[mime], bundle, page);
    if (html !== undefined) return html;
  }
  const mimes = Object.keys(bundle);
  return mimes.length === 0 ? '' : terminal(`[no representation that a page can show: ${mimes.join(', ')}]`, 'text');
}

function renderChart(
  data: unknown,
  bundle: Readonly<Record<string, unknown>>,
  page: OutputContext,
): string | undefined {
  if (typeof data !== 'object' || data === null || Array.isArray(data)) return undefined;
  const fallback =
    picture('image/png', bundle['image/png'], altText(bundle)) ??
    `<pre class="text">${escapeHtml(joinText(bundle['text/plain']))}</pre>`;
  const spec = page.charts.add(data as Readonly<Record<string, unknown>>);
  return `<figure class="chart" data-spec="${spec}">${fallback}</figure>`;
}

function picture(mime: string, data: unknown, alt: string): string | undefined {
  const base64 = joinText(data);
  if (base64 === '' || !isBase64(base64)) return undefined;
  return `<img src="data:${mime};base64,${base64.replace(/\s+/g, '')}" alt="${escapeHtml(alt)}">`;
}

/** The first lines of the plain text describe a picture to those who don't see it. */
function altText(bundle: Readonly<Record<string, unknown>>): string {
  const lines = cleanText(joinText(bundle['text/plain'])).split('\n');
  return lines.slice(0, 2).join(' · ').slice(0, 200);
}

function renderHtml(html: string): string {
  const markup = staticMarkup(html);
  if (markup !== undefined) return `<div class="html">${markup}</div>`;
  return `<iframe class="html" sandbox title="HTML output" loading="lazy" srcdoc="${escapeHtml(html)}"></iframe>`;
}
