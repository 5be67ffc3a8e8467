/**
 * An executed notebook as one HTML page that needs nothing else: styles, pictures and the chart library inside. Charts
 * are interactive, and pictures where scripts don't run.
 *
 * A notebook is foreign: everything in it is escaped, rebuilt from an allow-list or isolated (html-output.ts), and the
 * page's content security policy allows no script but its own. Knows no kernel and no file.
 */
import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { escapeHtml } from './escape';
import { type Highlighter, loadHighlighter, loadMarkdown, type MarkdownRenderer } from './html-markdown';
import { joinText, type OutputLike, PageCharts, renderOutput } from './html-output';
import { PAGE_STYLE, PAPER } from './html-style';
import { vegaBrowserBuilds } from './packages';
import { type ChartTheme, themeConfig } from './vega-theme';

/** The part of an nbformat 4 notebook that a page shows. */
export interface NotebookLike {
  readonly cells: readonly NotebookCellLike[];
  readonly metadata?: Readonly<Record<string, unknown>>;
}

export interface NotebookCellLike {
  readonly cell_type: string;
  readonly source: string | readonly string[];
  readonly outputs?: readonly object[];
  readonly execution_count?: number | null;
  readonly metadata?: Readonly<Record<string, unknown>>;
  /** Pictures pasted into a markdown cell: name → mime bundle. */
  readonly attachments?: Readonly<Record<string, unknown>>;
}

export interface NotebookHtmlOptions {
  /** Title of the page; default: the first heading, else "Notebook". */
  readonly title?: string;
}

/** The page of a notebook; outputs as they are stored in it. */
export async function renderNotebookHtml(notebook: NotebookLike, options: NotebookHtmlOptions = {}): Promise<string> {
  const highlight = await loadHighlighter();
  const markdown = await loadMarkdown(highlight);
  const charts = new PageCharts();
  const language = languageOf(notebook);
  const sections = notebook.cells.map((cell) => renderCell(cell, { highlight, markdown, charts, language }));
  const scripts = charts.isEmpty ? [] : await chartScripts();
  return [
    '<!doctype html>',
    '<html lang="en">',
    '<head>',
    '<meta charset="utf-8">',
    `<meta http-equiv="Content-Security-Policy" content="${escapeHtml(contentPolicy(scripts))}">`,
    '<meta name="viewport" content="width=device-width, initial-scale=1">',
    '<meta name="color-scheme" content="light dark">',
    '<meta name="generator" content="warpbook">',
    `<title>${escapeHtml(options.title ?? firstHeading(notebook) ?? 'Notebook')}</title>`,
    `<style>${PAGE_STYLE}</style>`,
    '</head>',
    '<body>',
    '<main>',
    ...sections,
    '</main>',
    ...charts.dataElements(),
    ...scripts.map((script) => `<script>${script}</script>`),
    '</body>',
    '</html>',
    '',
  ].join('\n');
}

interface PageContext {
  readonly highlight: Highlighter;
  readonly markdown: MarkdownRenderer;
  readonly charts: PageCharts;
  readonly language: string;
}

function renderCell(cell: NotebookCellLike, page: PageContext): string {
  const source = joinText(cell.source);
  if (cell.cell_type === 'markdown') {
    return `<section class="markdown">${page.markdown(source, cell.attachments ?? {})}</section>`;
  }
  if (cell.cell_type !== 'code') {
    return source.trim() === '' ? '' : `<section class="raw"><pre>${escapeHtml(source)}</pre></section>`;
  }
  const outputs = (cell.outputs ?? [])
    .map((output) => renderOutput(output as OutputLike, page))
    .filter((html) => html !== '');
  if (source.trim() === '' && outputs.length === 0) return '';
  const count = typeof cell.execution_count === 'number' ? String(cell.execution_count) : '';
  const prompt = `<span class="count" aria-hidden="true">${count}</span>`;
  const highlighted = page.highlight(source, page.language);
  const input =
    isSourceHidden(cell) || source.trim() === ''
      ? ''
      : `<div class="input">${prompt}<pre><code>${highlighted}</code></pre></div>`;
  const shown = outputs.length > 0 ? `<div class="outputs">${outputs.join('\n')}</div>` : '';
  return `<section class="code">${input}${shown}</section>`;
}

function isSourceHidden(cell: NotebookCellLike): boolean {
  return (cell.metadata?.jupyter as { source_hidden?: unknown } | undefined)?.source_hidden === true;
}

function languageOf(notebook: NotebookLike): string {
  const info = notebook.metadata?.language_info as { name?: unknown } | undefined;
  return typeof info?.name === 'string' ? info.name : 'typescript';
}

function firstHeading(notebook: NotebookLike): string | undefined {
  for (const cell of notebook.cells) {
    if (cell.cell_type !== 'markdown') continue;
    const heading = /^#{1,2}\s+(.+?)\s*#*\s*$/m.exec(joinText(cell.source));
    if (heading) return heading[1].replace(/[`*_]/g, '');
  }
  return undefined;
}

/** A theme of charts on the page's own background. */
function pageTheme(theme: ChartTheme): object {
  return { ...themeConfig(theme), background: PAPER[theme] };
}

/**
 * Replaces each picture by the chart it shows, in the colours of the reader's theme, also when that changes; where that
 * fails the picture stays.
 */
const EMBED_CHARTS = `
const themes = ${JSON.stringify({ light: pageTheme('light'), dark: pageTheme('dark') })};
const dark = matchMedia('(prefers-color-scheme: dark)');
const actions = { export: true, source: false, compiled: false, editor: false };
const charts = [...document.querySelectorAll('figure.chart')].map((holder) => {
  const text = document.getElementById(holder.dataset.spec).textContent;
  const spec = JSON.parse(text);
  const target = document.createElement('div');
  const picture = holder.firstElementChild;
  holder.appendChild(target);
  let shown;
  return (theme) => vegaEmbed(target, spec, { ast: true, renderer: 'canvas', actions, config: themes[theme] }).then(
    (result) => {
      if (shown) shown.finalize();
      shown = result;
      picture.hidden = true;
      holder.classList.add('live');
      if (text.includes('"bind":"scales"')) holder.classList.add('zooms');
    },
    (error) => { target.remove(); console.error(error); },
  );
});
const draw = (theme) => charts.forEach((chart) => chart(theme));
draw(dark.matches ? 'dark' : 'light');
dark.addEventListener('change', (event) => draw(event.matches ? 'dark' : 'light'));
addEventListener('beforeprint', () => draw('light'));
addEventListener('afterprint', () => draw(dark.matches ? 'dark' : 'light'));
`;

async function chartScripts(): Promise<string[]> {
  const builds = await Promise.all(vegaBrowserBuilds().map((file) => readFile(file, 'utf8')));
  return [...builds, EMBED_CHARTS].map((source) =>
    source.replace(/<\/script/gi, '<\\/script').replace(/<!--/g, '<\\!--'),
  );
}

/** Only these very scripts run; nothing is fetched but pictures that a markdown cell links to. */
function contentPolicy(scripts: readonly string[]): string {
  const hashes = scripts.map((script) => `'sha256-${createHash('sha256').update(script).digest('base64')}'`);
  return [
    "default-src 'none'",
    "style-src 'unsafe-inline'",
    'img-src data: blob: https:',
    "base-uri 'none'",
    "form-action 'none'",
    `script-src ${hashes.length > 0 ? hashes.join(' ') : "'none'"}`,
  ].join('; ');
}
