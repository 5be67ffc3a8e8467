/**
 * Pictures without a browser: Vega-Lite → SVG by vega's headless renderer, SVG → PNG by resvg with fonts that ship with
 * warpbook, so that the same chart has the same pixels on every machine. The libraries load on first use.
 */
import { WarpbookError } from '../errors';
import { fontFile } from './packages';
import { type ChartTheme, themeConfig, type VegaLiteSpec } from './vega-theme';

/** Draws a specification; ARIA attributes are left out, which halves the time and the size. */
export async function vegaLiteToSvg(spec: VegaLiteSpec, theme: ChartTheme = 'light'): Promise<string> {
  const [vega, vegaLite] = await Promise.all([import('vega'), import('vega-lite')]);
  const quiet = vega.logger(vega.None);
  const config = { ...themeConfig(theme), aria: false } as never;
  const compiled = vegaLite.compile(withoutTooltips(spec) as never, { logger: quiet as never, config });
  return drawVega(vega, compiled.spec);
}

/** A picture has no tooltips, and their texts for every mark take a third of the time. */
function withoutTooltips(node: unknown): unknown {
  if (Array.isArray(node)) return node.map(withoutTooltips);
  if (typeof node !== 'object' || node === null) return node;
  const entries = Object.entries(node).filter(([key]) => key !== 'tooltip');
  return Object.fromEntries(entries.map(([key, value]) => [key, DATA_KEYS.has(key) ? value : withoutTooltips(value)]));
}

/** Rows, which hold no part of the specification. */
const DATA_KEYS: ReadonlySet<string> = new Set(['data', 'datasets']);

/** Draws a specification of Vega itself. */
export async function vegaToSvg(spec: VegaLiteSpec, theme: ChartTheme = 'light'): Promise<string> {
  const vega = await import('vega');
  const { background, ...config } = themeConfig(theme);
  return drawVega(vega, { background, ...spec } as never, config as never);
}

async function drawVega(vega: typeof import('vega'), spec: import('vega').Spec, config?: object): Promise<string> {
  const runtime = vega.parse(spec, config as never);
  const problems: string[] = [];
  // Data that can't be loaded is a warning to vega; the picture would be an empty one.
  const note = (...parts: unknown[]): unknown => problems.push(parts.map(String).join(' '));
  const logger = Object.assign(vega.logger(vega.None), {
    error: note,
    warn: (...parts: unknown[]) => (/failed$/.test(String(parts[0])) ? note(...parts) : undefined),
  });
  const view = new vega.View(runtime, { renderer: 'none', logger: logger as never });
  try {
    const svg = await view.toSVG();
    if (problems.length > 0) throw new WarpbookError('INVALID_ARGUMENT', `Can't draw the chart: ${problems[0]}`);
    return svg;
  } finally {
    view.finalize();
  }
}

/**
 * @param scale pixels per CSS pixel; default 2, sharp on dense screens
 * @returns the bytes of a PNG
 */
export async function svgToPng(svg: string, scale: number = 2): Promise<Uint8Array> {
  const { Resvg } = await import('@resvg/resvg-js');
  const image = new Resvg(svg, {
    font: {
      loadSystemFonts: false,
      fontFiles: ['DejaVuSans.ttf', 'DejaVuSans-Bold.ttf'].map(fontFile),
      defaultFontFamily: 'DejaVu Sans',
      sansSerifFamily: 'DejaVu Sans',
      serifFamily: 'DejaVu Sans',
      monospaceFamily: 'DejaVu Sans',
    },
    fitTo: { mode: 'zoom', value: scale },
  });
  return image.render().asPng();
}
