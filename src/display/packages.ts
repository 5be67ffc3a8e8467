/** Files of the packages that displays draw with (fonts, browser builds), wherever they are installed. */
import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { WarpbookError } from '../errors';

const requireHere = createRequire(__filename);

/** Folder of the file that `specifier` resolves to. */
export function folderOf(specifier: string): string {
  return dirname(requireHere.resolve(specifier));
}

/**
 * A font that ships with warpbook: `DejaVuSans.ttf`. Throws `FILE_NOT_FOUND` where it is missing: pictures would silently be without
 * a word then.
 */
export function fontFile(name: string): string {
  const path = join(folderOf('dejavu-fonts-ttf/package.json'), 'ttf', name);
  if (existsSync(path)) return path;
  throw new WarpbookError(
    'FILE_NOT_FOUND',
    `Got no font at ${path}, which charts are drawn with; install warpbook again.`,
  );
}

/** The browser builds that draw an interactive chart, in the order in which a page loads them. */
export function vegaBrowserBuilds(): string[] {
  // Their packages export the module alone; the browser build lies beside it.
  return [
    join(folderOf('vega'), 'vega.min.js'),
    join(folderOf('vega-lite'), 'vega-lite.min.js'),
    join(folderOf('vega-embed'), 'vega-embed.min.js'),
  ];
}

/** cli-progress, loaded when a bar is first drawn. */
export function loadCliProgress(): typeof import('cli-progress') {
  return requireHere('cli-progress');
}
