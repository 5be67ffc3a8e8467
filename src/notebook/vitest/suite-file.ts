/** Where the suite lies that a notebook's test file requires: in the built package, whoever loads the plugin. */
import { join } from 'node:path';
import { packageRoot } from '../kernel/package-paths';

export const suiteFile: string = join(packageRoot, 'dist', 'notebook', 'vitest', 'suite.js');
