/** The machine description of a device: what policies plan for unless told otherwise. */
import type { Device } from '../device/device';
import { cpuMachine, type Machine, machines } from '../schedule/machine';

/** Virtual CTAs for each thread of the CPU device: a few, so that uneven tiles still even out. */
const CTAS_PER_THREAD = 4;

export function machineOf(device: Device): Machine {
  if (device.kind === 'cuda') return gpuOf(device);
  return cpuMachine(device.description.numProcessors * CTAS_PER_THREAD);
}

/** The data sheet of the GPU, by its name, with the SMs that it really has; of the H100 for a GPU that isn't known. */
function gpuOf({ description: { name, numProcessors } }: Device): Machine {
  const known = Object.entries(machines).find(([key]) => name.toLowerCase().includes(key));
  return { ...(known?.[1] ?? machines.h100), name, numSms: numProcessors };
}
