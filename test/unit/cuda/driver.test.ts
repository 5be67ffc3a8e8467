/** What is said where there is no usable driver. The order matters: once a driver is loaded, the process keeps it. */
import { afterEach, describe, expect, it } from 'vitest';
import { openDevice } from '../../../src/device/device';
import { loadAddon } from '../../../src/native/load';
import { buildFakeDriver } from '../../support/fake-cuda/build';

const VARIABLES = ['WARPBOOK_CUDA_LIBRARY', 'FAKE_CUDA_VERSION', 'FAKE_CUDA_DEVICES', 'FAKE_CUDA_FAIL'];

describe('opening a CUDA device', () => {
  afterEach(() => {
    for (const name of VARIABLES) delete process.env[name];
  });

  async function refusal(environment: Record<string, string>, ordinal = 0): Promise<unknown> {
    Object.assign(process.env, environment);
    return openDevice('cuda', { ordinal }).then(
      () => 'opened',
      (error: unknown) => error,
    );
  }

  it('says that there is no driver, and what to do', async () => {
    expect(await refusal({ WARPBOOK_CUDA_LIBRARY: '/nowhere/libcuda.so.1' })).toMatchObject({
      code: 'UNSUPPORTED',
      message: expect.stringMatching(
        /^Got no CUDA driver at WARPBOOK_CUDA_LIBRARY=\/nowhere\/libcuda\.so\.1 .*Correct the variable or unset it\. The CPU device works without it: openDevice\('cpu'\)\.$/,
      ),
    });
  });

  it('leaves the CPU device alone', async () => {
    await refusal({ WARPBOOK_CUDA_LIBRARY: '/nowhere/libcuda.so.1' });
    const cpu = await openDevice('cpu', { threads: 1 });
    const buffer = cpu.allocate(4);
    buffer.fill(new Uint8Array([7]));
    expect([...(await buffer.read())]).toEqual([7, 7, 7, 7]);
    cpu.dispose();
  });

  it('refuses a library that is no driver', async () => {
    expect(await refusal({ WARPBOOK_CUDA_LIBRARY: 'libm.so.6' })).toMatchObject({
      code: 'UNSUPPORTED',
      message: expect.stringContaining('without cuDriverGetVersion, which CUDA 2.2 brought'),
    });
  });

  it('refuses a driver that is too old, by its version', async () => {
    const library = buildFakeDriver();
    expect(await refusal({ WARPBOOK_CUDA_LIBRARY: library, FAKE_CUDA_VERSION: '11080' })).toMatchObject({
      code: 'UNSUPPORTED',
      message: expect.stringMatching(
        /^Got a CUDA driver for CUDA 11\.8 at .*; wanted one for CUDA 12\.0 or newer\. Update/,
      ),
    });
  });

  it('says that there is no GPU', async () => {
    const library = buildFakeDriver();
    expect(await refusal({ WARPBOOK_CUDA_LIBRARY: library, FAKE_CUDA_DEVICES: '0' })).toMatchObject({
      code: 'UNSUPPORTED',
      message: expect.stringMatching(
        /^cuInit failed with CUDA_ERROR_NO_DEVICE \(100\)\. The driver sees no GPU: check nvidia-smi/,
      ),
    });
  });

  it('tries again, refuses a GPU that there is not, and lists those that there are', async () => {
    const WARPBOOK_CUDA_LIBRARY = buildFakeDriver();
    expect(await refusal({ WARPBOOK_CUDA_LIBRARY }, 2)).toMatchObject({
      code: 'UNSUPPORTED',
      message: expect.stringMatching(/^Got CUDA device 2; wanted one of the 2 that the driver offers/),
    });
    const { driver_version, devices } = loadAddon().cuda_probe();
    expect(driver_version).toBe(13000);
    expect(devices.map(({ name, ordinal }) => [ordinal, name])).toEqual([
      [0, 'Fake GPU 0'],
      [1, 'Fake GPU 1'],
    ]);
  });

  it('names the call that failed, its error and the device', async () => {
    const environment = { WARPBOOK_CUDA_LIBRARY: buildFakeDriver(), FAKE_CUDA_FAIL: 'cuDevicePrimaryCtxRetain=2' };
    expect(await refusal(environment)).toMatchObject({
      code: 'OUT_OF_MEMORY',
      message: expect.stringMatching(
        /^cuDevicePrimaryCtxRetain failed with CUDA_ERROR_OUT_OF_MEMORY \(2\), while opening CUDA device 0\./,
      ),
    });
  });

  it('describes the device', async () => {
    process.env.WARPBOOK_CUDA_LIBRARY = buildFakeDriver();
    const device = await openDevice('cuda', { ordinal: 1, name: 'second' });
    expect(device.description).toEqual({
      kind: 'cuda',
      name: 'Fake GPU 1',
      numProcessors: 132,
      instructionSet: 'sm_90a',
      totalMemoryBytes: 256 << 20,
      architecture: 'sm_90a',
      driverVersion: 13000,
      maxSharedMemoryBytes: 232448,
      maxThreadsPerSm: 2048,
    });
    expect([device.name, device.kind]).toEqual(['second', 'cuda']);
    expect(device.memory().limitBytes).toBe(Math.floor((256 << 20) * 0.9));
    device.dispose();
  });

  it('refuses options of the other kind', async () => {
    await expect(openDevice('cuda', { threads: 2 })).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' });
    await expect(openDevice('cpu', { ordinal: 0 })).rejects.toThrow(
      "Got the option ordinal for a device of kind 'cpu', which has none; leave it out.",
    );
    await expect(openDevice('tpu' as 'cpu')).rejects.toThrow("Got a device of kind 'tpu'; wanted 'cpu' or 'cuda'.");
  });
});
