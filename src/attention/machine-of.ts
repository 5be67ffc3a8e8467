/** The machine description of a device: what policies plan for unless told otherwise. */
import type { Device } from '../device/device';
import { cpuMachine, type Machine } from '../schedule/machine';

/** Virtual CTAs for each thread of the CPU device: a few, so that uneven tiles still even out. */
const CTAS_PER_THREAD = 4;

export function machineOf(device: Device): Machine {
  return cpuMachine(device.description.numProcessors * CTAS_PER_THREAD);
}
