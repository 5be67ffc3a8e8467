/**
 * The look that all charts share. A specification holds fonts and sizes alone; ink and background are the theme's, which
 * is whoever draws: a front end with its own (JupyterLab has a dark one), or warpbook for its pages and pictures.
 */
import { CATEGORY_COLORS } from './palette';
import { wrapParts } from './text-lines';

/** A Vega-Lite specification as plain JSON. */
export type VegaLiteSpec = Readonly<Record<string, unknown>>;

/** What a chart is drawn on. */
export type ChartTheme = 'light' | 'dark';

/** Font families in the order of taste; DejaVu Sans is the one that ships with warpbook and draws the PNGs. */
const FONT = "Inter, 'Segoe UI', 'Helvetica Neue', Arial, 'DejaVu Sans', sans-serif";
/** Pixels. */
const SUBTITLE_FONT_SIZE = 12;

interface Inks {
  readonly background: string;
  readonly ink: string;
  readonly muted: string;
  readonly line: string;
  readonly grid: string;
}

const INKS: Readonly<Record<ChartTheme, Inks>> = {
  light: { background: '#ffffff', ink: '#1f2937', muted: '#4b5563', line: '#9ca3af', grid: '#d1d5db' },
  dark: { background: '#14181f', ink: '#e6edf3', muted: '#aab4c0', line: '#657080', grid: '#3a4452' },
};

/**
 * Marks that stand for no category (idle lanes, outlines, guides): greys that can be told from a light and from a dark
 * background.
 */
export const LANE = { color: '#8796ab', opacity: 0.2 } as const;
export const GUIDE = '#7b8494';

/**
 * Ink of text inside a plot, as a property of a mark. Themes colour axes, titles and legends but no text marks; the signal
 * `background` says what the text stands on.
 */
export const TEXT_INK: object = { expr: "luminance(background) < 0.3 ? '#c3cbd5' : '#4b5563'" };

/** `padding` and `config` of a specification, without a colour that belongs to a theme. */
export function chartConfig(): { padding: number; config: object } {
  return {
    padding: 12,
    config: {
      font: FONT,
      range: { category: CATEGORY_COLORS },
      view: { strokeWidth: 0.5 },
      title: {
        anchor: 'start',
        frame: 'group',
        fontSize: 15,
        fontWeight: 600,
        offset: 12,
        subtitleFontSize: SUBTITLE_FONT_SIZE,
        subtitlePadding: 5,
      },
      axis: {
        labelFontSize: 11,
        titleFontSize: 12,
        titleFontWeight: 500,
        titlePadding: 8,
        gridOpacity: 0.55,
        gridWidth: 0.6,
      },
      legend: { labelFontSize: 11, titleFontSize: 12, titleFontWeight: 500, symbolType: 'square' },
      header: { labelFontSize: 12, titleFontSize: 12 },
    },
  };
}

/** Lines that fit the chart: vega makes the plot narrower where a title is wider, by this estimate of a letter. */
export function subtitleLines(text: string, width: number): string[] {
  const maxLength = Math.max(20, Math.floor((width - 60) / (0.62 * SUBTITLE_FONT_SIZE)));
  return wrapParts(text, maxLength);
}

/** The colours of a theme as a configuration, for specifications that name none of their own. */
export function themeConfig(theme: ChartTheme): Readonly<Record<string, unknown>> {
  const { background, ink, muted, line, grid } = INKS[theme];
  return {
    background,
    view: { stroke: line },
    title: { color: ink, subtitleColor: muted },
    style: { 'guide-label': { fill: muted }, 'guide-title': { fill: ink } },
    axis: { domainColor: line, tickColor: line, gridColor: grid },
    legend: { labelColor: muted, titleColor: ink },
    header: { labelColor: muted, titleColor: ink },
  };
}
