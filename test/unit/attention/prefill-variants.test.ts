import { describe, expect, test } from 'vitest';
import { kernelPrograms } from '../../../src/attention/kernel-variants';
import {
  findPrefillKernel,
  prefillKernels,
  prefillProgram,
  prefillProgramName,
  prefillTileClass,
} from '../../../src/attention/prefill-variants';
import { chooseProgram } from '../../../src/attention/prepare-kernel';
import { makeVariant } from '../../../src/attention/variant';

const options = { numQoHeads: 32, numKvHeads: 8, headDim: 128 };
const variant = makeVariant(options, true);

describe('the table of prefill kernels', () => {
  test('has at most 12 builds, which are built ahead', () => {
    expect(prefillKernels.length).toBeLessThanOrEqual(12);
    const ahead = kernelPrograms('sm_90a').map((program) => program.name);
    for (const kernel of prefillKernels) expect(ahead).toContain(prefillProgramName(kernel));
  });

  test.each([
    ['sm_80', 163, 164],
    ['sm_89', 99, 100],
    ['sm_90a', 227, 228],
    ['sm_100a', 227, 228],
    ['sm_120a', 99, 100],
  ])('on %s every build fits a CTA, and as many CTAs an SM as it says', (architecture, perCta, perSm) => {
    for (const kernel of prefillKernels) {
      if (!findPrefillKernel({ ...variant, ...kernel, kvDtype: keysOf(kernel) }, false, architecture)) continue;
      const { sharedMemoryBytes, threads } = prefillProgram(kernel, architecture);
      const tileClass = prefillTileClass(kernel, architecture);
      expect(sharedMemoryBytes).toBeLessThanOrEqual(perCta * 1024);
      expect(tileClass.ctasPerSm * (sharedMemoryBytes + 1024)).toBeLessThanOrEqual(perSm * 1024);
      expect(tileClass).toMatchObject({ threads, sharedMemoryBytes });
    }
  });

  test.each([
    [{}, 'prefill_bf16_d128'],
    [{ dtype: 'float16', headDim: 64 }, 'prefill_f16_d64'],
    [{ kvDtype: 'float8_e4m3fn' }, 'prefill_bf16_f8_d128'],
    [{ kvDtype: 'float8_e5m2', headDim: 256 }, 'prefill_bf16_f8_d256'],
  ] as const)('%j → %s', (overrides, name) => {
    const kernel = findPrefillKernel({ ...variant, ...overrides, kvDtype: keysOf(overrides) }, false, 'sm_90a');
    expect(kernel && prefillProgramName(kernel)).toBe(name);
  });

  test.each([{ headDim: 96 }, { dtype: 'float32' }, { kvDtype: 'float16' }] as const)('%j: none', (overrides) => {
    expect(findPrefillKernel({ ...variant, ...overrides }, false, 'sm_90a')).toBeUndefined();
  });

  test('leaves out what does not fit: 256 head dims in 99 KB', () => {
    expect(findPrefillKernel({ ...variant, headDim: 256 }, false, 'sm_89')).toBeUndefined();
    expect(findPrefillKernel({ ...variant, headDim: 256 }, false, 'sm_80')).toBeDefined();
    const names = kernelPrograms('sm_89').map((program) => program.name);
    expect(names).toContain('prefill_bf16_d128');
    expect(names).not.toContain('prefill_bf16_d256');
  });
});

/** Keys are of the queries' type unless said otherwise. */
function keysOf(overrides: { dtype?: string; kvDtype?: string; float8Kv?: boolean }): typeof variant.kvDtype {
  if (overrides.float8Kv) return 'float8_e4m3fn';
  return (overrides.kvDtype ?? overrides.dtype ?? 'bfloat16') as typeof variant.kvDtype;
}

describe('chooseProgram', () => {
  const choose = (capacity: object, more: object = {}): string => {
    const wanted = { ...options, ...more, capacity: { maxBatch: 4, ...capacity } };
    return chooseProgram(wanted, { causal: true, paged: true }, 'sm_90a').program.name;
  };

  test('takes the decode kernel as long as one pass of it takes the rows of a request', () => {
    expect(choose({})).toMatch(/^attention_/);
    expect(choose({ maxQoTokens: 32 })).toMatch(/^attention_/);
    expect(choose({ maxQoTokens: 16 }, { headDim: 256 })).toMatch(/^attention_/);
  });

  test('takes the decode kernel where no prefill build fits', () => {
    const wanted = { ...options, headDim: 256, capacity: { maxBatch: 1, maxQoTokens: 2048 } };
    expect(chooseProgram(wanted, { causal: true, paged: true }, 'sm_89').program.name).toMatch(/^attention_/);
  });

  test('takes the prefill kernel above', () => {
    expect(choose({ maxQoTokens: 33 })).toBe('prefill_bf16_d128');
    expect(choose({ maxQoTokens: 33 }, { headDim: 256 })).toBe('prefill_bf16_d256');
    expect(choose({}, { numQoHeads: 320 })).toBe('prefill_bf16_d128');
    expect(choose({ maxQoTokens: 4000 }, { trace: true })).toBe('prefill_bf16_d128_traced');
  });

  test('plans with the tile class of the kernel that it takes', () => {
    const { tileClass } = chooseProgram(
      { ...options, capacity: { maxBatch: 1, maxQoTokens: 2048 } },
      { causal: true, paged: true },
      'sm_90a',
    );
    expect(tileClass).toMatchObject({ queryRows: 128, kvStep: 64, ctasPerSm: 2 });
  });

  test('says what there is where there is no kernel', () => {
    expect(() => choose({ maxQoTokens: 4000 }, { headDim: 96 })).toThrow('There is no CUDA kernel for dtype bfloat16');
  });
});
