/** From sources to launches, over a fake compiler and a fake driver. */
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { type Device, openDevice } from '../../../src/device/device';
import { type CompileProgress, Compiler } from '../../../src/device/programs/compile';
import { findNvrtc, missingHeaders } from '../../../src/device/programs/find-nvrtc';
import { loadPrograms } from '../../../src/device/programs/load-programs';
import { ProgramCache, userCacheFolder } from '../../../src/device/programs/program-cache';
import type { ProgramSource } from '../../../src/device/programs/program-source';
import { programJob } from '../../../src/device/programs/program-text';
import { parseResources } from '../../../src/device/programs/resources';
import { arange, words } from '../../support/device-programs';
import { buildFakeNvrtc, openFakeCuda } from '../../support/fake-cuda/build';

const ARANGE = '// fake: tensor_arange 48 40 0 0 1024\n';

let folder: string;
let kernelsFolder: string;
let cache: ProgramCache;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'warpbook-programs-'));
  kernelsFolder = join(folder, 'kernels');
  cache = new ProgramCache([join(folder, 'mine'), join(folder, 'shipped')]);
  mkdirSync(join(kernelsFolder, 'parts'), { recursive: true });
  write('arange.cu', `#include "parts/a.cuh"\n${ARANGE}`);
  write('parts/a.cuh', '  #  include "b.cuh"\n#include <cuda_fp16.h>\n#include "nowhere.h"\n');
  write('parts/b.cuh', 'int b;\n');
  process.env.CUDA_HOME = buildFakeNvrtc();
});
afterEach(() => {
  vi.unstubAllEnvs();
  for (const name of ['CUDA_HOME', 'FAKE_NVRTC_MINOR']) delete process.env[name];
  rmSync(folder, { recursive: true });
});

function write(file: string, text: string): void {
  writeFileSync(join(kernelsFolder, file), text);
}

function source(overrides: Partial<ProgramSource> = {}): ProgramSource {
  return {
    name: 'tensor_arange',
    file: 'arange.cu',
    entry: 'tensor_arange',
    defines: {},
    threads: 128,
    sharedMemoryBytes: 0,
    ...overrides,
  };
}

/** Without any compiler to be found. */
function withoutNvrtc(): void {
  process.env.CUDA_HOME = join(folder, 'nothing');
  for (const name of ['VIRTUAL_ENV', 'CONDA_PREFIX', 'PATH']) vi.stubEnv(name, '');
}

describe('the key of a program', () => {
  const key = (overrides: Partial<ProgramSource> = {}, architecture = 'sm_90a'): string =>
    programJob(source(overrides), architecture, kernelsFolder).key;

  it('is the same for the same text, options and architecture', () => {
    expect(key({ name: 'other', threads: 64, defines: { B: 2, A: 1 } })).toBe(key({ defines: { A: 1, B: 2 } }));
  });

  it('changes with all that the compiler sees', () => {
    const keys = [
      key(),
      key({ defines: { A: 1 } }),
      key({ defines: { A: 2 } }),
      key({ entry: 'other' }),
      key({ options: { compilerOptions: ['--maxrregcount=64'] } }),
      key({}, 'sm_80'),
    ];
    for (const file of ['parts/b.cuh', 'parts/a.cuh', 'arange.cu']) {
      write(file, `${readFileSync(join(kernelsFolder, file), 'utf8')}\n`);
      keys.push(key());
    }
    expect(new Set(keys).size).toBe(keys.length);
  });

  it('needs the file', () => {
    expect(() => key({ file: 'gone.cu' })).toThrow(expect.objectContaining({ code: 'FILE_NOT_FOUND' }));
  });
});

describe('Compiler', () => {
  it('compiles once, then reads the cache, also without a compiler', async () => {
    const seen: CompileProgress[] = [];
    const compile = (): Promise<unknown> =>
      new Compiler('sm_90a', { cache, kernelsFolder }).compileAll([source()], (progress) => seen.push(progress));
    const first = await compile();
    expect(await compile()).toEqual(first);
    withoutNvrtc();
    expect(await compile()).toEqual(first);
    expect(seen.map(({ cached }) => cached)).toEqual([false, true, true]);
    expect(seen[0]).toEqual({ done: 1, total: 1, name: 'tensor_arange', cached: false });
    expect(readdirSync(join(folder, 'mine', 'sm_90a')).map((name) => name.replace(/^[0-9a-f]{64}/, 'key'))).toEqual([
      'key-nvrtc13.0.cubin',
      'key-nvrtc13.0.json',
    ]);
  });

  it('reads what a package ships', async () => {
    const shipped = new ProgramCache([join(folder, 'shipped')]);
    const built = await new Compiler('sm_90a', { cache: shipped, kernelsFolder }).compile(source());
    withoutNvrtc();
    expect(await new Compiler('sm_90a', { cache, kernelsFolder }).compile(source())).toEqual(built);
  });

  it('takes no image of a newer major version than the driver knows', async () => {
    await new Compiler('sm_90a', { cache, kernelsFolder }).compile(source());
    const compiler = new Compiler('sm_90a', { cache, kernelsFolder, driverVersion: 12_080 });
    await expect(compiler.compile(source())).rejects.toThrow(/NVRTC 13\.0 is newer than the driver/);
  });

  it('tells what the kernel takes', async () => {
    const { resources } = await new Compiler('sm_90a', { cache, kernelsFolder }).compile(source());
    expect(resources).toEqual({
      registers: 40,
      stackBytes: 8,
      spillStoreBytes: 4,
      spillLoadBytes: 12,
      staticSharedBytes: 1024,
    });
    expect(parseResources("Compiling entry function 'tensor_arange_more' …", 'tensor_arange')).toBeUndefined();
  });

  it('shows the lines that do not compile', async () => {
    write('arange.cu', `int a;\n#error this is wrong\n${ARANGE}`);
    await expect(new Compiler('sm_90a', { cache, kernelsFolder }).compile(source())).rejects.toMatchObject({
      code: 'COMPILATION_FAILED',
      message:
        "Program 'tensor_arange' (arange.cu) does not compile:\n" +
        '  arange.cu(2): error: this is wrong\n  2 | #error this is wrong\n    |        ^',
      log: expect.stringContaining('ptxas info'),
    });
  });

  it('says where it looked and what to do where there is neither kernel nor compiler', async () => {
    withoutNvrtc();
    await expect(new Compiler('sm_90a', { cache, kernelsFolder }).compile(source())).rejects.toMatchObject({
      code: 'UNSUPPORTED',
      message: expect.stringMatching(
        /^Got program 'tensor_arange' for sm_90a, which has not been built ahead, and found no NVRTC to compile it\. Looked in CUDA_HOME=.*nothing \(no libnvrtc\.so\.13 or libnvrtc\.so\.12\).*pip install .*warpbook build-kernels --arch sm_90a\. 'warpbook doctor' shows/,
      ),
    });
  });

  it('leaves whole files where several write at the same time', async () => {
    const compilers = Array.from({ length: 8 }, () => new Compiler('sm_90a', { cache, kernelsFolder }));
    const sources = Array.from({ length: 6 }, (_, i) => source({ defines: { I: i } }));
    const all = await Promise.all(compilers.map((compiler) => compiler.compileAll(sources)));
    for (const programs of all) expect(programs).toEqual(all[0]);
    expect(readdirSync(join(folder, 'mine', 'sm_90a'))).toHaveLength(12);
  });

  it('ignores a file that is cut short', async () => {
    const built = await new Compiler('sm_90a', { cache, kernelsFolder }).compile(source());
    const [cubin] = readdirSync(join(folder, 'mine', 'sm_90a'));
    writeFileSync(join(folder, 'mine', 'sm_90a', cubin), '');
    expect(await new Compiler('sm_90a', { cache, kernelsFolder }).compile(source())).toEqual(built);
  });
});

describe('findNvrtc', () => {
  it('looks into CUDA_HOME first, and tells the version', () => {
    process.env.FAKE_NVRTC_MINOR = '2';
    const { nvrtc, missed } = findNvrtc();
    expect(nvrtc).toMatchObject({ version: [13, 2], origin: `CUDA_HOME=${process.env.CUDA_HOME}`, includeFolders: [] });
    expect(missed).toEqual([]);
    expect(missingHeaders([])).toEqual(['cuda_fp16.h', 'cuda_bf16.h', 'cuda_fp8.h', 'cuda/std/cstdint']);
  });

  it("finds a Python environment's wheels, with their headers", () => {
    const nvidia = join(folder, 'venv/lib/python3.11/site-packages/nvidia');
    mkdirSync(join(nvidia, 'cu13/include/cccl/cuda/std'), { recursive: true });
    mkdirSync(join(nvidia, 'cu13/lib'));
    execFileSync('cp', [join(buildFakeNvrtc(), 'lib64/libnvrtc.so.13'), join(nvidia, 'cu13/lib')]);
    for (const header of ['cuda_fp16.h', 'cccl/cuda/std/cstdint'])
      writeFileSync(join(nvidia, 'cu13/include', header), '');
    const { nvrtc } = findNvrtc(undefined, { VIRTUAL_ENV: join(folder, 'venv') });
    expect(nvrtc).toMatchObject({
      library: join(nvidia, 'cu13/lib/libnvrtc.so.13'),
      includeFolders: [join(nvidia, 'cu13/include'), join(nvidia, 'cu13/include/cccl')],
    });
    expect(missingHeaders(nvrtc?.includeFolders ?? [])).toEqual(['cuda_bf16.h', 'cuda_fp8.h']);
  });

  it('tells what is wrong with a library that does not load', () => {
    const home = join(folder, 'broken');
    mkdirSync(join(home, 'lib64'), { recursive: true });
    writeFileSync(join(home, 'lib64/libnvrtc.so.13'), 'no library');
    expect(findNvrtc(undefined, { CUDA_HOME: home, PATH: '' }).missed[0]).toMatchObject({
      origin: `CUDA_HOME=${home}`,
      problem: expect.stringContaining('does not load'),
    });
  });
});

describe('the cache', () => {
  it("is the user's own", () => {
    expect(userCacheFolder({ WARPBOOK_CACHE: '/a' })).toBe('/a/kernels');
    expect(userCacheFolder({ XDG_CACHE_HOME: '/b' })).toBe('/b/warpbook/kernels');
    expect(userCacheFolder({})).toMatch(/\.cache\/warpbook\/kernels$/);
  });
});

describe('loadPrograms', () => {
  let device: Device;
  beforeAll(async () => {
    device = await openFakeCuda();
  });
  afterAll(() => device.dispose());

  it('makes programs launchable', async () => {
    const infos = await loadPrograms(device, [source({ sharedMemoryBytes: 2048 })], { cache, kernelsFolder });
    expect(infos.get('tensor_arange')).toMatchObject({ registers: 40, sharedMemoryBytes: 2048 });
    const buffer = device.allocate(16);
    device.stream.launch(arange(buffer, 3));
    expect(await words(buffer)).toEqual([3, 4, 5, 6]);
    buffer.dispose();
  });

  it('is for CUDA devices', async () => {
    const cpu = await openDevice('cpu', { threads: 1 });
    await expect(loadPrograms(cpu, [source()])).rejects.toMatchObject({ code: 'UNSUPPORTED' });
    cpu.dispose();
  });
});
