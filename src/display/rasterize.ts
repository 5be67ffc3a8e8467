/**
 * Pictures without a browser: Vega-Lite → SVG by vega's headless renderer, SVG → PNG by resvg with fonts that ship with
 * warpbook, so that the same chart has the same pixels on every machine. The libraries load on first use.
 */
import { fontFile } from './packages';
import type { VegaLiteSpec } from './vega-theme';

/** Draws a specification; ARIA attributes are left out, which halves the time and the size. */
export async function vegaLiteToSvg(spec: VegaLiteSpec): Promise<string> {
  const [vega, vegaLite] = await Promise.all([import('vega'), import('vega-lite')]);
  const quiet = vega.logger(vega.Error);
  const compiled = vegaLite.compile(spec as never, { logger: quiet as never, config: { aria: false } as never });
  const view = new vega.View(vega.parse(compiled.spec), { renderer: 'none', logger: quiet });
  try {
    return await view.toSVG();
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
