/** Finds and loads the compiled addon, once and only when a device is opened. */
import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { WarpbookError } from '../errors';
import type { Addon } from './addon';

// Both src/native and dist/native lie two levels below the package's root.
const ADDON_PATH = join(__dirname, '..', '..', 'build', 'Release', 'warpbook.node');

let loaded: Addon | undefined;

/** The addon. Throws `NATIVE` with what to run where it is missing or was built for another machine. */
export function loadAddon(): Addon {
  if (loaded) return loaded;
  if (!existsSync(ADDON_PATH)) {
    throw new WarpbookError(
      'NATIVE',
      `Got no compiled addon at ${ADDON_PATH}; wanted one. Run 'npm run build:native' (needs cmake and a C++17 compiler).`,
    );
  }
  let addon: Addon;
  try {
    addon = createRequire(__filename)(ADDON_PATH) as Addon;
  } catch (cause) {
    throw new WarpbookError(
      'NATIVE',
      `The addon at ${ADDON_PATH} does not load: ${(cause as Error).message}. Run 'npm run build:native' again on this machine.`,
      {},
      { cause },
    );
  }
  addon.set_error_class(WarpbookError);
  loaded = addon;
  return addon;
}
