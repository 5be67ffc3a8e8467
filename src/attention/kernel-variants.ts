/**
 * The one table of CUDA attention kernels: which builds of attention_decode.cu there are (those of attention_prefill.cu are in
 * prefill-variants.ts), which of them serves a wrapper, and how each is tuned. Knows the kernel's macros and its shared memory,
 * no device.
 */
import type { ProgramSource } from '../device/programs/program-source';
import { WarpbookError } from '../errors';
import type { TileClass } from '../schedule/machine';
import { DTYPE_CODE } from '../tensor/dtype';
import { opPrograms } from './op-programs';
import { planPrograms } from './plan-programs';
import { prefillPrograms } from './prefill-variants';
import type { AttentionVariant, KvDType } from './variant';

/** A build of the kernel; see native/kernels/attention/config.cuh. */
export interface KernelVariant {
  readonly dtype: 'float16' | 'bfloat16';
  readonly kvDtype: KvDType;
  readonly headDim: 64 | 128 | 256;
  /** Query rows that share one pass over the keys. Tiles may have more; they take several passes. */
  readonly rows: 8 | 16 | 32;
  /**
   * Any page size, segments, gathered rows, attention sinks and ALiBi; without, pages are multiples of 16 tokens and there
   * is none of these.
   */
  readonly general: boolean;
  /** Writes a trace record for each tile and merge group. */
  readonly traced: boolean;
}

/** What a wrapper needs of a kernel, beyond its variant. */
export interface KernelNeeds {
  /** Most query rows of a tile: query heads of a KV head times query tokens. */
  readonly rows: number;
  /** Tokens per page; 1 where keys are ragged. */
  readonly pageSize: number;
  /** Whether launches record a trace. */
  readonly traced: boolean;
  /** Capacity of the workspace. */
  readonly maxSegments: number;
  readonly maxRows: number;
}

const KV_DTYPES = ['same', 'float8_e4m3fn', 'float8_e5m2'] as const;
/** Tokens of a block, the unit that a warp streams. */
const BLOCK_TOKENS = 16;
/** Keys and values in flight on an SM: less leaves memory bandwidth unused, more gains nothing (docs/kernels.md). */
const BYTES_IN_FLIGHT = 128 * 1024;

/** Rows of the build for many rows: what a warp's accumulators have registers for. Above, the prefill kernel is for. */
export function mostDecodeRows(headDim: number): 16 | 32 {
  return headDim === 256 ? 16 : 32;
}

/**
 * The builds that are made ahead of time. Every other combination is a build too, compiled when a wrapper first needs it:
 * without `general` for float8 e5m2 or many rows, and traced.
 */
export const kernelVariants: readonly KernelVariant[] = (['float16', 'bfloat16'] as const).flatMap((dtype) =>
  KV_DTYPES.flatMap((kv) =>
    ([64, 128, 256] as const).flatMap((headDim) => {
      const kernel = { dtype, kvDtype: kv === 'same' ? dtype : kv, headDim, traced: false };
      const few = { ...kernel, rows: 8 } as const;
      return [
        ...(kv === 'float8_e5m2' ? [] : [{ ...few, general: false }]),
        { ...few, general: true },
        { ...kernel, rows: mostDecodeRows(headDim), general: true },
      ];
    }),
  ),
);

/**
 * The build for a wrapper: the one without `general` where it will do.
 * @throws WarpbookError UNSUPPORTED if no build computes this variant
 */
export function selectKernel(variant: AttentionVariant, needs: KernelNeeds): KernelVariant {
  const { dtype, kvDtype, headDim } = variant;
  const known = kernelVariants.find((k) => k.dtype === dtype && k.kvDtype === kvDtype && k.headDim === headDim);
  if (!known) {
    throw new WarpbookError(
      'UNSUPPORTED',
      `There is no CUDA kernel for dtype ${dtype}, kvDtype ${kvDtype}, headDim ${headDim}; there is for ` +
        'float16 and bfloat16 queries, keys of the same type or float8, and headDim 64, 128 and 256. The CPU device takes this one.',
    );
  }
  const rows = needs.rows <= 8 ? 8 : mostDecodeRows(headDim);
  const general =
    needs.pageSize % BLOCK_TOKENS !== 0 || needs.maxSegments > 0 || needs.maxRows > 0 || variant.sinks || variant.alibi;
  const wanted: KernelVariant = { ...known, rows, general, traced: needs.traced };
  // What is built ahead and does more is better than what would have to be compiled.
  const isAhead = kernelVariants.some((k) => programName(k) === programName({ ...wanted, traced: false }));
  return isAhead ? wanted : { ...wanted, general: true };
}

/** Shared memory of an SM and of a CTA, bytes, by architecture (CUDA C++ Programming Guide, technical specifications). */
function sharedMemoryOf(architecture: string): { perSm: number; perCta: number } {
  const version = Number.parseInt(architecture.replace(/^sm_/, ''), 10);
  if (version >= 90 && version < 120) return { perSm: 228 * 1024, perCta: 227 * 1024 };
  if (version === 80 || version === 87) return { perSm: 164 * 1024, perCta: 163 * 1024 };
  return { perSm: 100 * 1024, perCta: 99 * 1024 };
}

interface Tuning {
  readonly warps: number;
  readonly stages: number;
  readonly sharedMemoryBytes: number;
}

/** `struct SharedMemory` of attention_decode.cu. */
function sharedMemoryBytes(kernel: KernelVariant, warps: number, stages: number): number {
  const { headDim, rows } = kernel;
  const stage = stageBytes(kernel) + 16;
  const queries = rows * headDim >= 4096 ? rows * headDim * 2 : 16;
  const state = Math.min(rows, 16) * ((headDim + 4) * 4 + 8);
  const rowContexts = rows * 8;
  const pendingGroups = 4 * (8 + 32 + 2) * 4;
  return Math.ceil((warps * (stages * stage + state + rowContexts) + queries + pendingGroups + 16) / 128) * 128;
}

function stageBytes({ headDim, kvDtype }: KernelVariant): number {
  return 2 * BLOCK_TOKENS * headDim * (kvDtype.startsWith('float8') ? 1 : 2);
}

/** As many bytes in flight as are of use, in as many warps as there is room for. */
function tune(kernel: KernelVariant, architecture: string): Tuning {
  const { perSm, perCta } = sharedMemoryOf(architecture);
  const most = stageBytes(kernel) > 8192 || (kernel.headDim === 256 && kernel.rows > 8) ? 4 : 8;
  let warps = most;
  let stages = wantedStages(kernel, warps);
  while (sharedMemoryBytes(kernel, warps, stages) > perCta) {
    if (stages > 1) {
      stages--;
    } else {
      warps /= 2;
      stages = wantedStages(kernel, warps);
    }
  }
  // Exactly one CTA an SM: where two fit, CTAs of the next launch pile up on the SMs that are free first.
  const bytes = Math.max(sharedMemoryBytes(kernel, warps, stages), Math.floor(perSm / 2 / 128) * 128 + 128);
  return { warps, stages, sharedMemoryBytes: bytes };
}

function wantedStages(kernel: KernelVariant, warps: number): number {
  return Math.max(2, Math.min(8, BYTES_IN_FLIGHT / (warps * stageBytes(kernel))));
}

const SHORT: Record<string, string> = {
  float16: 'f16',
  bfloat16: 'bf16',
  float8_e4m3fn: 'e4m3',
  float8_e5m2: 'e5m2',
};

/** What launches call a build, such as `attention_bf16_e4m3_d128_r8`. */
export function programName(kernel: KernelVariant): string {
  const { dtype, kvDtype, headDim, rows, general, traced } = kernel;
  return `attention_${SHORT[dtype]}_${SHORT[kvDtype]}_d${headDim}_r${rows}${general ? '_general' : ''}${traced ? '_traced' : ''}`;
}

/** A build for an architecture such as `sm_90a`. */
export function attentionProgram(kernel: KernelVariant, architecture: string): ProgramSource {
  const { warps, stages, sharedMemoryBytes: bytes } = tune(kernel, architecture);
  // 16 rows of 256 head dims take 128 registers for the output and 64 for the queries, of 128 head dims in two bytes half
  // of that beside twice the values. What is spilled lives outside the products: 32 requests of 4k with 4 tokens each reach
  // 2.9 TB/s all the same.
  const wide = kernel.headDim === 256 ? 2400 : 64;
  const maxSpillBytes = kernel.rows === 16 && kernel.headDim >= 128 ? wide : 0;
  return {
    name: programName(kernel),
    file: 'attention_decode.cu',
    entry: 'attention_decode',
    defines: {
      WB_QUERY_DTYPE: DTYPE_CODE[kernel.dtype],
      WB_KV_DTYPE: DTYPE_CODE[kernel.kvDtype],
      WB_HEAD_DIM: kernel.headDim,
      WB_ROW_TILES: kernel.rows / 8,
      WB_WARPS: warps,
      WB_STAGES: stages,
      WB_CTAS_PER_SM: 1,
      WB_GENERAL: kernel.general ? 1 : 0,
      WB_TRACE: kernel.traced ? 1 : 0,
      WB_WARM_BLOCKS: stages,
    },
    threads: warps * 32,
    sharedMemoryBytes: bytes,
    options: { pdl: true, maxSpillBytes },
  };
}

/** The tile class that policies plan with for a build. */
export function tileClassOf(kernel: KernelVariant, architecture: string): TileClass {
  const { warps, sharedMemoryBytes: bytes } = tune(kernel, architecture);
  return {
    queryRows: kernel.rows,
    kvStep: warps * BLOCK_TOKENS,
    headDimQk: kernel.headDim,
    headDimV: kernel.headDim,
    threads: warps * 32,
    sharedMemoryBytes: bytes,
    ctasPerSm: 1,
  };
}

/** Every program of this folder for an architecture: what is compiled ahead of time. */
export function kernelPrograms(architecture: string): readonly ProgramSource[] {
  const decode = kernelVariants.map((kernel) => attentionProgram(kernel, architecture));
  return [...decode, ...prefillPrograms(architecture), ...opPrograms, ...planPrograms];
}
