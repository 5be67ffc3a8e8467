import { describe, expect, test } from 'vitest';
import { assignColors, CATEGORY_COLORS } from '../../../src/display/palette';

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
