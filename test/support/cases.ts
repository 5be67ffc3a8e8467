/**
 * How cases that several devices share reach a test runner: bodies take a device and assert with node:assert; vitest runs
 * them on the CPU device (test/unit), node:test on a GPU (test/device).
 */

/** What node:test's `it` and vitest's `test` have in common. */
export type Register = (name: string, options: { timeout?: number }, body: () => Promise<void>) => unknown;
