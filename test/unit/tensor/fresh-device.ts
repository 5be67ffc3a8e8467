import { expect } from 'vitest';
import { type Device, openDevice } from '../../../src/device/device';

/**
 * Runs `use` with a device of its own and expects that every buffer it made was disposed, by `use` or by what it
 * called; the garbage collector, which frees forgotten ones some time, must not have been needed.
 */
export async function leavesNoMemory(use: (device: Device) => unknown): Promise<void> {
  const device = await openDevice('cpu', { threads: 1, name: 'fresh' });
  try {
    await use(device);
    expect(device.memory()).toMatchObject({ usedBytes: 0, collectedBuffers: 0 });
  } finally {
    device.dispose();
  }
}
