/**
 * Colours of charts: categories that colour-blind readers can tell apart, and their assignment to requests so that bars
 * that touch differ. Knows no chart.
 */

// The eight colours of Okabe and Ito ("Color Universal Design", 2008) without black, ordered so that the first few
// differ most; then the same hues darkened and lightened, which differ in lightness for every kind of vision.
const BASE = ['#0072b2', '#e69f00', '#009e73', '#cc79a7', '#56b4e9', '#d55e00', '#f0e442'] as const;
const DARK = ['#154d6e', '#7f5f10', '#0b6650', '#83456a', '#2b6f99', '#80400f', '#8c8419'] as const;
const LIGHT = ['#7fb8d8', '#f4d48c', '#86cfba', '#e8c4d8', '#b5def6', '#efb48a', '#f8f3a8'] as const;

/** The categorical colours, most distinct first. */
export const CATEGORY_COLORS: readonly string[] = [...BASE, ...DARK, ...LIGHT];

/**
 * Colours of lines and points, which stand on the background: the same hues at a lightness with a contrast of 3 : 1 and
 * more to white and to the grey of dark themes. Few, so that all kinds of vision tell them apart; a shape or a dash goes
 * with each.
 */
export const SERIES_COLORS: readonly string[] = ['#3a87d9', '#dd7300', '#009e73', '#c46cb0'];

/** Colour of what belongs to no single category (a merge over several requests). */
export const NEUTRAL_COLOR = '#6b7280';

/**
 * Shares from 0 to 1. Cividis (Nuñez, Anderton and Renslow 2018) rises evenly in lightness, with and without
 * colour-blindness, and needs no background.
 */
export const SHARE_SCALE = { scheme: 'cividis' } as const;

/** Up to this many categories each have a colour of their own, and a legend is of use. */
export const MAX_LEGEND_ENTRIES = 20;

/**
 * Colours for `count` categories. Up to 20 all differ; beyond that colours repeat, and each category takes the colour
 * that its neighbours use least.
 * @param neighbours pairs of categories that touch in the picture, flat: [a0, b0, a1, b1, …]; a pair may repeat
 * @returns index into {@link CATEGORY_COLORS} of each category
 */
export function assignColors(count: number, neighbours: ArrayLike<number>): Int32Array {
  const numColors = CATEGORY_COLORS.length;
  if (count <= MAX_LEGEND_ENTRIES) return Int32Array.from({ length: count }, (_, i) => i);

  const adjacent: Map<number, number>[] = Array.from({ length: count }, () => new Map());
  for (let i = 0; i + 1 < neighbours.length; i += 2) {
    const a = neighbours[i];
    const b = neighbours[i + 1];
    if (a === b) continue;
    adjacent[a].set(b, (adjacent[a].get(b) ?? 0) + 1);
    adjacent[b].set(a, (adjacent[b].get(a) ?? 0) + 1);
  }
  const colors = new Int32Array(count).fill(-1);
  const used = new Int32Array(numColors);
  const conflicts = new Float64Array(numColors);
  for (let category = 0; category < count; category++) {
    conflicts.fill(0);
    for (const [other, times] of adjacent[category]) if (colors[other] >= 0) conflicts[colors[other]] += times;
    let best = 0;
    for (let c = 1; c < numColors; c++) {
      if (conflicts[c] < conflicts[best] || (conflicts[c] === conflicts[best] && used[c] < used[best])) best = c;
    }
    colors[category] = best;
    used[best]++;
  }
  return colors;
}
