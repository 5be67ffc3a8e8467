import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    include: ['test/{unit,process,notebooks,types}/**/*.test.ts'],
    testTimeout: 30_000,
    reporters: ['default'],
  },
});
