/** What a device's clocks, power and temperature are now; on a GPU by NVML. Reads and never sets. */
import type { WarpbookError } from '../errors';
import type { Addon } from '../native/addon';
import { loadAddon } from '../native/load';

/** Readings of a moment; what the device doesn't tell is undefined. */
export interface Telemetry {
  /** Why there are no readings at all, and what to do. */
  readonly problem?: string;
  /** The driver's own version, such as `580.159.04`. */
  readonly driver?: string;
  readonly smClockMhz?: number;
  readonly maxSmClockMhz?: number;
  readonly memoryClockMhz?: number;
  readonly powerWatts?: number;
  readonly powerLimitWatts?: number;
  readonly temperatureC?: number;
  /** What holds the clocks down, such as `power cap`; empty: nothing. */
  readonly throttledBy?: readonly string[];
}

/** Bits of nvmlClocksThrottleReason (nvml.h); idle clocks and clocks that someone set are no throttling. */
const THROTTLE_REASONS: readonly (readonly [bit: number, reason: string])[] = [
  [0x4, 'power cap'],
  [0x8, 'hardware slowdown'],
  [0x10, 'sync boost'],
  [0x20, 'temperature (software)'],
  [0x40, 'temperature (hardware)'],
  [0x80, 'power brake'],
];

/** NVML's library: WARPBOOK_NVML_LIBRARY, or a name for the system's loader. */
export function nvmlLibrary(): string {
  return process.env.WARPBOOK_NVML_LIBRARY || 'libnvidia-ml.so.1';
}

/** The driver's version by NVML, or why there is none. Throws `NATIVE` alone, where the addon is missing. */
export function diagnoseNvml(): { readonly driver: string } | { readonly problem: string } {
  try {
    return { driver: loadAddon().nvml_driver_version(nvmlLibrary()) };
  } catch (error) {
    return { problem: problemOf(error) };
  }
}

/** Readings of the GPU at `pciBusId`. Never throws for what is missing. */
export function readGpuTelemetry(addon: Addon, pciBusId: string): Telemetry {
  const library = nvmlLibrary();
  try {
    const driver = addon.nvml_driver_version(library);
    const readings = addon.nvml_read(library, pciBusId);
    const watts = (milliwatts: number | undefined): number | undefined => milliwatts && milliwatts / 1e3;
    const bits = readings.throttle_reasons;
    return {
      driver,
      smClockMhz: readings.sm_mhz,
      maxSmClockMhz: readings.max_sm_mhz,
      memoryClockMhz: readings.memory_mhz,
      powerWatts: watts(readings.power_mw),
      powerLimitWatts: watts(readings.power_limit_mw),
      temperatureC: readings.temperature_c,
      throttledBy: bits === undefined ? undefined : reasonsOf(bits),
    };
  } catch (error) {
    return { problem: problemOf(error) };
  }
}

function reasonsOf(bits: number): string[] {
  return THROTTLE_REASONS.filter(([bit]) => (bits & bit) !== 0).map(([, reason]) => reason);
}

function problemOf(error: unknown): string {
  if ((error as WarpbookError).code !== 'UNSUPPORTED') throw error;
  return (error as Error).message;
}
