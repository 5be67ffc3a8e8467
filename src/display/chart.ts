/**
 * A chart: one Vega-Lite specification and its text, shown as one mime bundle. Hides how it is drawn (rasterize.ts) and
 * on what (vega-theme.ts); knows nothing of what it shows.
 */
import { writeFile } from 'node:fs/promises';
import { extname } from 'node:path';
import { WarpbookError } from '../errors';
import type { MimeBundle, RenderOptions } from '../renderers';
import { svgToPng, vegaLiteToSvg } from './rasterize';
import { type ChartTheme, chartConfig, type VegaLiteSpec } from './vega-theme';

export const VEGA_LITE_MIME = 'application/vnd.vegalite.v5+json';
const VEGA_LITE_SCHEMA = 'https://vega.github.io/schema/vega-lite/v5.json';
const DEFAULT_COLUMNS = 100;

/** How a picture is drawn. */
export interface PictureOptions {
  /** Ink and background where the specification names none; default 'light'. */
  readonly theme?: ChartTheme;
  /** Pixels of a PNG per CSS pixel; default 2. */
  readonly scale?: number;
}

/** A Vega-Lite specification with its text for terminals: shows itself, or goes to a file. */
export class Chart {
  private readonly spec: VegaLiteSpec;
  private readonly text: (columns: number) => string;

  /**
   * @param spec Vega-Lite 5 with its data inline; the look of warpbook's own charts where it says nothing of its own
   * @param text what a terminal shows, at most `columns` characters wide; default: the specification's title
   */
  constructor(spec: VegaLiteSpec, text: string | ((columns: number) => string) = titleOf(spec)) {
    this.spec = { $schema: VEGA_LITE_SCHEMA, ...chartConfig(), ...spec };
    this.text = typeof text === 'string' ? () => text : text;
  }

  /** The specification: Vega-Lite 5 as plain JSON, for editors and front ends. */
  toVegaLite(): VegaLiteSpec {
    return this.spec;
  }

  toSvg(options: PictureOptions = {}): Promise<string> {
    return vegaLiteToSvg(this.spec, options.theme);
  }

  async toPng(options: PictureOptions = {}): Promise<Uint8Array> {
    return svgToPng(await this.toSvg(options), options.scale);
  }

  /** @param columns width of the terminal in characters; default 100 */
  toText(columns: number = DEFAULT_COLUMNS): string {
    return this.text(columns);
  }

  /**
   * Writes a file: `.png`, `.svg`, `.json` (Vega-Lite) or `.txt`, by the extension.
   * @throws WarpbookError INVALID_ARGUMENT for another extension
   */
  async save(path: string, options: PictureOptions = {}): Promise<void> {
    await writeFile(path, await this.encode(extname(path).toLowerCase(), path, options));
  }

  private async encode(extension: string, path: string, options: PictureOptions): Promise<string | Uint8Array> {
    switch (extension) {
      case '.png':
        return this.toPng(options);
      case '.svg':
        return this.toSvg(options);
      case '.json':
        return `${JSON.stringify(this.spec, null, 1)}\n`;
      case '.txt':
        return `${this.toText()}\n`;
      default:
        throw new WarpbookError(
          'INVALID_ARGUMENT',
          `Can't save a chart as ${path}; wanted a name ending in .png, .svg, .json or .txt.`,
        );
    }
  }

  /**
   * Vega-Lite for JupyterLab and VS Code, PNG (on a light background) for others, text for terminals. HTML would outrank
   * Vega-Lite.
   */
  async bundle(options: RenderOptions = {}): Promise<MimeBundle> {
    const png = await this.toPng();
    return {
      [VEGA_LITE_MIME]: this.spec,
      'image/png': Buffer.from(png.buffer, png.byteOffset, png.byteLength).toString('base64'),
      'text/plain': this.toText(options.columns),
    };
  }

  /** @internal The bundle without its PNG, which takes longest: for what is seen for a moment, or may not be drawn here. */
  bundleWithoutPng(options: RenderOptions = {}): MimeBundle {
    return { [VEGA_LITE_MIME]: this.spec, 'text/plain': this.toText(options.columns) };
  }
}

function titleOf(spec: VegaLiteSpec): string {
  const title = spec.title as string | { text?: unknown } | undefined;
  const text = typeof title === 'object' ? title?.text : title;
  return `[chart${text ? `: ${String(text)}` : ''}]`;
}
