/** The cases that compute-sanitizer runs on a GPU, on the CPU device: they stay right, and run at all. */
import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { packageRoot } from '../../src/notebook/kernel/package-paths';

const program = join(packageRoot, 'test', 'device', 'sanitize-cases.ts');

function run(...args: string[]): string {
  const env = { ...process.env, WARPBOOK_DEVICE: 'cpu' };
  return execFileSync(process.execPath, ['--import', 'tsx', program, ...args], {
    encoding: 'utf8',
    env,
    cwd: packageRoot,
  });
}

test('every sanitizer case passes on the CPU device', { timeout: 120_000 }, () => {
  const names = run('--list').trim().split('\n');
  expect(new Set(names).size).toBe(names.length);
  expect(run().trim().split('\n')).toHaveLength(names.length);
});

test('parts have every case once', () => {
  const names = run('--list').trim().split('\n');
  const parts = [1, 2, 3].flatMap((part) => run('--list', '--part', `${part}/3`).trim().split('\n'));
  expect(parts.sort()).toEqual(names.sort());
  expect(() => run('--list', '--part', '4/3')).toThrow(/Got --part 4\/3; wanted such as 2\/4/);
});

test('a pattern that fits nothing is an error', () => {
  expect(() => run('no such case')).toThrow(/No case has no such case in its name/);
});
