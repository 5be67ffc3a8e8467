import { defineConfig } from 'vitest/config';

/** Where to leave vitest's JSON report, for scripts that count tests. */
const report = process.env.WARPBOOK_TEST_REPORT;

export default defineConfig({
  test: {
    include: ['test/{unit,process,notebooks,types}/**/*.test.ts'],
    testTimeout: 30_000,
    // The first file that needs the fake driver builds it.
    hookTimeout: 60_000,
    reporters: report ? ['default', ['json', { outputFile: report }]] : ['default'],
  },
});
