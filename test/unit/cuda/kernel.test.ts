/** Kernels of one's own, over a fake compiler and a fake driver: arguments, shapes, captures, errors. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { type Device, openDevice } from '../../../src/device/device';
import type { CompileOptions } from '../../../src/device/kernel/compile-kernel';
import type { Kernel } from '../../../src/device/kernel/kernel';
import type { KernelArgument } from '../../../src/device/kernel/pack-arguments';
import type { CompilationError } from '../../../src/device/programs/compilation-error';
import { capture } from '../../../src/graph/capture';
import { Tensor } from '../../../src/tensor/tensor';
import { words } from '../../support/device-programs';
import { buildFakeNvJitLink, buildFakeNvrtc, openFakeCuda } from '../../support/fake-cuda/build';
import { fakeSource } from '../../support/fake-cuda/sources';

/** Adds `value` × CTAs to a word. */
const ADD = fakeSource('add(int* word, unsigned value)', 'add', 'add_u32', '8+4', 'Pij');
/** Copies grid, CTA, shared memory, flags and cluster. */
const REPORT = fakeSource('report(unsigned* words)', 'report', 'report', '8', 'Pj');
const MANY = fakeSource(
  'many(const float* x, __half2* y, bool flag, signed char c, short s, long long big, float f, double d, Shape shape, void* any, ' +
    'const float4* vectors, double* doubles)',
  'many',
  'many',
  '8+8+1+1+2+8+4+8+12+8+8+8',
  'PKfP7__half2basxfd5ShapePvPK6float4Pd',
);

let folder: string;
let device: Device;
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'warpbook-kernel-'));
  device = await openFakeCuda();
});
beforeEach(() => {
  vi.stubEnv('WARPBOOK_CACHE', folder);
  vi.stubEnv('CUDA_HOME', buildFakeNvrtc());
  vi.stubEnv('CUDA_PATH', buildFakeNvJitLink());
  // No other compiler than these: a PATH without python3 leads to none.
  for (const name of ['VIRTUAL_ENV', 'CONDA_PREFIX', 'PATH']) vi.stubEnv(name, '');
});
afterEach(() => {
  vi.unstubAllEnvs();
});
afterAll(() => {
  device.dispose();
  rmSync(folder, { recursive: true });
});

function tensor(dtype: 'float32' | 'float16' | 'int32', shape: number[]): Tensor {
  return Tensor.allocate(device, { dtype, shape }, 'of a test');
}

describe('device.compile', () => {
  it('gives a kernel with its signature and what it takes', async () => {
    const kernel = await device.compile(ADD, { name: 'add' });
    expect(kernel.signature).toBe('add(int* word, unsigned int value)');
    expect(kernel.info).toMatchObject({
      registers: 40,
      localBytes: 16,
      staticSharedMemoryBytes: 1024,
      maxThreads: 512,
    });
    expect(kernel.resources).toMatchObject({ registers: 40, spillStoreBytes: 4 });
    expect(await kernel.occupancy({ threads: 256 })).toEqual({ ctasPerSm: 8, threadsPerSm: 2048, share: 1 });
    expect(await kernel.occupancy({ threads: [64, 2], sharedMemoryBytes: 100_000 })).toEqual({
      ctasPerSm: 2,
      threadsPerSm: 256,
      share: 0.125,
    });
    kernel.dispose();
  });

  it('instantiates templates, and comes out of the cache without a compiler', async () => {
    const source = fakeSource('add(T* word, unsigned value)', 'mine::add<int, 4>', 'add_u32', '8+4', 'Pij');
    const options: CompileOptions = { name: 'mine::add', templateArguments: ['int', 4], defines: { N: 2 } };
    (await device.compile(source, options)).dispose();
    const fresh = await openFakeCuda();
    for (const name of ['CUDA_HOME', 'CUDA_PATH']) vi.stubEnv(name, '');
    const kernel = await fresh.compile(source, options);
    expect(kernel.signature).toBe('mine::add<int, 4>(int* word, unsigned int value)');
    await expect(fresh.compile(source, { ...options, defines: { N: 3 } })).rejects.toMatchObject({
      code: 'UNSUPPORTED',
      message: expect.stringMatching(/found no NVRTC to compile it.*pip install nvidia-cuda-nvrtc/s),
    });
    fresh.dispose();
  });

  it('shows the lines that do not compile', async () => {
    const failure = device.compile('int a;\n#error this is wrong', { name: 'add' });
    await expect(failure).rejects.toMatchObject({
      code: 'COMPILATION_FAILED',
      message:
        "Kernel 'add' (kernel.cu) does not compile:\n" +
        '  kernel.cu(2): error: this is wrong\n  2 | #error this is wrong\n    |        ^',
    });
    const error = (await failure.catch((thrown: unknown) => thrown)) as CompilationError;
    expect(error.problems).toEqual([
      { file: 'kernel.cu', line: 2, column: 8, severity: 'error', message: 'this is wrong' },
    ]);
  });

  it('says that there is no such kernel, and which there are', async () => {
    await expect(device.compile('__global__ void a(int* x) {}', { name: 'b' })).rejects.toThrow(
      /the source has no such kernel: identifier "b" is undefined\. Its __global__ functions are a\./,
    );
  });

  it.each<[string, CompileOptions, RegExp]>([
    [
      'a name with template arguments',
      { name: 'add<int>' },
      /name is 'add<int>'; wanted the kernel's name.*without template/,
    ],
    ['a macro that is none', { name: 'add', defines: { '1': 2 } }, /defines has '1' = 2; wanted a macro's name/],
    ['a folder that is not there', { name: 'add', includeFolders: ['/nowhere'] }, /includeFolders has \/nowhere/],
  ])('refuses %s', async (_, options, message) => {
    await expect(device.compile(ADD, options)).rejects.toThrow(message);
  });

  it('is for CUDA devices', async () => {
    const cpu = await openDevice('cpu', { threads: 1 });
    await expect(cpu.compile(ADD, { name: 'add' })).rejects.toMatchObject({
      code: 'UNSUPPORTED',
      message: expect.stringMatching(
        /of kind 'cpu', whose programs are built in; wanted a CUDA device: await openDevice/,
      ),
    });
    cpu.dispose();
  });

  it('links kernels that launch kernels', async () => {
    const source = `${ADD}\n// add<<<1, 1>>> in a comment launches nothing\nvoid f() { add<<<1, 1>>>(w, 1); }`;
    const kernel = await device.compile(source, { name: 'add' });
    const word = tensor('int32', [1]);
    word.buffer.fill(new Uint8Array([0]));
    kernel.launch({ grid: 2, threads: 1 }, word, 3);
    expect(await words(word.buffer)).toEqual([6]);
    kernel.dispose();
    word.dispose();
  });

  it('says what is missing to link', async () => {
    const source = `${ADD}\nint other;`;
    vi.stubEnv('CUDA_PATH', '/nowhere');
    await expect(device.compile(source, { name: 'add', dynamicParallelism: true })).rejects.toMatchObject({
      code: 'UNSUPPORTED',
      message: expect.stringMatching(
        /^Got program 'add', which launches kernels, and found no nvJitLink of CUDA 13 with libcudadevrt\.a to link it\. Looked in .*CUDA_PATH=\/nowhere.*pip install nvidia-nvjitlink nvidia-cuda-runtime/,
      ),
    });
    vi.stubEnv('CUDA_PATH', buildFakeNvJitLink());
    vi.stubEnv('FAKE_NVRTC_MINOR', '2');
    const later = await openFakeCuda();
    await expect(later.compile(source, { name: 'add', dynamicParallelism: true })).rejects.toThrow(
      /nvJitLink 13\.0 does not read what NVRTC 13\.2 compiles/,
    );
    later.dispose();
  });

  it('shows what the linker says', async () => {
    const source = fakeSource('undefined(int* x)', 'undefined', 'undefined', '8', 'Pi');
    await expect(device.compile(source, { name: 'undefined', dynamicParallelism: true })).rejects.toMatchObject({
      code: 'COMPILATION_FAILED',
      message: expect.stringContaining("error: Undefined reference to 'helper' in 'kernel.cu'"),
    });
  });
});

describe('kernel.launch', () => {
  let add: Kernel;
  let report: Kernel;
  let many: Kernel;
  beforeEach(async () => {
    [add, report, many] = await Promise.all([
      device.compile(ADD, { name: 'add' }),
      device.compile(REPORT, { name: 'report' }),
      device.compile(MANY, { name: 'many' }),
    ]);
  });

  it('takes tensors, views, buffers and places in them', async () => {
    const word = tensor('int32', [4]);
    word.buffer.fill(new Uint8Array([0]));
    add.launch({ grid: [2, 3], threads: 32 }, word, 1);
    add.launch({ grid: 1, threads: 32 }, word.slice(0, 1, 2), 20);
    add.launch({ grid: 1, threads: 32 }, { buffer: word.buffer, byteOffset: 8 }, 300);
    add.launch({ grid: 1, threads: 32 }, word.buffer, 4000);
    expect(await words(word.buffer)).toEqual([4006, 20, 300, 0]);
    word.dispose();
  });

  it('passes grid, CTAs, shared memory and attributes on', async () => {
    const seen = device.allocate(40);
    report.launch(
      { grid: [8, 2, 3], threads: [4, 5, 6], sharedMemoryBytes: 70_000, cooperative: true, pdl: true },
      seen,
    );
    expect((await words(seen)).slice(0, 9)).toEqual([8, 2, 3, 4, 5, 6, 70_000, 3, 1]);
    report.launch({ grid: 8, threads: 1, clusterSize: 4 }, seen);
    expect((await words(seen)).slice(0, 9)).toEqual([8, 1, 1, 1, 1, 1, 0, 0, 4]);
    report.launch({ grid: 32, threads: 1, clusterSize: 16 }, seen);
    expect((await words(seen))[8]).toBe(16);
    seen.dispose();
  });

  it('is captured, and its nodes take other arguments', async () => {
    const [a, b] = [tensor('int32', [1]), tensor('int32', [1])];
    for (const each of [a, b]) each.buffer.fill(new Uint8Array([0]));
    const stream = device.createStream();
    const graph = capture(device, () => add.launch({ grid: 1, threads: 64, stream }, a, 5), { stream });
    expect(await graph.nodes()).toEqual([
      { index: 0, kind: 'kernel', label: 'add', grid: [1, 1, 1], dependencies: [] },
    ]);
    const exec = graph.instantiate();
    exec.replay(stream);
    exec.updateNode(0, add.bind({ grid: 3, threads: 32 }, b, 7));
    exec.replay(stream);
    await stream.synchronize();
    expect([await words(a.buffer), await words(b.buffer)]).toEqual([[5], [21]]);
    // The graph holds the kernel's code.
    add.dispose();
    exec.replay(stream);
    await stream.synchronize();
    expect(await words(b.buffer)).toEqual([42]);
    b.dispose();
    expect(() => exec.replay(stream)).toThrow(expect.objectContaining({ code: 'GRAPH_STALE' }));
    for (const thing of [exec, graph, a, stream]) thing.dispose();
  });

  it('does not take the place of another compilation of the same name in a graph', async () => {
    const word = tensor('int32', [1]);
    const exec = capture(device, () => add.launch({ grid: 1, threads: 1 }, word, 1)).instantiate();
    const again = await device.compile(`${ADD}\n// changed`, { name: 'add' });
    expect(() => exec.updateNode(0, again.bind({ grid: 1, threads: 1 }, word, 2))).toThrow(
      expect.objectContaining({ code: 'INVALID_ARGUMENT' }),
    );
    for (const thing of [exec, again, word]) thing.dispose();
  });

  const shapes: [string, () => void, RegExp][] = [
    [
      'a grid of none',
      () => add.launch({ grid: 0, threads: 1 }, null, 1),
      /Got grid 0 for kernel 'add', with 0 CTAs in x; wanted an integer from 1 to 2147483647 there/,
    ],
    [
      'a grid that is too tall',
      () => add.launch({ grid: [1, 65_536], threads: 1 }, null, 1),
      /with 65536 CTAs in y; wanted an integer from 1 to 65535/,
    ],
    ['half a CTA', () => add.launch({ grid: 1.5, threads: 1 }, null, 1), /with 1\.5 CTAs in x/],
    [
      'too many threads',
      () => add.launch({ grid: 1, threads: [32, 32] }, null, 1),
      /Got 1024 threads in a CTA of kernel 'add'; wanted at most 512, which is what its 40 registers a thread and its launch bounds leave/,
    ],
    [
      'threads out of range',
      () => add.launch({ grid: 1, threads: [1, 1, 65] }, null, 1),
      /with 65 threads of a CTA in z; wanted an integer from 1 to 64/,
    ],
    [
      'too much shared memory',
      () => add.launch({ grid: 1, threads: 1, sharedMemoryBytes: 232_000 }, null, 1),
      /Got 232000 bytes of shared memory in a CTA of kernel 'add'; wanted an integer from 0 to 231424 \(232448 on Fake GPU 0, less 1024 that the kernel declares\)/,
    ],
    [
      'clusters that do not fit',
      () => add.launch({ grid: 6, threads: 1, clusterSize: 4 }, null, 1),
      /a grid of 6 CTAs in x in clusters of 4/,
    ],
    [
      'clusters that there are not',
      () => add.launch({ grid: 32, threads: 1, clusterSize: 32 }, null, 1),
      /clusters of 32 CTAs.*from 1 to 16/,
    ],
  ];
  it.each(shapes)('refuses %s', (_, launch, message) => {
    expect(launch).toThrow(
      expect.objectContaining({ code: 'INVALID_ARGUMENT', message: expect.stringMatching(message) }),
    );
  });

  /** Arguments that `many` takes, but for `other`. */
  function launchMany(other: Partial<Record<keyof typeof GOOD, KernelArgument>>): void {
    many.launch({ grid: 1, threads: 1 }, ...Object.values({ ...GOOD, ...other }));
  }
  const GOOD = {
    x: null as KernelArgument,
    y: null as KernelArgument,
    flag: true as KernelArgument,
    c: -128 as KernelArgument,
    s: 32_767 as KernelArgument,
    big: (2n ** 62n) as KernelArgument,
    f: Number.NaN as KernelArgument,
    d: 1e300 as KernelArgument,
    shape: new Uint8Array(12) as KernelArgument,
    any: null as KernelArgument,
    vectors: null as KernelArgument,
    doubles: null as KernelArgument,
  };

  it('takes every kind of parameter', () => {
    const [x, y, z] = [tensor('float32', [8]), tensor('float16', [8]), tensor('int32', [8])];
    launchMany({ x, y, any: z, vectors: x, doubles: x.buffer });
    launchMany({ any: y, big: -5, f: -3.4e38 });
    for (const each of [x, y, z]) each.dispose();
  });

  it('packs what the driver is given', () => {
    const { params } = many.bind({ grid: 1, threads: 1 }, ...Object.values(GOOD)).params;
    const view = new DataView(params.buffer);
    expect([view.getUint8(16), view.getInt8(17), view.getInt16(18, true), view.getBigInt64(24, true)]).toEqual([
      1,
      -128,
      32_767,
      2n ** 62n,
    ]);
    expect([view.getFloat32(32, true), view.getFloat64(40, true), params.byteLength]).toEqual([Number.NaN, 1e300, 88]);
  });

  const good = () => tensor('float32', [8, 8]);
  const refusals: [string, () => void, string, RegExp][] = [
    [
      'too few arguments',
      () => many.launch({ grid: 1, threads: 1 }, null),
      'INVALID_ARGUMENT',
      /Got 1 arguments for kernel 'many'; wanted 12: \(float const\* x, __half2\* y, bool flag/,
    ],
    [
      'another element type',
      () => launchMany({ x: tensor('float16', [2]) }),
      'DTYPE_MISMATCH',
      /Got a float16 tensor for parameter 'x' \(float const\*\) of kernel 'many'; wanted a float32 tensor; tensor\.buffer goes for/,
    ],
    [
      'a tensor for what tensors are not',
      () => launchMany({ doubles: good() }),
      'DTYPE_MISMATCH',
      /for parameter 'doubles' \(double\*\).*wanted a buffer, since tensors have no such type/,
    ],
    [
      'a tensor that is not dense',
      () => launchMany({ x: good().transpose(0, 1) }),
      'SHAPE_MISMATCH',
      /a view whose elements are not dense.*tensor\.contiguous\(\)/,
    ],
    [
      'a tensor that is gone',
      () => launchMany({ x: disposed(good()) }),
      'DISPOSED',
      /a tensor after its dispose\(\) for parameter 'x'/,
    ],
    [
      'an address between vectors',
      () => launchMany({ vectors: good().reshape(64).slice(0, 1, 9) }),
      'INVALID_ARGUMENT',
      /an address 4 bytes into its buffer for parameter 'vectors' \(float4 const\*\).*a multiple of 16 bytes/,
    ],
    [
      'a number for a pointer',
      () => launchMany({ x: 5 }),
      'INVALID_ARGUMENT',
      /Got 5 for parameter 'x'.*wanted a tensor of float32, a buffer or null/,
    ],
    [
      'a tensor for a number',
      () => launchMany({ f: good() }),
      'INVALID_ARGUMENT',
      /Got a tensor or buffer for parameter 'f' \(float\).*wanted a number/,
    ],
    [
      'a number beyond a char',
      () => launchMany({ c: 128 }),
      'INVALID_ARGUMENT',
      /Got 128 for parameter 'c' \(signed char\).*an integer from -128 to 127\./,
    ],
    [
      'a fraction for a short',
      () => launchMany({ s: 0.5 }),
      'INVALID_ARGUMENT',
      /Got 0\.5 for parameter 's' \(short\).*an integer from -32768 to 32767/,
    ],
    [
      'an inexact number for a long long',
      () => launchMany({ big: 2 ** 60 }),
      'INVALID_ARGUMENT',
      /for parameter 'big' \(long long\).*beyond 2\^53 as a bigint/,
    ],
    [
      'a number beyond a float',
      () => launchMany({ f: 1e39 }),
      'INVALID_ARGUMENT',
      /Got 1e\+39 for parameter 'f'.*that a float holds/,
    ],
    [
      'a number for a bool',
      () => launchMany({ flag: 1 }),
      'INVALID_ARGUMENT',
      /Got 1 for parameter 'flag' \(bool\).*true or false/,
    ],
    [
      'a number for a struct',
      () => launchMany({ shape: 1 }),
      'INVALID_ARGUMENT',
      /Got 1 for parameter 'shape' \(Shape\).*a Uint8Array with the 12 bytes of a Shape/,
    ],
    [
      'a struct of another size',
      () => launchMany({ shape: new Uint8Array(8) }),
      'INVALID_ARGUMENT',
      /Got 8 bytes for parameter 'shape'.*the 12 bytes of a Shape/,
    ],
  ];
  it.each(refusals)('refuses %s', (_, launch, code, message) => {
    expect(launch).toThrow(expect.objectContaining({ code, message: expect.stringMatching(message) }));
  });

  it('refuses tensors of another device, and everything after dispose()', async () => {
    const cpu = await openDevice('cpu', { threads: 1 });
    const foreign = Tensor.allocate(cpu, { dtype: 'int32', shape: [1] }, 'foreign');
    expect(() => add.launch({ grid: 1, threads: 1 }, foreign, 1)).toThrow(
      expect.objectContaining({ code: 'DEVICE_MISMATCH' }),
    );
    cpu.dispose();
    add.dispose();
    add.dispose();
    expect(() => add.launch({ grid: 1, threads: 1 }, null, 1)).toThrow(expect.objectContaining({ code: 'DISPOSED' }));
    await expect(add.occupancy({ threads: 1 })).rejects.toMatchObject({ code: 'DISPOSED' });
  });
});

function disposed(tensor: Tensor): Tensor {
  tensor.dispose();
  return tensor;
}
