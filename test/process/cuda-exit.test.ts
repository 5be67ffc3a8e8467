import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';

/** Runs the fixture in a process of its own; one that hangs is killed after 20 s. */
function run(
  way: string,
): Promise<{ code: number | null; signal: NodeJS.Signals | null; stdout: string; stderr: string }> {
  const path = join(__dirname, 'fixtures', 'cuda-exit.ts');
  return new Promise((resolve) => {
    const child = execFile(
      process.execPath,
      ['--import', 'tsx', path, way],
      { timeout: 20_000 },
      (_error, stdout, stderr) => resolve({ code: child.exitCode, signal: child.signalCode, stdout, stderr }),
    );
  });
}

describe('a process with a CUDA device', () => {
  it.each([
    ['idle', 0],
    ['disposes', 0],
    ['exit', 3],
    ['hangs', 0],
    ['exit waiting', 4],
  ])('%s: ends with %i, whatever the GPU does', async (way, code) => {
    expect(await run(way)).toEqual({ code, signal: null, stdout: 'opened\n', stderr: '' });
  });
});
