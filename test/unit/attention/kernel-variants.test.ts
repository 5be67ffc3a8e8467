import { describe, expect, test } from 'vitest';
import {
  attentionProgram,
  kernelPrograms,
  kernelVariants,
  programName,
  selectKernel,
  tileClassOf,
} from '../../../src/attention/kernel-variants';
import { makeVariant } from '../../../src/attention/variant';

const variant = makeVariant({ numQoHeads: 32, numKvHeads: 8, headDim: 128 }, false);
const needs = { rows: 4, pageSize: 16, traced: false, maxSegments: 0, maxRows: 0 };

describe('the table of kernels', () => {
  test('has at most 60 builds, each under a name of its own', () => {
    expect(kernelVariants.length).toBeLessThanOrEqual(60);
    const names = kernelPrograms('sm_90a').map((program) => program.name);
    expect(new Set(names).size).toBe(names.length);
  });

  test.each([
    ['sm_80', 163, 164],
    ['sm_89', 99, 100],
    ['sm_90a', 227, 228],
    ['sm_100a', 227, 228],
  ])('on %s every build fits a CTA, and an SM holds exactly one', (architecture, perCta, perSm) => {
    for (const kernel of kernelVariants) {
      const { sharedMemoryBytes, threads } = attentionProgram(kernel, architecture);
      expect(sharedMemoryBytes).toBeLessThanOrEqual(perCta * 1024);
      expect(2 * sharedMemoryBytes).toBeGreaterThan(perSm * 1024);
      expect(threads).toBe(tileClassOf(kernel, architecture).threads);
    }
  });

  test('many rows: two warps share a stream of keys, so that as many bytes are in flight', () => {
    const kernel = selectKernel(variant, { ...needs, rows: 32 });
    const { defines } = attentionProgram(kernel, 'sm_90a');
    expect(defines).toMatchObject({ WB_ROW_TILES: 2, WB_TEAM_WARPS: 2, WB_WARPS: 8, WB_STAGES: 4 });
    expect(tileClassOf(kernel, 'sm_90a')).toMatchObject({ queryRows: 32, kvStep: 64, threads: 256 });
  });

  test('keeps 128 KB of bf16 keys and values in flight on an H100', () => {
    const { defines } = attentionProgram(selectKernel(variant, needs), 'sm_90a');
    expect(defines).toEqual({
      WB_QUERY_DTYPE: 2,
      WB_KV_DTYPE: 2,
      WB_HEAD_DIM: 128,
      WB_ROW_TILES: 1,
      WB_TEAM_WARPS: 1,
      WB_WARPS: 8,
      WB_STAGES: 2,
      WB_STEP_BLOCKS: 1,
      WB_CTAS_PER_SM: 1,
      WB_GENERAL: 0,
      WB_TRACE: 0,
      WB_WARM_BLOCKS: 2,
      WB_SHARED_MEMORY_BYTES: 166912,
    });
  });

  test('two blocks a step where one has 2 KB, and as many bytes in flight', () => {
    const short = makeVariant({ numQoHeads: 32, numKvHeads: 8, headDim: 64, kvDtype: 'float8_e4m3fn' }, false);
    const { defines } = attentionProgram(selectKernel(short, needs), 'sm_90a');
    expect(defines).toMatchObject({ WB_STEP_BLOCKS: 2, WB_STAGES: 4, WB_WARM_BLOCKS: 8, WB_WARPS: 8 });
  });
});

describe('selectKernel', () => {
  test.each([
    [needs, 'attention_bf16_bf16_d128_r8'],
    [{ ...needs, pageSize: 64 }, 'attention_bf16_bf16_d128_r8'],
    [{ ...needs, pageSize: 8 }, 'attention_bf16_bf16_d128_r8_general'],
    [{ ...needs, maxSegments: 4 }, 'attention_bf16_bf16_d128_r8_general'],
    [{ ...needs, maxRows: 4 }, 'attention_bf16_bf16_d128_r8_general'],
    [{ ...needs, rows: 9 }, 'attention_bf16_bf16_d128_r16_general'],
    [{ ...needs, rows: 17 }, 'attention_bf16_bf16_d128_r32_general'],
    [{ ...needs, rows: 128, pageSize: 1 }, 'attention_bf16_bf16_d128_r32_general'],
    [{ ...needs, traced: true }, 'attention_bf16_bf16_d128_r8_general_traced'],
    [{ ...needs, rows: 16, traced: true }, 'attention_bf16_bf16_d128_r16_general_traced'],
  ])('%j → %s', (what, name) => {
    expect(programName(selectKernel(variant, what))).toBe(name);
  });

  test.each([{ sinks: true }, { alibi: true }])('%j takes the general build', (option) => {
    expect(programName(selectKernel({ ...variant, ...option }, needs))).toBe('attention_bf16_bf16_d128_r8_general');
  });

  test.each([
    ['bfloat16', 'float8_e4m3fn', 4, 'attention_bf16_e4m3_d128_r8'],
    ['float16', 'float8_e4m3fn', 4, 'attention_f16_e4m3_d128_r8_general'],
    ['bfloat16', 'float8_e4m3fn', 32, 'attention_bf16_e4m3_d128_r16_general'],
    ['bfloat16', 'float8_e5m2', 32, 'attention_bf16_e5m2_d128_r8_general'],
  ] as const)('%s queries, %s keys, %i rows: what there is', (dtype, kvDtype, rows, name) => {
    expect(programName(selectKernel({ ...variant, dtype, kvDtype }, { ...needs, rows }))).toBe(name);
  });

  test('says what there is where there is none', () => {
    expect(() => selectKernel({ ...variant, headDim: 96 }, needs)).toThrow(
      'There is no CUDA kernel for dtype bfloat16, kvDtype bfloat16, headDim 96; there is for float16 and bfloat16 queries, ' +
        'keys of the same type or float8, and headDim 64, 128 and 256. The CPU device takes this one.',
    );
  });
});
