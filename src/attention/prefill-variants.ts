/**
 * The CUDA prefill kernels: which builds of attention_prefill.cu there are, which of them serves a wrapper, and how each is
 * tiled for an architecture. Knows the kernel's macros and its shared memory, no device.
 */
import type { ProgramSource } from '../device/programs/program-source';
import type { TileClass } from '../schedule/machine';
import { DTYPE_CODE } from '../tensor/dtype';
import type { AttentionVariant } from './variant';

/** A build of the kernel; see native/kernels/attention/prefill_config.cuh. One serves both float8 formats. */
export interface PrefillKernel {
  readonly dtype: 'float16' | 'bfloat16';
  readonly float8Kv: boolean;
  readonly headDim: 64 | 128 | 256;
  readonly traced: boolean;
}

/** What is built ahead: all but the traced ones, which compile on first use. */
export const prefillKernels: readonly PrefillKernel[] = (['float16', 'bfloat16'] as const).flatMap((dtype) =>
  [false, true].flatMap((float8Kv) =>
    ([64, 128, 256] as const).map((headDim): PrefillKernel => ({ dtype, float8Kv, headDim, traced: false })),
  ),
);

/** The build for a wrapper; undefined if none computes this variant. */
export function findPrefillKernel(variant: AttentionVariant, traced: boolean): PrefillKernel | undefined {
  const { dtype, kvDtype, headDim } = variant;
  const float8Kv = kvDtype === 'float8_e4m3fn' || kvDtype === 'float8_e5m2';
  const found = prefillKernels.find(
    (kernel) =>
      kernel.dtype === dtype &&
      kernel.headDim === headDim &&
      kernel.float8Kv === float8Kv &&
      (float8Kv || kvDtype === dtype),
  );
  return found && { ...found, traced };
}

/** How a build cuts its work. */
export interface PrefillTiling {
  readonly warps: number;
  /** Groups of 16 query rows of a warp. */
  readonly rowGroups: number;
  /** KV tokens of a step of the main loop. */
  readonly stepTokens: number;
  /** KV tokens whose scores are in registers at once. */
  readonly partTokens: number;
  readonly queriesInRegisters: boolean;
  readonly ctasPerSm: number;
}

/** Shared memory of an SM and of a CTA, bytes, by architecture (CUDA C++ Programming Guide, technical specifications). */
function sharedMemoryOf(architecture: string): { perSm: number; perCta: number } {
  const version = Number.parseInt(architecture.replace(/^sm_/, ''), 10);
  if (version >= 90 && version < 120) return { perSm: 228 * 1024, perCta: 227 * 1024 };
  if (version === 80 || version === 87) return { perSm: 164 * 1024, perCta: 163 * 1024 };
  return { perSm: 100 * 1024, perCta: 99 * 1024 };
}

/** `struct SharedMemory` of attention_prefill.cu, which checks that this is no less. */
export function prefillSharedBytes({ headDim, float8Kv }: PrefillKernel, tiling: PrefillTiling): number {
  const { warps, rowGroups, stepTokens } = tiling;
  const rows = warps * rowGroups * 16;
  const step = 2 * stepTokens * headDim * 2;
  const stages = step + (float8Kv ? step / 2 : step);
  const infos = 2 * (8 + stepTokens / 8);
  const perWarp = 16 + 2 * 80 + 4;
  const pendingGroups = 4 * (8 + 32 + 2) * 4;
  return (
    Math.ceil((rows * headDim * 2 + stages + infos + rows * 16 + warps * perWarp + pendingGroups + 64) / 128) * 128
  );
}

/**
 * Two groups of rows a warp halve what is read from shared memory for each matrix instruction; with 256 head dims their output
 * doesn't fit the registers. Two CTAs an SM, so that one multiplies while the other is at its softmax.
 */
function tilingOf(kernel: PrefillKernel, architecture: string): PrefillTiling {
  const { perSm, perCta } = sharedMemoryOf(architecture);
  const wide = kernel.headDim === 256;
  for (const stepTokens of [64, 32]) {
    const tiling = {
      warps: 4,
      rowGroups: wide ? 1 : 2,
      stepTokens,
      partTokens: stepTokens,
      queriesInRegisters: kernel.headDim === 64,
      ctasPerSm: 2,
    };
    const bytes = prefillSharedBytes(kernel, tiling);
    // A CTA takes a KiB more than it asks for.
    if (2 * (bytes + 1024) <= perSm) return tiling;
    if (stepTokens === 32 && bytes <= perCta) return { ...tiling, ctasPerSm: 1 };
  }
  throw new Error(`no tiling of ${JSON.stringify(kernel)} for ${architecture}`);
}

const SHORT = { float16: 'f16', bfloat16: 'bf16' };

/** What launches call a build, such as `prefill_bf16_d128` or `prefill_f16_f8_d64_traced`. */
export function prefillProgramName({ dtype, float8Kv, headDim, traced }: PrefillKernel): string {
  return `prefill_${SHORT[dtype]}${float8Kv ? '_f8' : ''}_d${headDim}${traced ? '_traced' : ''}`;
}

/** A build for an architecture such as `sm_90a`; `tiling` is for experiments. */
export function prefillProgram(
  kernel: PrefillKernel,
  architecture: string,
  tiling: PrefillTiling = tilingOf(kernel, architecture),
): ProgramSource {
  const sharedMemoryBytes = prefillSharedBytes(kernel, tiling);
  return {
    name: prefillProgramName(kernel),
    file: 'attention_prefill.cu',
    entry: 'attention_prefill',
    defines: {
      WB_QUERY_DTYPE: DTYPE_CODE[kernel.dtype],
      WB_KV_DTYPE: DTYPE_CODE[kernel.float8Kv ? 'float8_e4m3fn' : kernel.dtype],
      WB_HEAD_DIM: kernel.headDim,
      WB_WARPS: tiling.warps,
      WB_ROW_GROUPS: tiling.rowGroups,
      WB_STEP_TOKENS: tiling.stepTokens,
      WB_PART_TOKENS: tiling.partTokens,
      WB_QUERIES_IN_REGISTERS: tiling.queriesInRegisters ? 1 : 0,
      WB_CTAS_PER_SM: tiling.ctasPerSm,
      WB_TRACE: kernel.traced ? 1 : 0,
      WB_SHARED_BYTES: sharedMemoryBytes,
    },
    threads: tiling.warps * 32,
    sharedMemoryBytes,
    options: { pdl: true },
  };
}

/** The tile class that policies plan with for a build. */
export function prefillTileClass(
  kernel: PrefillKernel,
  architecture: string,
  tiling: PrefillTiling = tilingOf(kernel, architecture),
): TileClass {
  return {
    queryRows: tiling.warps * tiling.rowGroups * 16,
    kvStep: tiling.stepTokens,
    headDimQk: kernel.headDim,
    headDimV: kernel.headDim,
    threads: tiling.warps * 32,
    sharedMemoryBytes: prefillSharedBytes(kernel, tiling),
    ctasPerSm: tiling.ctasPerSm,
  };
}

/** What is built ahead for an architecture. */
export function prefillPrograms(architecture: string): readonly ProgramSource[] {
  return prefillKernels.map((kernel) => prefillProgram(kernel, architecture));
}
