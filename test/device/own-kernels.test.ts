/** Kernels of one's own on a real GPU: compiled here, so skipped where there is no NVRTC. */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import type { Buffer } from '../../src/device/buffer';
import { type Device, openDevice } from '../../src/device/device';
import { findLinker } from '../../src/device/programs/find-linker';
import { findNvrtc } from '../../src/device/programs/find-nvrtc';
import { capture } from '../../src/graph/capture';
import { Tensor } from '../../src/tensor/tensor';
import { words } from './probes';

const SOURCE = `
struct Shape { int rows; float scale; int columns; };
template <typename T> struct Traits { using Element = T; };

template <typename T, int Offset>
__global__ void scale(typename Traits<T>::Element* out, const T* in, int count, T factor) {
  for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < count; i += gridDim.x * blockDim.x) out[i] = in[i] * factor + Offset;
}

__global__ void many(double* out, const float* x, bool flag, signed char c, short s, long long big, float f, double d,
                     Shape shape, void* any, unsigned char last) {
  const double values[] = {x[0], double(flag), double(c), double(s), double(big), f, d, double(shape.rows), shape.scale,
                           double(shape.columns), double(any == out), double(last)};
  for (int i = threadIdx.x; i < 12; i += blockDim.x) out[i] = values[i];
}

__global__ void shape(unsigned* words) {
  unsigned shared, cluster = 1;
  asm("mov.u32 %0, %%dynamic_smem_size;" : "=r"(shared));
#if __CUDA_ARCH__ >= 900
  asm("mov.u32 %0, %%cluster_nctaid.x;" : "=r"(cluster));
#endif
  const unsigned seen[] = {gridDim.x, gridDim.y, gridDim.z, blockDim.x, blockDim.y, blockDim.z, shared, cluster};
  if (blockIdx.x + blockIdx.y + blockIdx.z + threadIdx.x + threadIdx.y + threadIdx.z == 0) {
    for (int i = 0; i < 8; ++i) words[i] = seen[i];
  }
}

extern "C" __global__ void add(int* word, int value) { if (threadIdx.x == 0) atomicAdd(word, value); }
`;

const { nvrtc } = findNvrtc();
const skip = nvrtc === undefined && 'no NVRTC found';
const linkerSkip =
  (nvrtc === undefined || !findLinker(nvrtc.version).linker) && 'no nvJitLink with libcudadevrt.a found';

describe('kernels of one’s own', { skip }, () => {
  let device: Device;
  before(async () => {
    device = await openDevice('cuda');
  });
  after(() => device.dispose());

  it('run as instances of templates, on tensors', async () => {
    const kernel = await device.compile(SOURCE, { name: 'scale', templateArguments: ['float', 3] });
    assert.equal(kernel.signature, 'scale<float, 3>(float* out, float const* in, int count, float factor)');
    const [x, y] = [1, 2].map(() => Tensor.allocate(device, { dtype: 'float32', shape: [1000] }, 'of a test'));
    x.buffer.write(new Uint8Array(Float32Array.from({ length: 1000 }, (_, i) => i / 2).buffer));
    kernel.launch({ grid: 2, threads: 128 }, y, x, 1000, 4);
    const bytes = await y.buffer.read();
    const values = new Float32Array(bytes.buffer, bytes.byteOffset, 1000);
    assert.ok(values.every((value, i) => value === 2 * i + 3));
    const { ctasPerSm, share } = await kernel.occupancy({ threads: 128 });
    assert.ok(ctasPerSm >= 8 && share > 0.4 && kernel.info.registers > 0);
    for (const thing of [kernel, x, y]) thing.dispose();
  });

  it('get every kind of parameter where it belongs', async () => {
    const kernel = await device.compile(SOURCE, { name: 'many' });
    const out = device.allocate(12 * 8);
    const x = device.allocate(4);
    x.write(new Uint8Array(Float32Array.of(2.5).buffer));
    const struct = new Uint8Array(12);
    const view = new DataView(struct.buffer);
    view.setInt32(0, 11, true);
    view.setFloat32(4, -7.5, true);
    view.setInt32(8, 13, true);
    kernel.launch({ grid: 1, threads: 32 }, out, x, true, -100, -30_000, 2n ** 52n, 0.25, 1e200, struct, out, 250);
    const bytes = await out.read();
    assert.deepEqual(
      [...new Float64Array(bytes.buffer, bytes.byteOffset, 12)],
      [2.5, 1, -100, -30_000, 2 ** 52, 0.25, 1e200, 11, -7.5, 13, 1, 250],
    );
    for (const thing of [kernel, out, x]) thing.dispose();
  });

  it('have CTAs in three dimensions, much shared memory, and clusters where the GPU has them', async () => {
    const kernel = await device.compile(SOURCE, { name: 'shape' });
    const seen = device.allocate(32);
    kernel.launch({ grid: [6, 2, 3], threads: [8, 4, 2], sharedMemoryBytes: 90_000 }, seen);
    assert.deepEqual(await words(seen), [6, 2, 3, 8, 4, 2, 90_000, 1]);
    if (Number(device.description.architecture?.slice(3, 5)) >= 90) {
      kernel.launch({ grid: 8, threads: 64, clusterSize: 4, pdl: true }, seen);
      assert.deepEqual(await words(seen), [8, 1, 1, 64, 1, 1, 0, 4]);
      kernel.launch({ grid: 32, threads: 64, clusterSize: 16 }, seen);
      assert.equal((await words(seen))[7], 16);
    }
    kernel.dispose();
    seen.dispose();
  });

  it('are captured, updated, and outlive their dispose() in a graph', async () => {
    const kernel = await device.compile(SOURCE, { name: 'add' });
    const word = zeroed(device);
    const graph = capture(device, () => kernel.launch({ grid: 2, threads: 32 }, word, 5));
    const exec = graph.instantiate();
    exec.replay();
    assert.deepEqual(await words(word), [10]);
    exec.updateNode(0, kernel.bind({ grid: 1, threads: 64 }, word, 100));
    kernel.dispose();
    exec.replay();
    assert.deepEqual(await words(word), [110]);
    for (const thing of [exec, graph, word]) thing.dispose();
  });

  it('launch kernels', { skip: linkerSkip }, async () => {
    const source = `
      __global__ void child(int* x) { atomicAdd(x, 1); }
      __global__ void parent(int* x) { child<<<2, 32>>>(x); }`;
    const kernel = await device.compile(source, { name: 'parent' });
    const word = zeroed(device);
    kernel.launch({ grid: 3, threads: 1 }, word);
    assert.deepEqual(await words(word), [192]);
    kernel.dispose();
    word.dispose();
  });

  it('that go wrong before they run leave the device alone', async () => {
    await assert.rejects(device.compile('__global__ void bad(float* x) {\n  *x = y;\n}', { name: 'bad' }), {
      code: 'COMPILATION_FAILED',
      message: /kernel\.cu\(2\): error: identifier "y" is undefined\n {2}2 \| {3}\*x = y;\n {4}\| {8}\^/,
    });
    const kernel = await device.compile(SOURCE, { name: 'add' });
    const word = zeroed(device);
    assert.throws(() => kernel.launch({ grid: 0, threads: 32 }, word, 1), { code: 'INVALID_ARGUMENT' });
    assert.throws(() => kernel.launch({ grid: 1, threads: 2048 }, word, 1), { code: 'INVALID_ARGUMENT' });
    assert.throws(() => kernel.launch({ grid: 1, threads: 32, sharedMemoryBytes: 1 << 20 }, word, 1), {
      code: 'INVALID_ARGUMENT',
    });
    assert.throws(() => kernel.launch({ grid: 1, threads: 32 }, word, 0.5), { code: 'INVALID_ARGUMENT' });
    assert.throws(() => kernel.launch({ grid: 1_000_000, threads: 1024, cooperative: true }, word, 1), {
      code: 'INVALID_ARGUMENT',
      message: /CUDA_ERROR_COOPERATIVE_LAUNCH_TOO_LARGE.*A cooperative grid must fit on the GPU at once/,
    });
    kernel.launch({ grid: 1, threads: 32 }, word, 1);
    assert.deepEqual(await words(word), [1]);
    kernel.dispose();
    word.dispose();
  });
});

function zeroed(device: Device): Buffer {
  const word = device.allocate(4);
  word.fill(new Uint8Array([0]));
  return word;
}
