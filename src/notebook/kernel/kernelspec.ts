/**
 * The kernelspec: how Jupyter finds and starts this kernel. Written by hand, so that installing needs no Python. Knows
 * Jupyter's folders and nothing of the kernel but its entry.
 *
 * https://docs.jupyter.org/en/latest/use/jupyter-directories.html
 */
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { WarpbookError } from '../../errors';
import { kernelMain } from './package-paths';

export const KERNEL_NAME = 'warpbook';

/** Where Jupyter looks: the user's own data folder, or that of an installation (`/usr/local`, a virtual environment). */
export function kernelspecFolder(prefix?: string): string {
  const data = prefix === undefined ? userDataFolder() : join(prefix, 'share', 'jupyter');
  return join(data, 'kernels', KERNEL_NAME);
}

/**
 * Writes kernel.json; an earlier one is replaced.
 *
 * @returns its folder.
 * @throws WarpbookError `NATIVE` where the package isn't built.
 */
export function installKernelspec(prefix?: string): string {
  if (!existsSync(kernelMain)) {
    throw new WarpbookError('NATIVE', `got no ${kernelMain}; wanted a built package. Run: npm run build`);
  }
  const folder = kernelspecFolder(prefix);
  const spec = {
    argv: [process.execPath, kernelMain, '--connection-file', '{connection_file}'],
    display_name: 'TypeScript (warpbook)',
    language: 'typescript',
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
export function uninstallKernelspec(prefix?: string): string {
  const folder = kernelspecFolder(prefix);
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
