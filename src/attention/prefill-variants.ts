/**
 * The CUDA prefill kernels: which builds of attention_prefill.cu there are, which of them serves a wrapper, and how each is
 * tiled for an architecture. Knows the kernel's macros and its shared memory, no device.
 */
import type { ProgramSource } from '../device/programs/program-source';
import { WarpbookError } from '../errors';
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

/** The build for a wrapper; undefined if none computes this variant, or it doesn't fit the architecture. */
export function findPrefillKernel(
  variant: AttentionVariant,
  traced: boolean,
  architecture: string,
): PrefillKernel | undefined {
  const { dtype, kvDtype, headDim } = variant;
  const float8Kv = kvDtype === 'float8_e4m3fn' || kvDtype === 'float8_e5m2';
  const found = prefillKernels.find(
    (kernel) =>
      kernel.dtype === dtype &&
      kernel.headDim === headDim &&
      kernel.float8Kv === float8Kv &&
      (float8Kv || kvDtype === dtype),
  );
  return found && tilingOf(found, architecture) && { ...found, traced };
}

/** How a build cuts its work. */
export interface PrefillTiling {
  readonly warps: number;
  /** Groups of 16 query rows of a warp. */
  readonly rowGroups: number;
  /** KV tokens of a step of the main loop. */
  readonly stepTokens: number;
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
  const rowBytes = headDim * 2 + 16;
  const step = 2 * stepTokens * rowBytes;
  const stages = step + (float8Kv ? 2 * stepTokens * headDim : step);
  const infos = 2 * (8 + stepTokens / 8);
  const perWarp = 16 + 2 * 96 + 4 + 48;
  const perThread = 32;
  const pendingGroups = 4 * (8 + 32 + 2) * 4;
  const bytes = rows * (rowBytes + 16) + stages + infos + warps * (perWarp + 32 * perThread) + pendingGroups + 96;
  return Math.ceil(bytes / 128) * 128;
}

/**
 * How a build is best cut on an architecture; undefined where it doesn't fit. Two groups of rows a warp halve what is read from
 * shared memory for each matrix instruction; with 256 head dims their output doesn't fit the registers. Two CTAs an SM, so that
 * one multiplies while the other is at its softmax or waits.
 */
function tilingOf(kernel: PrefillKernel, architecture: string): PrefillTiling | undefined {
  const { perSm, perCta } = sharedMemoryOf(architecture);
  const cut = (warps: number, rowGroups: number, stepTokens: number, ctasPerSm: number): PrefillTiling => ({
    warps,
    rowGroups,
    stepTokens,
    ctasPerSm,
  });
  const candidates = {
    // Widening leaves no registers for the scores of 128 tokens.
    64: [...(kernel.float8Kv ? [] : [cut(4, 2, 128, 2)]), cut(4, 2, 64, 2), cut(4, 2, 32, 1)],
    128: [cut(4, 2, 64, 2), cut(4, 2, 32, 2), cut(4, 2, 32, 1)],
    256: [cut(8, 1, 64, 1), cut(4, 1, 32, 2), cut(4, 1, 32, 1)],
  }[kernel.headDim];
  return candidates.find((tiling) => {
    const bytes = prefillSharedBytes(kernel, tiling);
    // A CTA takes a KiB more than it asks for.
    return bytes <= perCta && tiling.ctasPerSm * (bytes + 1024) <= perSm;
  });
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
  tiling: PrefillTiling = requireTiling(kernel, architecture),
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
  tiling: PrefillTiling = requireTiling(kernel, architecture),
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
  return prefillKernels
    .filter((kernel) => tilingOf(kernel, architecture) !== undefined)
    .map((kernel) => prefillProgram(kernel, architecture));
}

function requireTiling(kernel: PrefillKernel, architecture: string): PrefillTiling {
  const tiling = tilingOf(kernel, architecture);
  if (tiling) return tiling;
  throw new WarpbookError(
    'UNSUPPORTED',
    `${prefillProgramName(kernel)} doesn't fit the shared memory of ${architecture}; findPrefillKernel tells which builds do.`,
  );
}
