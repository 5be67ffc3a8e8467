/** Opening a device with all that tensors and attention launch on it. */
import { type Device, type DeviceOptions, openDevice as openBareDevice } from '../device/device';
import { builtInPrograms } from '../device/programs/built-in';
import { loadPrograms } from '../device/programs/load-programs';
import { tensorPrograms } from '../tensor/kernel-programs';
import { opPrograms } from './op-programs';
import { planPrograms } from './plan-programs';

/**
 * Opens a device: `cpu`, which is always there, or `cuda`, which needs NVIDIA's driver and, for each kernel, a build of it
 * for the GPU or NVRTC to compile it (`warpbook doctor` shows what is there). The first time that takes seconds, later
 * it is read from a cache. Throws `INVALID_ARGUMENT` for options out of range, `UNSUPPORTED`, saying what is missing and
 * what to do, where there is no driver, GPU or kernel; `NATIVE` where the addon is missing.
 */
export async function openDevice(kind: 'cpu' | 'cuda', options: DeviceOptions = {}): Promise<Device> {
  const device = await openBareDevice(kind, options);
  const { architecture } = device.description;
  if (architecture === undefined) return device;
  try {
    await loadPrograms(device, [...builtInPrograms(), ...tensorPrograms(architecture), ...opPrograms, ...planPrograms]);
    return device;
  } catch (error) {
    device.dispose();
    throw error;
  }
}
