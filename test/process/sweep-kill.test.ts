/** Sweeps whose process is killed in the middle, again and again: nothing whole is lost, nothing is twice. */
import { spawn } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { temporaryFolder } from '../support/notebooks';

const folder = temporaryFolder();
const FIXTURE = join(__dirname, 'fixtures', 'sweep-slowly.ts');
const POINTS = 60;

/** Whole lines of the file behind its header. */
function wholeLines(file: string): string[] {
  if (!existsSync(file)) return [];
  return readFileSync(file, 'utf8').split('\n').slice(1, -1);
}

/** Runs the sweep until it ends, or is killed as soon as the file has `lines` lines. Answers with its output, or undefined. */
function runUntil(file: string, workers: number, lines: number): Promise<string | undefined> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, ['--import', 'tsx', FIXTURE, file, String(workers)]);
    let output = '';
    child.stdout.on('data', (text) => {
      output += text;
    });
    let errors = '';
    child.stderr.on('data', (text) => {
      errors += text;
    });
    const watch = setInterval(() => wholeLines(file).length >= lines && child.kill('SIGKILL'), 3);
    child.on('exit', (code, signal) => {
      clearInterval(watch);
      if (signal === 'SIGKILL') resolve(undefined);
      else if (code === 0) resolve(output);
      else reject(new Error(`the sweep ended with code ${code}: ${errors}`));
    });
  });
}

describe('a sweep that is killed', () => {
  it.each([0, 2])(
    'again and again, with %i workers, has every point exactly once in the end',
    async (workers) => {
      const file = join(folder, `killed-${workers}.jsonl`);
      let before: string[] = [];
      for (const lines of [1, 9, 25, 48]) {
        expect(await runUntil(file, workers, lines)).toBeUndefined();
        const now = wholeLines(file);
        // What was there stays as it was.
        expect(now.slice(0, before.length)).toEqual(before);
        expect(now.length).toBeLessThan(POINTS);
        before = now;
      }
      const output = await runUntil(file, workers, Number.POSITIVE_INFINITY);
      expect(output).toBe(`done, ${before.length} reused\n`);
      const records = wholeLines(file).map((line) => JSON.parse(line));
      expect(records.map(({ point }) => point.n).sort((a, b) => a - b)).toEqual(
        Array.from({ length: POINTS }, (_, n) => n),
      );
      expect(new Set(records.map(({ key }) => key)).size).toBe(POINTS);
      for (const { point, result } of records) expect(result.square).toBe(point.n ** 2);
      expect(existsSync(`${file}.lock`)).toBe(false);
    },
    60_000,
  );
});
