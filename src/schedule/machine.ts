/**
 * Machines as plain values: what a policy and a simulator need to know about the hardware, with sources.
 * Figures marked "measured" come from `bench/results`; the others from the vendors' data sheets.
 */

/** The shape of work that one kernel build handles per tile. An input of a policy: it chooses among them. */
export interface TileClass {
  /** Query rows of a tile (see problem.ts for what a row is). */
  readonly queryRows: number;
  /** KV tokens that the main loop takes per step; splits aligned to it waste nothing. */
  readonly kvStep: number;
  readonly headDimQk: number;
  readonly headDimV: number;
  readonly threads: number;
  readonly sharedMemoryBytes: number;
  /** CTAs of this class that stay resident on one SM. */
  readonly ctasPerSm: number;
}

/** All that a policy needs to know of the hardware. A plain value: copy and change it for a machine of your own. */
export interface Machine {
  readonly name: string;
  readonly numSms: number;
  /** Tile classes on offer, indexed by a work tile's `tileClass`. At least one. */
  readonly tileClasses: readonly TileClass[];
  readonly l2Bytes: number;
  /** Peak DRAM bandwidth, GB/s (1e9 bytes). */
  readonly memoryBandwidthGBs: number;
  /** Dense bf16 matrix rate with fp32 accumulation, TFLOP/s. */
  readonly bf16Tflops: number;
  /** Where the figures come from. */
  readonly source: string;
}

/** CTA slots of a tile class: SMs × resident CTAs. The grid of the persistent kernels, whatever the batch. */
export function numCtaSlots(machine: Machine, tileClass: number = 0): number {
  return machine.numSms * machine.tileClasses[tileClass].ctasPerSm;
}

/** Tile class of the decode kernel: 16 rows (GQA group × query tokens); each of 8 warps streams 16 tokens a step. */
const decodeTile: TileClass = {
  queryRows: 16,
  kvStep: 128,
  headDimQk: 128,
  headDimV: 128,
  threads: 256,
  sharedMemoryBytes: 131072,
  ctasPerSm: 1,
};
/** Tile class of the prefill kernel: 4 warps of 32 rows; two CTAs share an SM. */
const prefillTile: TileClass = {
  queryRows: 128,
  kvStep: 64,
  headDimQk: 128,
  headDimV: 128,
  threads: 128,
  sharedMemoryBytes: 112512,
  ctasPerSm: 2,
};
const gpuTiles: readonly TileClass[] = [decodeTile, prefillTile];

/** The machines that warpbook knows by name. */
export const machines: {
  readonly h100: Machine;
  readonly h200: Machine;
  readonly a100: Machine;
  readonly l40s: Machine;
} = {
  h100: {
    name: 'H100 SXM',
    numSms: 132,
    tileClasses: gpuTiles,
    l2Bytes: 50 * 2 ** 20,
    memoryBandwidthGBs: 3352,
    bf16Tflops: 989.4,
    source: 'NVIDIA H100 Tensor Core GPU data sheet (SXM5, 80 GB HBM3)',
  },
  h200: {
    name: 'H200 SXM',
    numSms: 132,
    tileClasses: gpuTiles,
    l2Bytes: 60 * 2 ** 20,
    memoryBandwidthGBs: 4800,
    bf16Tflops: 989.4,
    source: 'NVIDIA H200 Tensor Core GPU data sheet (141 GB HBM3e)',
  },
  a100: {
    name: 'A100 SXM',
    numSms: 108,
    tileClasses: gpuTiles,
    l2Bytes: 40 * 2 ** 20,
    memoryBandwidthGBs: 2039,
    bf16Tflops: 312,
    source: 'NVIDIA A100 Tensor Core GPU data sheet (SXM4, 80 GB HBM2e)',
  },
  l40s: {
    name: 'L40S',
    numSms: 142,
    tileClasses: gpuTiles,
    l2Bytes: 96 * 2 ** 20,
    memoryBandwidthGBs: 864,
    bf16Tflops: 362,
    source: 'NVIDIA L40S data sheet (48 GB GDDR6); dense rate without sparsity',
  },
};

/**
 * The CPU device as a machine: `numSms` virtual CTAs, played by however many threads the device has.
 * @param numSms virtual CTAs; default 8
 */
export function cpuMachine(numSms: number = 8): Machine {
  return {
    name: 'CPU',
    numSms,
    tileClasses: [
      { queryRows: 64, kvStep: 64, headDimQk: 256, headDimV: 256, threads: 1, sharedMemoryBytes: 0, ctasPerSm: 1 },
    ],
    l2Bytes: 32 * 2 ** 20,
    memoryBandwidthGBs: 40,
    bf16Tflops: 0.2,
    source: 'a desktop-class estimate; measure with bench/cpu-decode',
  };
}
