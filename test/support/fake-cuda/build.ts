/** Builds the fake CUDA driver and compiler with the system's C++ compiler, once for each version of its source. */
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { type Device, type DeviceOptions, openDevice } from '../../../src/device/device';

const NATIVE = join(__dirname, '../../../native');

const DRIVER = ['fake_driver.cc', 'fake_memory.cc', 'fake_streams.cc', 'fake_kernels.cc', 'fake_graphs.cc'];

/** Path of the fake libcuda. */
export function buildFakeDriver(): string {
  return build(DRIVER, 'libcuda.so.1');
}

/** One without the functions that drivers of CUDA 12.0 have not. */
export function buildOldFakeDriver(): string {
  return build(DRIVER, 'libcuda.so.1', ['-DFAKE_CUDA_12_0']);
}

/** A CUDA_HOME with a fake NVRTC; see the head of fake_nvrtc.cc. */
export function buildFakeNvrtc(): string {
  return join(build(['fake_nvrtc.cc'], 'lib64/libnvrtc.so.13'), '../..');
}

/** A CUDA_HOME with a fake nvJitLink and an (empty) device runtime; see the head of fake_nvjitlink.cc. */
export function buildFakeNvJitLink(): string {
  const library = build(['fake_nvjitlink.cc'], 'lib64/libnvJitLink.so.13');
  writeFileSync(join(dirname(library), 'libcudadevrt.a'), '');
  return join(library, '../..');
}

/** Path of the fake libnvidia-ml; see the head of fake_nvml.cc. */
export function buildFakeNvml(): string {
  return build(['fake_nvml.cc'], 'libnvidia-ml.so.1');
}

/** Compiles sources into a folder that is their content's own. */
function build(sources: readonly string[], name: string, flags: readonly string[] = []): string {
  const paths = sources.map((source) => join(__dirname, source));
  const hash = createHash('sha256').update(flags.join());
  const headers = [join(__dirname, 'fake_objects.h'), join(NATIVE, 'cuda/driver_types.h')];
  for (const file of [...paths, ...headers]) hash.update(readFileSync(file));
  const library = join(tmpdir(), 'warpbook-fake-cuda', hash.digest('hex').slice(0, 16), name);
  if (existsSync(library)) return library;
  mkdirSync(dirname(library), { recursive: true });
  const unfinished = `${library}.${process.pid}`;
  const options = ['-std=c++17', '-O1', '-shared', '-fPIC', '-pthread', `-I${NATIVE}`, ...flags];
  execFileSync(process.env.CXX ?? 'c++', [...options, ...paths, '-o', unfinished], { stdio: 'inherit' });
  renameSync(unfinished, library);
  return library;
}

/** An image of the fake's: kernels with their size of parameters; see the head of fake_driver.cc. */
export function fakeImage(...kernels: readonly string[]): Uint8Array {
  return new TextEncoder().encode(`fake-cubin\n${kernels.join('\n')}\n`);
}

/** Kernels of the fake that every device here has, by name: bytes of parameters. */
const PROGRAMS = {
  noop: 0,
  tensor_arange: 48,
  add_u32: 16,
  report: 16,
  wait_word: 16,
  fault: 16,
  set_conditional: 32,
  launch_exec: 16,
  set_grid: 16,
} as const;

/** Opens a CUDA device of the fake driver's, with its programs loaded. */
export async function openFakeCuda(options: DeviceOptions = {}, library: string = buildFakeDriver()): Promise<Device> {
  process.env.WARPBOOK_CUDA_LIBRARY = library;
  const device = await openDevice('cuda', options);
  for (const [entry, paramsBytes] of Object.entries(PROGRAMS)) {
    const image = fakeImage(`${entry} ${paramsBytes} 32 0 0 1024`);
    await device.loadProgram(entry, image, { entry, threads: 128, sharedMemoryBytes: 0 });
  }
  return device;
}
