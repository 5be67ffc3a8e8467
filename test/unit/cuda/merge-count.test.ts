import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { attentionProgram, kernelVariants } from '../../../src/attention/kernel-variants';

const root = join(__dirname, '..', '..', '..');

describe('who merges what', () => {
  it('is settled so that each row is merged once, whatever the order of starts and arrivals', () => {
    const kernel = kernelVariants.find(({ rows }) => rows === 32);
    const { defines = {} } = attentionProgram(kernel ?? kernelVariants[0], 'sm_90a');
    const folder = mkdtempSync(join(tmpdir(), 'merge-count-'));
    try {
      const program = join(folder, 'merge-count');
      const compiled = spawnSync(
        process.env.CXX ?? 'c++',
        [
          '-std=c++17',
          '-O1',
          '-D__device__=',
          '-D__forceinline__=inline',
          ...Object.entries(defines).map(([name, value]) => `-D${name}=${value}`),
          '-I',
          join(root, 'native', 'kernels'),
          join(__dirname, 'merge-count.cc'),
          '-o',
          program,
        ],
        { encoding: 'utf8' },
      );
      expect(compiled.stderr).toBe('');
      const run = spawnSync(program, { encoding: 'utf8' });
      expect(run.stdout).toMatch(/^\d+\n$/);
      // Merges were shared in many of the 200,000 trials.
      expect(Number(run.stdout)).toBeGreaterThan(50_000);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
});
