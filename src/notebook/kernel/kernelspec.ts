/**
 * The kernelspec: how Jupyter finds and starts this kernel. Written by hand, so that installing needs no Python. Knows
 * Jupyter's folders and nothing of the kernel but its entry.
 *
 * https://docs.jupyter.org/en/latest/use/jupyter-directories.html
 */
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join, resolve } from 'node:path';
import { WarpbookError } from '../../errors';
import { kernelMain } from './package-paths';

export const KERNEL_NAME = 'warpbook';

/** Where a kernelspec goes. */
export type KernelspecPlace =
  /** The user's own Jupyter folder. */
  | { readonly user: true }
  /** An installation, such as `/usr/local` or a virtual environment. */
  | { readonly prefix: string }
  /** A project's folder: found by a Jupyter whose `JUPYTER_PATH` names its `share/jupyter`; leaves the machine alone. */
  | { readonly here: string };

/** The folder of this kernel's specification in that place. */
export function kernelspecFolder(place: KernelspecPlace): string {
  return join(dataFolder(place), 'kernels', KERNEL_NAME);
}

/** The Jupyter data folder of that place, as `JUPYTER_PATH` would name it. */
export function dataFolder(place: KernelspecPlace): string {
  if ('here' in place) return resolve(place.here, '.jupyter', 'share', 'jupyter');
  return 'prefix' in place ? join(place.prefix, 'share', 'jupyter') : userDataFolder();
}

/**
 * Writes kernel.json; an earlier one is replaced.
 *
 * @returns its folder.
 * @throws WarpbookError `NATIVE` where the package isn't built.
 */
export function installKernelspec(place: KernelspecPlace): string {
  if (!existsSync(kernelMain)) {
    throw new WarpbookError('NATIVE', `got no ${kernelMain}; wanted a built package. Run: npm run build`);
  }
  const folder = kernelspecFolder(place);
  const spec = {
    argv: [process.execPath, kernelMain, '--connection-file', '{connection_file}'],
    display_name: 'TypeScript (warpbook)',
    language: 'typescript',
    // A signal reaches a busy kernel only in its first synchronous stretch.
    interrupt_mode: 'message',
    metadata: { debugger: false },
  };
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, 'kernel.json'), `${JSON.stringify(spec, undefined, 2)}\n`);
  return folder;
}

/**
 * Removes what {@link installKernelspec} wrote.
 *
 * @throws WarpbookError `FILE_NOT_FOUND` if there is none, `FILE_FORMAT` if the folder holds someone else's kernel.
 */
export function uninstallKernelspec(place: KernelspecPlace): string {
  const folder = kernelspecFolder(place);
  const file = join(folder, 'kernel.json');
  if (!existsSync(file)) {
    throw new WarpbookError(
      'FILE_NOT_FOUND',
      `got no kernelspec at ${folder}; wanted one that 'warpbook install' wrote.`,
    );
  }
  if (!readFileSync(file, 'utf8').includes(join('notebook', 'kernel', 'main.js'))) {
    throw new WarpbookError('FILE_FORMAT', `${file} starts another kernel; wanted one of warpbook. Remove it by hand.`);
  }
  rmSync(folder, { recursive: true });
  return folder;
}

function userDataFolder(): string {
  const { JUPYTER_DATA_DIR, XDG_DATA_HOME, APPDATA } = process.env;
  if (JUPYTER_DATA_DIR) return JUPYTER_DATA_DIR;
  if (process.platform === 'darwin') return join(homedir(), 'Library', 'Jupyter');
  if (process.platform === 'win32') return join(APPDATA ?? join(homedir(), 'AppData', 'Roaming'), 'jupyter');
  return join(XDG_DATA_HOME || join(homedir(), '.local', 'share'), 'jupyter');
}
