import { describe, expect, test } from 'vitest';
import { assignColors, CATEGORY_COLORS, SERIES_COLORS } from '../../../src/display/palette';
import { contrast, leastDifference, VISIONS } from '../../support/color-vision';

describe('assignColors', () => {
  test('up to 20 categories have a colour each', () => {
    for (const count of [0, 1, 7, 20]) expect(new Set(assignColors(count, [])).size).toBe(count);
    expect(new Set(CATEGORY_COLORS).size).toBe(CATEGORY_COLORS.length);
  });

  test('beyond, categories that touch differ and colours are used evenly', () => {
    const count = 400;
    const neighbours: number[] = [];
    // A line of bars in the order of their requests, and lanes that meet requests a fixed distance away.
    for (let i = 0; i < count; i++)
      for (const step of [1, 2, 21, 42]) if (i + step < count) neighbours.push(i, i + step);
    const colors = assignColors(count, neighbours);
    for (let i = 0; i < neighbours.length; i += 2) expect(colors[neighbours[i]]).not.toBe(colors[neighbours[i + 1]]);
    const uses = new Int32Array(CATEGORY_COLORS.length);
    for (const color of colors) uses[color]++;
    expect(Math.min(...uses)).toBeGreaterThan(10);
  });
});

describe('colours under every kind of vision', () => {
  // A difference of 10 in CIE Lab is told apart at a glance; 16 is the least that Okabe and Ito's own colours have.
  test.each(VISIONS)('%s: the first seven categories, and the lines', (vision) => {
    expect(leastDifference(CATEGORY_COLORS.slice(0, 7), vision)).toBeGreaterThan(16);
    expect(leastDifference(SERIES_COLORS, vision)).toBeGreaterThan(14);
  });

  test("lines have a contrast of 3 : 1 to light and dark backgrounds, JupyterLab's dark charts among them", () => {
    for (const color of SERIES_COLORS) {
      for (const background of ['#ffffff', '#333333', '#14181f']) {
        expect(contrast(color, background)).toBeGreaterThan(3);
      }
    }
  });

  test('bars stand out from an idle lane in the dark', () => {
    for (const color of CATEGORY_COLORS) expect(contrast(color, '#2b313b')).toBeGreaterThan(1.4);
  });
});
