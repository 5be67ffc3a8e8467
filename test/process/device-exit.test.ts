import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';

interface Ended {
  code: number | null;
  signal: NodeJS.Signals | null;
  stdout: string;
  stderr: string;
  durationMs: number;
}

/** Runs a fixture in a process of its own; one that hangs is killed after 20 s. */
function run(fixture: string, args: string[] = [], env: NodeJS.ProcessEnv = {}): Promise<Ended> {
  const begin = Date.now();
  const path = join(__dirname, 'fixtures', fixture);
  return new Promise((resolve) => {
    const child = execFile(
      process.execPath,
      ['--expose-gc', '--import', 'tsx', path, ...args],
      { timeout: 20_000, env: { ...process.env, ...env } },
      (_error, stdout, stderr) => {
        const durationMs = Date.now() - begin;
        resolve({ code: child.exitCode, signal: child.signalCode, stdout, stderr, durationMs });
      },
    );
  });
}

describe('a process with a device', () => {
  it.each([
    ['idle', 0, 'opened\n'],
    ['working', 0, 'opened\n'],
    ['awaits', 0, 'opened\nfinished\n'],
    ['exit', 3, 'opened\n'],
    ['disposes', 0, 'opened\nfinished\n'],
  ])('that is %s when it ends exits with %i', async (way, code, stdout) => {
    const ended = await run('device-exit.ts', [way]);
    expect(ended).toMatchObject({ code, signal: null, stdout, stderr: '' });
  });

  it('exits when JavaScript throws, with its error and no other', async () => {
    const ended = await run('device-exit.ts', ['throws']);
    expect(ended).toMatchObject({ code: 1, signal: null });
    expect(ended.stderr).toContain('thrown on purpose');
  });

  it('uses devices in worker threads, which may end in any state', async () => {
    const ended = await run('device-worker.ts');
    const ways = ['leaves', 'disposes', 'terminated at work', ...Array(8).fill('terminated settling')];
    const stdout = `${ways.map((way) => `${way} [ 5, 6, 7, 8 ]\n`).join('')}main [ 9, 10, 11, 12 ]\n`;
    expect(ended).toMatchObject({ code: 0, signal: null, stderr: '', stdout });
  });

  it('gives back what the garbage collector finds, and counts it', async () => {
    const ended = await run('device-collected.ts');
    expect(ended).toMatchObject({ code: 0, stderr: '', stdout: 'collected 50, used 0\n' });
  });

  it('runs on a narrower instruction set where the environment says so', async () => {
    const portable = await run('device-instruction-set.ts', [], { WARPBOOK_CPU_ISA: 'portable' });
    expect(portable).toMatchObject({ code: 0, stdout: 'portable\n' });
    const wrong = await run('device-instruction-set.ts', [], { WARPBOOK_CPU_ISA: 'sse9' });
    expect(wrong.stdout).toBe(
      "NATIVE cpu_instruction_set: WARPBOOK_CPU_ISA is 'sse9'; wanted avx512, avx2 or portable\n",
    );
  });
});
