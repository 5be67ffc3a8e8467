/**
 * `warpbook/vitest`: notebooks as Vitest's test files, and notebooks as modules in other tests. An ES module, since Vitest
 * can't be required. Hides how a notebook's text becomes a test; what a cell's test does is in suite.ts.
 *
 * ```ts
 * // vitest.config.ts
 * import { notebooks } from 'warpbook/vitest';
 * export default defineConfig({ plugins: [notebooks({ include: ['notebooks/*.ipynb'] })] });
 * ```
 */
import type { Plugin } from 'vitest/config';
import { type NotebookTestOptions, optionsSource } from './options.js';
import type { OpenNotebookOptions, RunningNotebook } from './running-notebook.js';
import { suiteFile } from './suite-file.js';

export type { NotebookTestOptions, Sanitizer } from './options.js';
export type { OpenNotebookOptions, RunningNotebook } from './running-notebook.js';

/** Vitest's own default, which a plugin that adds to an unset `include` would drop. */
const VITEST_INCLUDE = '**/*.{test,spec}.?(c|m)[jt]s?(x)';

/** A Vite plugin that makes each notebook a test file, and each of its code cells a test. */
export function notebooks(options: NotebookTestOptions = {}): Plugin {
  const { include = ['**/*.ipynb'] } = options;
  return {
    name: 'warpbook-notebooks',
    enforce: 'pre',
    config(config) {
      const { test } = config as { test?: { include?: readonly string[] } };
      // Lists are appended to the user's own.
      return { test: { include: test?.include ? [...include] : [VITEST_INCLUDE, ...include] } } as object;
    },
    transform(_, id) {
      const [file] = id.split('?');
      if (!file.endsWith('.ipynb')) return undefined;
      // Required past Vite: the suite is CommonJS and is not to be transformed.
      const code = [
        "import { createRequire } from 'node:module';",
        "import { afterAll, beforeAll, describe, test } from 'vitest';",
        `const { defineNotebook } = createRequire(import.meta.url)(${JSON.stringify(suiteFile)});`,
        `defineNotebook({ afterAll, beforeAll, describe, test }, ${JSON.stringify(file)}, ${optionsSource(options)});`,
      ];
      return { code: code.join('\n'), map: { mappings: '' } };
    },
  };
}

/**
 * Opens a notebook with a kernel of its own, so that a test can run it and ask for its variables. No cell has run yet.
 *
 * @throws WarpbookError `FILE_NOT_FOUND`, `FILE_FORMAT`, or `INVALID_ARGUMENT` for parameters that it doesn't have.
 */
export async function openNotebook(path: string, options: OpenNotebookOptions = {}): Promise<RunningNotebook> {
  // Loaded by tests that ask for it; a configuration needs no kernel.
  const module = await import('./running-notebook.js');
  return module.openNotebook(path, options);
}

export default notebooks;
