/** The bench that judges `auto`, on the CPU device and a small trace. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { readResultFile } from '../../../src/cli/bench/result-file';
import { main } from '../../../src/cli/main';

let folder: string;
let out: string;
let err: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'warpbook-auto-'));
  out = '';
  err = '';
  vi.spyOn(process.stdout, 'write').mockImplementation((text) => {
    out += text;
    return true;
  });
  vi.spyOn(process.stderr, 'write').mockImplementation((text) => {
    err += text;
    return true;
  });
  const lines = Array.from({ length: 40 }, (_, i) => `2023-11-16 18:15:${10 + i}.0000000,${20 + ((i * 37) % 90)},12`);
  writeFileSync(
    join(folder, 'AzureLLMInferenceTrace_conv.csv'),
    `TIMESTAMP,ContextTokens,GeneratedTokens\n${lines.join('\n')}\n`,
  );
});
afterEach(() => {
  vi.restoreAllMocks();
  rmSync(folder, { recursive: true, force: true });
  process.exitCode = undefined;
});

const bench = (...args: string[]): Promise<number> => main(['bench', 'auto', '--device', 'cpu', ...args]);

it('measures auto beside every single policy, and writes which batches and which seed', async () => {
  const path = join(folder, 'auto.json');
  const small = ['--heads', '2/1', '--concurrency', '1,3', '--batches', '1', '--seconds', '60'];
  expect(await bench('--traces', folder, ...small, '--out', path)).toBe(0);
  const file = readResultFile(path) as unknown as {
    command: string;
    rows: { what: string; chosen: string; concurrency: number; policies: Record<string, [number, number]> }[];
    summaries: Record<string, { batches: number; meanUs: Record<string, number> }>;
    idlePct: Record<string, unknown>;
    readGbps: number;
  };
  // A seed that nobody gave is told all the same.
  expect(file.command).toMatch(/^warpbook bench auto --device cpu .*--seed 700000/);
  expect(file.rows.map(({ concurrency }) => concurrency).sort()).toEqual([1, 3]);
  for (const { policies, chosen } of file.rows) {
    expect(Object.keys(policies)).toEqual(expect.arrayContaining(['auto', 'binarySearch', 'headGroups', 'fa3Varlen']));
    expect(chosen).toBeTruthy();
  }
  expect(Object.keys(file.summaries)).toEqual(
    expect.arrayContaining(['2/1 heads, 1 requests', '2/1 heads, 3 requests']),
  );
  expect(Object.keys(file.idlePct).length).toBeGreaterThan(0);
  expect(file.readGbps).toBeGreaterThan(0);
  expect(out).toContain('2/1 heads, 1 requests');
  expect(out).toMatch(/policy +mean µs/);
}, 120_000);

it('says what is missing', async () => {
  vi.stubEnv('WARPBOOK_TRACES', '');
  expect(await bench('--heads', '2/1', '--no-out', '--seconds', '1')).not.toBe(0);
  expect(err).toMatch(/bench auto got no trace; pass --traces FOLDER/);
  err = '';
  expect(await bench('--traces', folder, '--heads', '2', '--no-out')).not.toBe(0);
  expect(err).toMatch(/wanted query heads \/ KV heads/);
}, 120_000);
