/** Opening a device with all that tensors and attention launch on it, and choosing the one that a notebook works on. */
import {
  type Device,
  type DeviceOptions,
  defaultDevice,
  openDevice as openBareDevice,
  setDefaultDevice,
} from '../device/device';
import { builtInPrograms } from '../device/programs/built-in';
import { loadPrograms } from '../device/programs/load-programs';
import type { ProgramSource } from '../device/programs/program-source';
import { WarpbookError } from '../errors';
import { tensorPrograms } from '../tensor/kernel-programs';
import { opPrograms } from './op-programs';
import { planPrograms } from './plan-programs';

/** `cpu` is always there; `cuda` needs an NVIDIA GPU and its driver. */
export type DeviceKind = Device['kind'];

/** @internal What a CUDA device has from the start; the kernels of wrappers come with them. */
export function programsAtOpening(architecture: string): readonly ProgramSource[] {
  return [...builtInPrograms(), ...tensorPrograms(architecture), ...opPrograms, ...planPrograms];
}

/**
 * Opens a device: `cpu`, which is always there, or `cuda`, which needs NVIDIA's driver and, for each kernel, a build of it
 * for the GPU or NVRTC to compile it (`warpbook doctor` shows what is there). The first time that takes seconds, later
 * it is read from a cache.
 * @param kind default: what the environment variable WARPBOOK_DEVICE says, `cpu` where it says nothing
 * @throws WarpbookError INVALID_ARGUMENT for options out of range or another WARPBOOK_DEVICE; UNSUPPORTED, saying what is
 * missing and what to do, where there is no driver, GPU or kernel; NATIVE where the addon is missing
 */
export async function openDevice(kind: DeviceKind = kindByEnvironment(), options: DeviceOptions = {}): Promise<Device> {
  const device = await openBareDevice(kind, options);
  const { architecture } = device.description;
  if (architecture === undefined) return device;
  try {
    await loadPrograms(device, programsAtOpening(architecture));
    return device;
  } catch (error) {
    device.dispose();
    throw error;
  }
}

/** What {@link useDevice} opened last without options; a lost one too, since only another process gets CUDA back. */
let inUse: Device | undefined;

/**
 * Opens a device and makes it the one that calls without a `device` use: the first line of a notebook that runs on
 * whatever WARPBOOK_DEVICE says. Run again, it answers with the same device, so that what lives there stays usable; with
 * options it opens another one. Disposes nothing.
 * @param kind as for {@link openDevice}
 * @throws WarpbookError as {@link openDevice}; the default device is as before then
 */
export async function useDevice(kind: DeviceKind = kindByEnvironment(), options?: DeviceOptions): Promise<Device> {
  const device = options ? await openDevice(kind, options) : await sameDevice(kind);
  setDefaultDevice(device);
  return device;
}

async function sameDevice(kind: DeviceKind): Promise<Device> {
  if (inUse?.kind === kind && !inUse.disposed) return inUse;
  if (kind === 'cpu') {
    // What was made before the first useDevice() lives on the shared one: stay with it.
    setDefaultDevice(undefined);
    inUse = defaultDevice();
  } else {
    inUse = await openDevice(kind);
  }
  return inUse;
}

function kindByEnvironment(): DeviceKind {
  const kind = process.env.WARPBOOK_DEVICE || 'cpu';
  if (kind === 'cpu' || kind === 'cuda') return kind;
  throw new WarpbookError(
    'INVALID_ARGUMENT',
    `WARPBOOK_DEVICE is '${kind}'; wanted cpu or cuda, or no such variable, which means cpu.`,
  );
}
