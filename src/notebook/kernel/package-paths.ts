/** Where this very package lies on disk, from src and from dist alike. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';

/** Folder of package.json. */
export const packageRoot: string = join(__dirname, '..', '..', '..');
export const packageName = 'warpbook';
/** What `import … from 'warpbook'` loads in a cell. */
export const packageEntry: string = join(packageRoot, 'dist', 'index.js');
export const packageTypes: string = join(packageRoot, 'dist', 'index.d.ts');
/** What a kernelspec and the runner start. */
export const kernelMain: string = join(packageRoot, 'dist', 'notebook', 'kernel', 'main.js');

export function packageVersion(): string {
  return JSON.parse(readFileSync(join(packageRoot, 'package.json'), 'utf8')).version;
}
