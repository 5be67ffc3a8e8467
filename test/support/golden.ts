/**
 * Pictures compared with the ones that somebody has looked at. After a deliberate change: run with UPDATE_IMAGES=1, look at
 * the images, commit them.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import pixelmatch from 'pixelmatch';
import { PNG } from 'pngjs';
import { expect } from 'vitest';
import type { Chart, PictureOptions } from '../../src/display/chart';

/** Share of pixels that may differ: rounding in the rasteriser, no more than an edge of a letter or two. */
const TOLERANCE = 0.0003;

/** Draws `chart` at one pixel a CSS pixel and compares it with `test/fixtures/images/NAME.png`. */
export async function expectGolden(
  chart: Chart,
  name: string,
  theme: PictureOptions['theme'] = 'light',
): Promise<void> {
  const golden = join(__dirname, '../fixtures/images', `${name}.png`);
  const drawn = await chart.toPng({ scale: 1, theme });
  if (process.env.UPDATE_IMAGES === '1') writeFileSync(golden, drawn);
  const want = PNG.sync.read(readFileSync(golden));
  const got = PNG.sync.read(Buffer.from(drawn));
  expect([got.width, got.height]).toEqual([want.width, want.height]);
  expect(differentShare(got, want)).toBeLessThan(TOLERANCE);
}

/** Share of pixels that differ by more than antialiasing. */
export function differentShare(a: PNG, b: PNG): number {
  return pixelmatch(a.data, b.data, undefined, a.width, a.height, { threshold: 0.1 }) / (a.width * a.height);
}
