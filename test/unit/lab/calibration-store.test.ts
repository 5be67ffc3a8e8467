import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { openDevice } from '../../../src/attention/open-device';
import type { Device } from '../../../src/device/device';
import { calibrate } from '../../../src/lab/calibrate-run';
import {
  calibrationPath,
  costModelFor,
  readCostModel,
  useOf,
  writeCostModel,
} from '../../../src/lab/calibration-store';
import { gpuKernelHash, kernelHash } from '../../../src/lab/kernel-hash';
import { machines } from '../../../src/schedule/machine';
import { costModels } from '../../../src/simulate/cost-models';
import { rooflineModel } from '../../../src/simulate/roofline';

let device: Device;
let folder: string;
beforeAll(async () => {
  device = await openDevice('cpu', { threads: 2 });
  folder = mkdtempSync(join(tmpdir(), 'warpbook-calibrations-'));
});
afterAll(() => {
  device.dispose();
  rmSync(folder, { recursive: true });
});

describe('kernelHash', () => {
  test('is one for each architecture, and stays', () => {
    expect(gpuKernelHash('sm_90a')).toMatch(/^[0-9a-f]{12}$/);
    expect(gpuKernelHash('sm_90a')).toBe(gpuKernelHash('sm_90a'));
    expect(gpuKernelHash('sm_90a')).not.toBe(gpuKernelHash('sm_80'));
    expect(kernelHash(device)).not.toBe(gpuKernelHash('sm_90a'));
  });
});

describe('calibrations on disk', () => {
  test('without one, a device gets an estimate that says how to get one', async () => {
    const model = await costModelFor(device, folder);
    expect(model.kind).toBe('roofline');
    expect(model.name).toMatch(/not calibrated; warpbook calibrate measures it/);
  });

  test('what was stored is found again, by GPU, driver and kernels', async () => {
    const path = await calibrationPath(device, folder);
    expect(path).toContain(kernelHash(device));
    const { gpu, numSms } = useOf(device);
    const model = {
      ...rooflineModel(machines.h100),
      name: 'mine',
      kind: 'calibrated' as const,
      gpu,
      numSms: numSms as number,
      kernelHash: kernelHash(device),
    };
    writeCostModel(path, model);
    expect(await costModelFor(device, folder)).toEqual(model);
    rmSync(path);
  });

  test('a calibration of other kernels or another GPU is refused, naming both', () => {
    const path = join(folder, 'other.json');
    const { gpu, numSms } = useOf(device);
    const model = { ...rooflineModel(machines.h100), kind: 'calibrated' as const, kernelHash: 'feedfeedfeed' };
    writeCostModel(path, { ...model, gpu, numSms: numSms as number });
    expect(() => readCostModel(path, { device })).toThrow(
      new RegExp(`kernels feedfeedfeed; these are ${kernelHash(device)}`),
    );
    writeCostModel(path, model);
    expect(() => readCostModel(path, { device })).toThrow(/is of H100 SXM with 132 SMs; wanted one of CPU/);
    expect(readCostModel(path, { device, allowMismatch: true })).toEqual(model);
    expect(readCostModel(path)).toEqual(model);
  });

  test('of other kernels it is refused without a GPU, too', () => {
    const path = join(folder, 'stale.json');
    const ofNow = gpuKernelHash('sm_90a');
    const model = { ...rooflineModel(machines.h100), kind: 'calibrated' as const, architecture: 'sm_90a' };
    writeCostModel(path, { ...model, kernelHash: ofNow });
    expect(readCostModel(path).kernelHash).toBe(ofNow);
    writeCostModel(path, { ...model, kernelHash: 'feedfeedfeed' });
    expect(() => readCostModel(path)).toThrow(new RegExp(`kernels feedfeedfeed; these are ${ofNow}`));
    expect(readCostModel(path, { allowMismatch: true }).kernelHash).toBe('feedfeedfeed');
  });

  test('the one that comes with warpbook is of its kernels', () => {
    expect(costModels.h100.architecture).toBe('sm_90a');
    expect(costModels.h100.kernelHash).toBe(gpuKernelHash('sm_90a'));
  });

  test('damaged files are told apart from missing ones', () => {
    const path = join(folder, 'damaged.json');
    expect(() => readCostModel(path)).toThrow(expect.objectContaining({ code: 'FILE_NOT_FOUND' }));
    writeFileSync(path, '{"name": "cut sho');
    expect(() => readCostModel(path)).toThrow(expect.objectContaining({ code: 'FILE_FORMAT' }));
    writeFileSync(path, JSON.stringify({ ...rooflineModel(machines.h100), l2Speedup: -1 }));
    expect(() => readCostModel(path)).toThrow(/at l2Speedup/);
    writeFileSync(path, JSON.stringify({ ...rooflineModel(machines.h100), numThreads: 2 }));
    expect(() => readCostModel(path)).toThrow(/at numThreads.*warpbook calibrate again/);
  });
});

describe('calibrate', () => {
  test('measures the CPU device, tells how far it is, and writes what it found', async () => {
    const out = join(folder, 'cpu.json');
    const seen: string[] = [];
    const model = await calibrate(device, {
      store: false,
      out,
      samples: 1,
      poolBytes: 256e6,
      onProgress: ({ done, total, what }) => seen.push(`${done}/${total} ${what}`),
    });
    expect(model).toMatchObject({ kind: 'calibrated', gpu: 'CPU', kernelHash: kernelHash(device) });
    expect(model.cpu?.pace).toHaveLength(2);
    expect(model.fit?.measurements).toBeGreaterThan(8);
    expect(seen[0]).toMatch(/^0\/\d+ /);
    expect(seen[seen.length - 1]).toMatch(/ done$/);
    expect(readCostModel(out, { device })).toEqual(model);
  }, 60_000);
});
