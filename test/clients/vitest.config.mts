import { fileURLToPath } from 'node:url';
import { defineConfig } from 'vitest/config';

const report = process.env.WARPBOOK_TEST_REPORT;

/** Real clients: JupyterLab in a browser, nbclient, nbconvert, jupyter console. Apart from the main tests, which need no Python. */
export default defineConfig({
  root: fileURLToPath(new URL('../..', import.meta.url)),
  test: {
    include: ['test/clients/**/*.test.ts'],
    globalSetup: ['test/clients/support/environment.ts'],
    testTimeout: 90_000,
    hookTimeout: 120_000,
    // Each file has a server or a kernel of its own; more of them at once only wait for one another.
    maxWorkers: 2,
    reporters: report ? ['verbose', ['json', { outputFile: report }]] : ['verbose'],
  },
});
