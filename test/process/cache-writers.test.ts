/** The cache of compiled programs under several processes that fill it at the same time. */
import { execFile } from 'node:child_process';
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { expect, it } from 'vitest';
import { buildFakeNvrtc } from '../support/fake-cuda/build';
import { temporaryFolder } from '../support/notebooks';

const folder = temporaryFolder();
const FIXTURE = join(__dirname, 'fixtures', 'compile-programs.ts');

it('processes that fill the cache together all get whole programs, and leave nothing else behind', async () => {
  const kernels = join(folder, 'kernels-of-the-test');
  mkdirSync(kernels);
  writeFileSync(join(kernels, 'noop.cu'), `// fake: noop 0 40 0 0 1024\n${'// a long source\n'.repeat(2000)}`);
  const environment = { ...process.env, WARPBOOK_CACHE: folder, CUDA_HOME: buildFakeNvrtc() };
  const run = (): Promise<{ stdout: string }> =>
    promisify(execFile)(process.execPath, ['--import', 'tsx', FIXTURE, kernels], { env: environment });
  const answers = await Promise.all(Array.from({ length: 5 }, run));
  expect(new Set(answers.map(({ stdout }) => stdout)).size).toBe(1);
  expect(answers[0].stdout).toMatch(/^[0-9a-f]{64}$/);
  expect(readdirSync(kernels).filter((name) => name.startsWith('started-'))).toHaveLength(5);
  const cached = join(folder, 'kernels', 'sm_90a');
  const names = readdirSync(cached);
  expect(names.filter((name) => name.endsWith('.cubin'))).toHaveLength(12);
  expect(names.filter((name) => name.endsWith('.json'))).toHaveLength(12);
  expect(names).toHaveLength(24);
  for (const name of names.filter((found) => found.endsWith('.json')))
    JSON.parse(readFileSync(join(cached, name), 'utf8'));
}, 60_000);
