/** Which device calls use that name none. */
import { afterEach, describe, expect, test, vi } from 'vitest';
import { openDevice, useDevice } from '../../../src/attention/open-device';
import { defaultDevice, setDefaultDevice } from '../../../src/device/device';
import { zeros } from '../../../src/tensor/create';

afterEach(() => {
  vi.unstubAllEnvs();
  setDefaultDevice(undefined);
});

describe('openDevice', () => {
  test('without a kind asks WARPBOOK_DEVICE, and opens the CPU device where it says nothing', async () => {
    vi.stubEnv('WARPBOOK_DEVICE', '');
    const device = await openDevice();
    expect(device.kind).toBe('cpu');
    device.dispose();
    vi.stubEnv('WARPBOOK_DEVICE', 'cpu');
    const another = await openDevice(undefined, { threads: 1 });
    expect([another.kind, another.description.numProcessors]).toEqual(['cpu', 1]);
    another.dispose();
  });

  test('refuses another WARPBOOK_DEVICE', async () => {
    vi.stubEnv('WARPBOOK_DEVICE', 'gpu');
    for (const open of [openDevice, useDevice]) {
      await expect(open()).rejects.toMatchObject({
        code: 'INVALID_ARGUMENT',
        message: "WARPBOOK_DEVICE is 'gpu'; wanted cpu or cuda, or no such variable, which means cpu.",
      });
    }
  });
});

describe('useDevice', () => {
  test('stays with the CPU device that was in use, and with itself', async () => {
    const before = defaultDevice();
    expect(await useDevice('cpu')).toBe(before);
    expect(await useDevice('cpu')).toBe(before);
    expect(defaultDevice()).toBe(before);
  });

  test('with options opens another, which tensors are then made on', async () => {
    const device = await useDevice('cpu', { threads: 1, name: 'chosen' });
    const tensor = zeros([2]);
    expect(tensor.device).toBe(device);
    tensor.dispose();
    device.dispose();
    expect(() => zeros([2])).toThrow(
      expect.objectContaining({
        code: 'DISPOSED',
        message: expect.stringContaining('chosen, was disposed; call useDevice()'),
      }),
    );
    expect((await useDevice('cpu')).disposed).toBe(false);
    zeros([2]).dispose();
  });

  test('that fails leaves the default device as it was', async () => {
    const before = defaultDevice();
    await expect(useDevice('cpu', { threads: 0 })).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' });
    expect(defaultDevice()).toBe(before);
  });
});
