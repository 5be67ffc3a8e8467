import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { examine } from '../../../src/cli/doctor';
import { main } from '../../../src/cli/main';
import type { CudaDiagnosis } from '../../../src/device/programs/diagnose';
import { buildFakeDriver, buildFakeNvrtc } from '../../support/fake-cuda/build';

const HEALTHY: CudaDiagnosis = {
  driver: {
    library: 'libcuda.so.1',
    version: 13_000,
    gpus: [{ ordinal: 0, name: 'H100', architecture: 'sm_90a', numSms: 132, memoryBytes: 80 * 2 ** 30 }],
  },
  nvml: { driver: '580.1' },
  nvrtc: {
    nvrtc: {
      library: '/cuda/libnvrtc.so.13',
      version: [13, 0],
      includeFolders: ['/cuda/include'],
      origin: 'CUDA_HOME',
    },
    missed: [],
  },
  linker: {
    linker: {
      library: '/cuda/libnvJitLink.so.13',
      version: [13, 0],
      deviceRuntime: '/cuda/libcudadevrt.a',
      origin: 'CUDA_HOME',
    },
    missed: [],
  },
  missingHeaders: [],
  kernels: [],
  cacheFolders: ['/cache', '/shipped'],
};
const NO_NVRTC = { nvrtc: undefined, missed: [{ origin: '/usr/local/cuda', problem: 'no libnvrtc.so.13 or .12' }] };

describe('the report of doctor', () => {
  it('says that all is well', () => {
    expect(examine(HEALTHY)).toEqual({
      healthy: true,
      lines: [
        'ok       driver: libcuda.so.1, for CUDA 13.0',
        'ok       GPU 0: H100, sm_90a, 132 SMs, 80.0 GiB',
        'ok       NVML: driver 580.1; measurements note clocks and power',
        'ok       NVRTC 13.0: /cuda/libnvrtc.so.13 (CUDA_HOME)',
        'ok       headers: /cuda/include',
        'ok       nvJitLink 13.0: /cuda/libnvJitLink.so.13 (CUDA_HOME), with /cuda/libcudadevrt.a',
        'none     built kernels: /cache, /shipped',
      ],
    });
  });

  it('says what is missing, where it looked and what to do', () => {
    const { lines, healthy } = examine({ ...HEALTHY, driver: { problem: 'Got no CUDA driver …' }, nvrtc: NO_NVRTC });
    expect(healthy).toBe(false);
    expect(lines.slice(0, 3)).toEqual([
      'missing  driver: Got no CUDA driver …',
      'ok       NVML: driver 580.1; measurements note clocks and power',
      expect.stringContaining('missing  NVRTC: install it (pip install nvidia-cuda-nvrtc'),
    ]);
    expect(lines).toContain('           /usr/local/cuda: no libnvrtc.so.13 or .12');
  });

  it('needs no compiler where kernels are built', () => {
    const kernels = [{ folder: '/shipped', architecture: 'sm_90a', programs: 60 }];
    const { lines, healthy } = examine({ ...HEALTHY, nvrtc: NO_NVRTC, kernels });
    expect(healthy).toBe(true);
    expect(lines.at(-1)).toBe('ok       built kernels: 60 for sm_90a in /shipped');
  });

  it('says what kernels that launch kernels lack, and that all else works', () => {
    const linker = { linker: undefined, missed: [{ origin: 'CUDA_HOME=/cuda', problem: 'no libcudadevrt.a' }] };
    const { lines, healthy } = examine({ ...HEALTHY, linker });
    expect(healthy).toBe(true);
    expect(lines.join('\n')).toContain(
      'missing  nvJitLink with libcudadevrt.a, for kernels of your own that launch kernels',
    );
    expect(lines.join('\n')).toContain('pip install nvidia-nvjitlink nvidia-cuda-runtime');
    expect(lines).toContain('           CUDA_HOME=/cuda: no libcudadevrt.a');
    expect(examine({ ...HEALTHY, linker: undefined }).lines.join('\n')).not.toContain('nvJitLink');
  });

  it('names missing headers', () => {
    const { lines, healthy } = examine({ ...HEALTHY, missingHeaders: ['cuda_fp8.h'] });
    expect(healthy).toBe(true);
    expect(lines.join('\n')).toContain('missing  headers: cuda_fp8.h, for kernels of your own');
  });
});

describe('the commands', () => {
  let folder: string;
  let output: string;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'warpbook-cuda-'));
    output = '';
    for (const stream of [process.stdout, process.stderr]) {
      vi.spyOn(stream, 'write').mockImplementation((text) => {
        output += text;
        return true;
      });
    }
    process.env.CUDA_HOME = buildFakeNvrtc();
    process.env.WARPBOOK_CUDA_LIBRARY = buildFakeDriver();
  });
  afterEach(() => {
    vi.restoreAllMocks();
    process.exitCode = undefined;
    for (const name of ['CUDA_HOME', 'WARPBOOK_CUDA_LIBRARY']) delete process.env[name];
    rmSync(folder, { recursive: true });
  });

  it('doctor finds driver, GPUs and compiler', async () => {
    expect(await main(['doctor'])).toBe(0);
    expect(output).toMatch(/ok {7}GPU 1: Fake GPU 1, sm_90a, 132 SMs, 256 MiB/);
    expect(output).toMatch(/ok {7}NVRTC 13\.0/);
  });

  it('build-kernels compiles every program for every architecture', async () => {
    const args = ['build-kernels', '--arch', 'sm_80,sm_90a', '--out', folder, '--allow-spills'];
    expect(await main(args)).toBe(0);
    const count = (architecture: string): number =>
      readdirSync(join(folder, architecture)).filter((name) => name.endsWith('.cubin')).length;
    expect(count('sm_90a')).toBeGreaterThan(50);
    expect(count('sm_80')).toBe(count('sm_90a'));
    expect(output).toContain('sm_90a 1/');
    expect(await main(args)).toBe(0);
    expect(output).toContain('noop (was there)');
  });

  it('build-kernels deletes what no program asks for any more, where it is told to', async () => {
    const args = ['build-kernels', '--arch', 'sm_80', '--out', folder, '--allow-spills'];
    mkdirSync(join(folder, 'sm_80'));
    const stale = join(folder, 'sm_80', `${'0'.repeat(64)}-nvrtc13.0.cubin`);
    writeFileSync(stale, 'old');
    expect(await main(args)).toBe(0);
    expect(existsSync(stale)).toBe(true);
    const programs = readdirSync(join(folder, 'sm_80')).length - 1;
    expect(await main([...args, '--prune'])).toBe(0);
    expect(existsSync(stale)).toBe(false);
    expect(readdirSync(join(folder, 'sm_80'))).toHaveLength(programs);
  });

  it('build-kernels fails where the compiler tells no registers, or spills', async () => {
    expect(await main(['build-kernels', '--arch', 'sm_80', '--out', folder])).toBe(1);
    expect(output).toContain('sm_80 noop: the compiler told no use of registers');
  });

  it('build-kernels refuses what is no architecture', async () => {
    expect(await main(['build-kernels', '--arch', 'hopper'])).toBe(2);
    expect(output).toContain("Got 'hopper'; wanted names such as sm_90a");
  });
});
