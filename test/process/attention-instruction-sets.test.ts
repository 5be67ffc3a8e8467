/** The attention kernels of every instruction set that the machine has: each meets the reference, and all agree. */
import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { beforeAll, describe, expect, test } from 'vitest';
import { LSE_TOLERANCE, TOLERANCE } from '../support/attention';

interface Outputs {
  instructionSet: string;
  results: {
    dtype: keyof typeof TOLERANCE;
    kvDtype: string;
    headDim: number;
    outputError: number;
    lseError: number;
    output: number[];
  }[];
}

const fixture = join(__dirname, 'fixtures', 'attention-outputs.ts');
/** Empty: whatever is widest, extensions such as bfloat16 dot products included. */
const ASKED = ['portable', 'avx2', 'avx512', ''];

async function outputsWith(instructionSet: string): Promise<Outputs> {
  const env = { ...process.env, WARPBOOK_CPU_ISA: instructionSet };
  const { stdout } = await promisify(execFile)(process.execPath, ['--import', 'tsx', fixture], {
    env,
    maxBuffer: 2 ** 26,
  });
  return JSON.parse(stdout);
}

describe('attention in every instruction set', () => {
  let all: Outputs[];
  beforeAll(async () => {
    all = await Promise.all(ASKED.map(outputsWith));
  }, 60_000);

  test('none is wider than asked', () => {
    for (const [i, { instructionSet }] of all.entries()) expect(ASKED.slice(0, i + 1)).toContain(instructionSet);
  });

  test.each(ASKED.map((name, i) => [name || 'the widest', i] as const))('%s meets the reference', (_, i) => {
    for (const { dtype, kvDtype, headDim, outputError, lseError } of all[i].results) {
      expect(outputError, `${dtype} over ${kvDtype}, ${headDim}`).toBeLessThanOrEqual(TOLERANCE[dtype]);
      expect(lseError).toBeLessThanOrEqual(LSE_TOLERANCE);
    }
  });

  test('all agree', () => {
    const [portable, ...wider] = all;
    for (const other of wider) {
      for (const [c, { dtype, output }] of portable.results.entries()) {
        const difference = Math.hypot(...output.map((x, i) => x - other.results[c].output[i]));
        expect(difference).toBeLessThanOrEqual(2 * TOLERANCE[dtype] * Math.hypot(...output));
      }
    }
  });
});
