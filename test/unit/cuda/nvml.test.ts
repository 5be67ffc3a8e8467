/** Clocks and power over a fake NVML. The order matters: once a library is initialised, the process keeps it. */
import { afterEach, describe, expect, it } from 'vitest';
import { type Device, openDevice } from '../../../src/device/device';
import { diagnoseNvml } from '../../../src/device/telemetry';
import { buildFakeNvml, openFakeCuda } from '../../support/fake-cuda/build';

const devices: Device[] = [];
afterEach(() => {
  for (const device of devices.splice(0)) device.dispose();
  for (const name of ['WARPBOOK_NVML_LIBRARY', 'FAKE_NVML_INIT', 'FAKE_NVML_SILENT']) delete process.env[name];
});

async function telemetry(library: string): Promise<unknown> {
  process.env.WARPBOOK_NVML_LIBRARY = library;
  const device = await openFakeCuda();
  devices.push(device);
  return device.telemetry();
}

describe('clocks and power', () => {
  it('says why there are none where there is no NVML', async () => {
    expect(await telemetry('/nowhere/libnvidia-ml.so.1')).toEqual({
      problem: expect.stringMatching(
        /^Got no NVML \(\/nowhere\/libnvidia-ml\.so\.1: .*\); wanted libnvidia-ml\.so\.1, .*set WARPBOOK_NVML_LIBRARY to its path\.$/,
      ),
    });
    expect(diagnoseNvml()).toEqual({ problem: expect.stringContaining('Got no NVML') });
  });

  it('refuses a library that is none', async () => {
    expect(await telemetry('libm.so.6')).toEqual({
      problem: expect.stringMatching(/without nvmlInit_v2, which driver 304 brought; .* Update the driver\.$/),
    });
  });

  it('tells what NVML says when it has no driver to talk to, and tries again', async () => {
    process.env.FAKE_NVML_INIT = '9';
    expect(await telemetry(buildFakeNvml())).toEqual({
      problem: 'nvmlInit_v2 failed with "Driver Not Loaded" (9). Check nvidia-smi.',
    });
    delete process.env.FAKE_NVML_INIT;
    expect(await telemetry(buildFakeNvml())).toMatchObject({ driver: '580.1.2' });
  });

  it('reads the GPU that is open, and what holds its clocks down', async () => {
    expect(await telemetry(buildFakeNvml())).toEqual({
      driver: '580.1.2',
      smClockMhz: 1755,
      maxSmClockMhz: 1980,
      memoryClockMhz: 2619,
      powerWatts: 699.5,
      powerLimitWatts: 700,
      temperatureC: 61,
      throttledBy: ['power cap'],
    });
    expect(diagnoseNvml()).toEqual({ driver: '580.1.2' });
  });

  it('leaves out what a GPU does not tell', async () => {
    process.env.FAKE_NVML_SILENT = '1';
    const told = (await telemetry(buildFakeNvml())) as Record<string, unknown>;
    expect(told).toMatchObject({ smClockMhz: 1755, temperatureC: 61 });
    for (const name of ['powerWatts', 'powerLimitWatts', 'throttledBy']) expect(told[name]).toBeUndefined();
  });

  it('the CPU device tells none', async () => {
    const device = await openDevice('cpu', { threads: 1 });
    devices.push(device);
    expect((await device.telemetry()).problem).toContain('CPU device');
  });
});
