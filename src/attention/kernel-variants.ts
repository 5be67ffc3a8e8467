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

/** Tokens of a block, the unit that a warp streams. */
const BLOCK_TOKENS = 16;
/** Keys and values in flight on an SM: less leaves memory bandwidth unused, more gains nothing (docs/kernels.md). */
const BYTES_IN_FLIGHT = 128 * 1024;

/** Query rows of a tile up to which this kernel is the right one; above, the prefill kernel is. */
export function mostDecodeRows(headDim: number): 16 | 32 {
  return headDim === 256 ? 16 : 32;
}

type Build = Pick<KernelVariant, 'rows' | 'general' | 'traced'>;
const LEAN: Build = { rows: 8, general: false, traced: false };
const GENERAL: Build = { ...LEAN, general: true };
/** What is built ahead of time, by what is stored and how often it is used. */
const BUILDS: Record<'same' | 'float8_e4m3fn' | 'float8_e5m2', (dtype: string) => readonly Build[]> = {
  same: () => [LEAN, GENERAL, { ...GENERAL, rows: 16 }, { ...GENERAL, rows: 32 }, { ...GENERAL, traced: true }],
  float8_e4m3fn: (dtype) => [...(dtype === 'bfloat16' ? [LEAN] : []), GENERAL, { ...GENERAL, rows: 16 }],
  float8_e5m2: () => [GENERAL],
};

/** The builds that are made ahead of time. Traced ones that are not among them compile when a wrapper first needs them. */
export const kernelVariants: readonly KernelVariant[] = (['float16', 'bfloat16'] as const).flatMap((dtype) =>
  (['same', 'float8_e4m3fn', 'float8_e5m2'] as const).flatMap((kv) =>
    ([64, 128, 256] as const).flatMap((headDim) =>
      BUILDS[kv](dtype)
        .filter((build) => build.rows <= mostDecodeRows(headDim))
        .map((build) => ({ dtype, kvDtype: kv === 'same' ? dtype : kv, headDim, ...build })),
    ),
  ),
);

/**
 * The build for a wrapper: with as many rows as its tiles have, or the most there are, and without `general` where that will
 * do and is built.
 * @throws WarpbookError UNSUPPORTED if no build computes this variant
 */
export function selectKernel(variant: AttentionVariant, needs: KernelNeeds): KernelVariant {
  const { dtype, kvDtype, headDim } = variant;
  const family = kernelVariants.filter((k) => k.dtype === dtype && k.kvDtype === kvDtype && k.headDim === headDim);
  if (family.length === 0) {
    throw new WarpbookError(
      'UNSUPPORTED',
      `There is no CUDA kernel for dtype ${dtype}, kvDtype ${kvDtype}, headDim ${headDim}; there is for ` +
        'float16 and bfloat16 queries, keys of the same type or float8, and headDim 64, 128 and 256. The CPU device takes this one.',
    );
  }
  const general =
    needs.pageSize % BLOCK_TOKENS !== 0 || needs.maxSegments > 0 || needs.maxRows > 0 || variant.sinks || variant.alibi;
  const untraced = family.filter((kernel) => !kernel.traced && (kernel.general || !general));
  const rowsBuilt = [...new Set(untraced.map((kernel) => kernel.rows))].sort((a, b) => a - b);
  const rows = rowsBuilt.find((count) => count >= needs.rows) ?? rowsBuilt[rowsBuilt.length - 1];
  const fitting = untraced.filter((kernel) => kernel.rows === rows);
  if (needs.traced) return { ...fitting[0], general: true, traced: true };
  return fitting.find((kernel) => !kernel.general) ?? fitting[0];
}

/** How a build holds its rows: tiles of 8 rows a warp, and warps that split the rows of one stream of keys. */
function rowShape({ rows, headDim }: KernelVariant): { rowTiles: number; teamWarps: number } {
  const rowTiles = rows === 8 || headDim === 256 ? 1 : 2;
  return { rowTiles, teamWarps: rows / 8 / rowTiles };
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

/** `struct SharedMemory` of attention_decode.cu, which checks it. */
function sharedMemoryBytes(kernel: KernelVariant, warps: number, stages: number): number {
  const { headDim, rows, kvDtype } = kernel;
  const { rowTiles, teamWarps } = rowShape(kernel);
  const stage = stageBytes(kernel) + 16 * stepBlocks(kernel);
  const pitch = headDim + (rowTiles === 2 && !kvDtype.startsWith('float8') ? 8 : 4);
  const state = rows * (pitch * 4 + 8);
  const rowContexts = warps * rowTiles * 8 * 8;
  const pendingGroups = (rows > 8 ? 16 : 4) * (8 + 32 + 2) * 4;
  const bytes = (warps / teamWarps) * (stages * stage + state) + rowContexts + pendingGroups + 16;
  return Math.ceil(bytes / 128) * 128;
}

function blockBytes({ headDim, kvDtype }: KernelVariant): number {
  return 2 * BLOCK_TOKENS * headDim * (kvDtype.startsWith('float8') ? 1 : 2);
}

/** Blocks of a step: two where one is so short that a step's latency counts for more than its bytes (docs/kernels.md). */
function stepBlocks(kernel: KernelVariant): 1 | 2 {
  return kernel.rows === 8 && blockBytes(kernel) < 4096 ? 2 : 1;
}

function stageBytes(kernel: KernelVariant): number {
  return stepBlocks(kernel) * blockBytes(kernel);
}

/** As many bytes in flight as are of use, in as many warps as there is room for. */
function tune(kernel: KernelVariant, architecture: string): Tuning {
  const { perSm, perCta } = sharedMemoryOf(architecture);
  const { teamWarps } = rowShape(kernel);
  // The states of more warps would not fit beside long stages.
  const most = stageBytes(kernel) > 8192 && teamWarps === 1 ? 4 : 8;
  let warps = most;
  let stages = wantedStages(kernel, warps);
  while (sharedMemoryBytes(kernel, warps, stages) > perCta) {
    if (stages > 1) {
      stages--;
    } else if (warps > teamWarps) {
      warps /= 2;
      stages = wantedStages(kernel, warps);
    } else {
      throw new WarpbookError(
        'UNSUPPORTED',
        `${programName(kernel)} needs more shared memory than ${architecture} has.`,
      );
    }
  }
  // Exactly one CTA an SM: where two fit, CTAs of the next launch pile up on the SMs that are free first.
  const bytes = Math.max(sharedMemoryBytes(kernel, warps, stages), Math.floor(perSm / 2 / 128) * 128 + 128);
  return { warps, stages, sharedMemoryBytes: bytes };
}

function wantedStages(kernel: KernelVariant, warps: number): number {
  const teams = warps / rowShape(kernel).teamWarps;
  return Math.max(2, Math.min(16, BYTES_IN_FLIGHT / (teams * stageBytes(kernel))));
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
  const { rowTiles, teamWarps } = rowShape(kernel);
  return {
    name: programName(kernel),
    file: 'attention_decode.cu',
    entry: 'attention_decode',
    defines: {
      WB_QUERY_DTYPE: DTYPE_CODE[kernel.dtype],
      WB_KV_DTYPE: DTYPE_CODE[kernel.kvDtype],
      WB_HEAD_DIM: kernel.headDim,
      WB_ROW_TILES: rowTiles,
      WB_TEAM_WARPS: teamWarps,
      WB_WARPS: warps,
      WB_STAGES: stages,
      WB_CTAS_PER_SM: 1,
      WB_GENERAL: kernel.general ? 1 : 0,
      WB_TRACE: kernel.traced ? 1 : 0,
      WB_STEP_BLOCKS: stepBlocks(kernel),
      WB_WARM_BLOCKS: stages * stepBlocks(kernel),
      WB_SHARED_MEMORY_BYTES: bytes,
    },
    threads: warps * 32,
    sharedMemoryBytes: bytes,
    options: { pdl: true },
  };
}

/** The tile class that policies plan with for a build. */
export function tileClassOf(kernel: KernelVariant, architecture: string): TileClass {
  const { warps, sharedMemoryBytes: bytes } = tune(kernel, architecture);
  return {
    queryRows: kernel.rows,
    kvStep: (warps / rowShape(kernel).teamWarps) * BLOCK_TOKENS,
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
