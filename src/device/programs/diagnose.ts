/** What this machine has for CUDA: driver, GPUs, compiler, headers, built kernels. Answers, and never throws for what is missing. */
import type { WarpbookError } from '../../errors';
import { loadAddon } from '../../native/load';
import { architectureOf } from '../cuda';
import { diagnoseNvml } from '../telemetry';
import { findLinker, type LinkerSearch } from './find-linker';
import { findNvrtc, missingHeaders, type NvrtcSearch } from './find-nvrtc';
import { ProgramCache } from './program-cache';

/** A GPU that the driver offers. */
export interface GpuFacts {
  readonly ordinal: number;
  readonly name: string;
  /** Such as `sm_90a`. */
  readonly architecture: string;
  readonly numSms: number;
  readonly memoryBytes: number;
}

export interface CudaDiagnosis {
  readonly driver:
    | { readonly library: string; readonly version: number; readonly gpus: readonly GpuFacts[] }
    /** Why there is none, and what to do. */
    | { readonly problem: string };
  /** Clocks and power: what the driver's NVML says, or why it says nothing. Nothing needs it but measurements. */
  readonly nvml: { readonly driver: string } | { readonly problem: string };
  readonly nvrtc: NvrtcSearch;
  /** For kernels that launch kernels; undefined where there is no NVRTC to go with it. */
  readonly linker: LinkerSearch | undefined;
  /** CUDA headers that the NVRTC found has not beside it. */
  readonly missingHeaders: readonly string[];
  readonly kernels: readonly { readonly folder: string; readonly architecture: string; readonly programs: number }[];
  /** Where compiled kernels are kept, in the order in which they are looked up. */
  readonly cacheFolders: readonly string[];
}

/** See the file head. Throws `NATIVE` alone, where the addon is missing. */
export function diagnoseCuda(): CudaDiagnosis {
  const nvrtc = findNvrtc();
  const cache = new ProgramCache();
  return {
    driver: diagnoseDriver(),
    nvml: diagnoseNvml(),
    nvrtc,
    linker: nvrtc.nvrtc && findLinker(nvrtc.nvrtc.version),
    missingHeaders: nvrtc.nvrtc ? missingHeaders(nvrtc.nvrtc.includeFolders) : [],
    kernels: cache.count(),
    cacheFolders: cache.folders,
  };
}

function diagnoseDriver(): CudaDiagnosis['driver'] {
  try {
    const { library, driver_version, devices } = loadAddon().cuda_probe();
    const gpus = devices.map((facts) => ({
      ordinal: facts.ordinal,
      name: facts.name,
      architecture: architectureOf(facts.compute_capability_major, facts.compute_capability_minor),
      numSms: facts.num_sms,
      memoryBytes: facts.total_bytes,
    }));
    return { library, version: driver_version, gpus };
  } catch (error) {
    if ((error as WarpbookError).code !== 'UNSUPPORTED') throw error;
    return { problem: (error as Error).message };
  }
}
