/**
 * Kernels of one's own through the real NVRTC and nvJitLink, as far as a machine without a GPU goes: to an image and a
 * signature. Skipped where there is no NVRTC; CI installs one (.ci/kernels).
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type CompileOptions, kernelJob } from '../../../src/device/kernel/compile-kernel';
import { describeParameters, parameterNames, parameterTypes } from '../../../src/device/kernel/signature';
import { CompilationError } from '../../../src/device/programs/compilation-error';
import { Compiler } from '../../../src/device/programs/compile';
import { findLinker } from '../../../src/device/programs/find-linker';
import { findNvrtc } from '../../../src/device/programs/find-nvrtc';
import { type CompiledProgram, ProgramCache } from '../../../src/device/programs/program-cache';

const { nvrtc } = findNvrtc();
const linker = nvrtc && findLinker(nvrtc.version).linker;
const ARCHITECTURE = 'sm_90a';

const SOURCE = `
#include <cuda_fp16.h>
#include <cuda_bf16.h>
struct Shape { int rows; float scale; };
template <typename T> struct Traits { using Element = T; };
using Index = unsigned long long;
namespace mine {
// __global__ void scale(int of, int a, int comment)
template <typename T, int N>
__global__ void __launch_bounds__(128) scale(typename Traits<T>::Element* __restrict__ out, const T* in, const Shape shape,
                                             Index count, const __nv_bfloat16* bias, int (*table)[4]) {
  for (Index i = threadIdx.x; i < count; i += blockDim.x) out[i] = in[i] * T(shape.scale) + T(N) + table[0][0];
}
}
extern "C" __global__ void plain(float* x, float factor, bool flag) { if (flag) x[threadIdx.x] *= factor; }
__device__ void helper(float* x) {}
`;

describe.skipIf(!nvrtc)('the real compiler (needs NVRTC)', () => {
  let folder: string;
  let compiler: Compiler;
  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), 'warpbook-real-compiler-'));
    compiler = new Compiler(ARCHITECTURE, { cache: new ProgramCache([folder]) });
  });
  afterAll(() => rmSync(folder, { recursive: true }));

  const compile = (source: string, options: CompileOptions): Promise<CompiledProgram> =>
    compiler.compileJob(kernelJob(source, ARCHITECTURE, options));

  it('tells the types behind templates, typedefs and macros', async () => {
    const { names, image, resources } = await compile(SOURCE, { name: 'mine::scale', templateArguments: ['float', 3] });
    const types = parameterTypes(names[1].readable);
    expect(types).toEqual([
      'float*',
      'float const*',
      'Shape',
      'unsigned long long',
      '__nv_bfloat16 const*',
      'int (*) [4]',
    ]);
    expect(parameterNames(SOURCE, 'scale', 6)).toEqual(['out', 'in', 'shape', 'count', 'bias', 'table']);
    expect(names[0].lowered).toMatch(/^_ZN4mine5scaleIfLi3EE/);
    expect([...image.subarray(0, 4)]).toEqual([0x7f, 0x45, 0x4c, 0x46]);
    expect(resources?.registers).toBeGreaterThan(0);
    const places = [0, 8, 16, 24, 32, 40].map((offset) => ({ offset, byteLength: 8 }));
    const parameters = describeParameters('scale', types, undefined, places);
    expect(parameters.map(({ pointee }) => pointee)).toEqual([
      'float',
      'float',
      undefined,
      undefined,
      '__nv_bfloat16',
      '',
    ]);
  });

  it('tells the types of extern "C" too', async () => {
    const { names } = await compile(SOURCE, { name: 'plain' });
    expect(names[0].lowered).toBe('plain');
    expect(parameterTypes(names[1].readable)).toEqual(['float*', 'float', 'bool']);
  });

  it("marks the lines at fault with the compiler's carets", async () => {
    const source = '__global__ void bad(float* x) {\n\tx[0] = y;\n  int unused = 1;\n}\n';
    const error = await compile(source, { name: 'bad' }).catch((thrown: unknown) => thrown as CompilationError);
    expect(error).toBeInstanceOf(CompilationError);
    expect((error as CompilationError).message).toBe(
      "Kernel 'bad' (kernel.cu) does not compile:\n" +
        '  kernel.cu(2): error: identifier "y" is undefined\n' +
        '  2 |     x[0] = y;\n' +
        '    |            ^',
    );
  });

  it('says what the assembler refuses', async () => {
    const source =
      '__global__ void big(float* x) { __shared__ float tile[100000]; tile[threadIdx.x] = *x; __syncthreads(); *x = tile[0]; }';
    await expect(compile(source, { name: 'big' })).rejects.toThrow(
      /Kernel 'big' \(kernel\.cu\) does not compile:\n {2}error: the assembler refused it; kernel _Z3bigPf declares 400000 bytes of shared memory/,
    );
  });

  it.each([
    [
      'nothing',
      /error: the source has no such kernel: identifier "nothing" is undefined\. Its __global__ functions are scale, plain\./,
    ],
    ['helper', /no such kernel: .*non-__global__ function.*Its __global__ functions are scale, plain/],
  ])('says that %s is no kernel', async (name, message) => {
    await expect(compile(SOURCE, { name })).rejects.toThrow(message);
  });

  it('includes headers of this package', async () => {
    const source = '#include "philox.h"\n__global__ void k(int* x) { *x = 1; }';
    expect((await compile(source, { name: 'k' })).image.byteLength).toBeGreaterThan(0);
  });

  it.skipIf(!linker)('links kernels that launch kernels (needs nvJitLink and libcudadevrt.a)', async () => {
    const source = `
      __global__ void child(int* x) { atomicAdd(x, 1); }
      __global__ void parent(int* x) { child<<<2, 32>>>(x); }`;
    const { image, names } = await compile(source, { name: 'parent' });
    expect([...image.subarray(0, 4)]).toEqual([0x7f, 0x45, 0x4c, 0x46]);
    // ELF64: e_type 2 is an executable; relocatable code is 1.
    expect(new DataView(image.buffer).getUint16(16, true)).toBe(2);
    expect(names[0].lowered).toBe('_Z6parentPi');
    expect(Buffer.from(image).includes('_Z5childPi')).toBe(true);
  });
});
