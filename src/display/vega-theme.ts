/**
 * The look that all charts share: fonts, axes, an explicit light background. The background is part of the chart, so
 * that its dark text stays readable in front ends with a dark theme.
 */

import { CATEGORY_COLORS } from './palette';

/** A Vega-Lite specification as plain JSON. */
export type VegaLiteSpec = Readonly<Record<string, unknown>>;

/** Font families in the order of taste; DejaVu Sans is the one that ships with warpbook and draws the PNGs. */
const FONT = "Inter, 'Segoe UI', 'Helvetica Neue', Arial, 'DejaVu Sans', sans-serif";
/** Pixels. */
export const SUBTITLE_FONT_SIZE = 12;
const INK = '#1f2937';
const MUTED = '#4b5563';
const LINE = '#9ca3af';

/** `background`, `padding` and `config` of a specification. */
export function chartConfig(): { background: string; padding: number; config: object } {
  return {
    background: '#ffffff',
    padding: 12,
    config: {
      font: FONT,
      range: { category: CATEGORY_COLORS },
      view: { stroke: LINE, strokeWidth: 0.5 },
      title: {
        anchor: 'start',
        frame: 'group',
        fontSize: 15,
        fontWeight: 600,
        color: INK,
        offset: 12,
        subtitleFontSize: SUBTITLE_FONT_SIZE,
        subtitleColor: MUTED,
        subtitlePadding: 5,
      },
      axis: {
        labelColor: MUTED,
        labelFontSize: 11,
        titleColor: INK,
        titleFontSize: 12,
        titleFontWeight: 500,
        titlePadding: 8,
        domainColor: LINE,
        tickColor: LINE,
        gridColor: '#d1d5db',
        gridOpacity: 0.55,
        gridWidth: 0.6,
      },
      legend: {
        labelColor: MUTED,
        labelFontSize: 11,
        titleColor: INK,
        titleFontSize: 12,
        titleFontWeight: 500,
        symbolType: 'square',
      },
    },
  };
}
