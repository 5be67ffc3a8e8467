/** Cost models made up from data sheets, for machines that nobody calibrated. */
import type { Machine, TileClass } from '../schedule/machine';
import { type CostModel, type KernelCost, type KernelKind, kernelKindOf, type SaturationCurve } from './cost-model';

type Latencies = Omit<KernelCost, 'stepNs' | 'stepRowNs' | 'sharedRowNs'>;

/** Share of the data sheet's bandwidth that a good kernel reaches. */
const BANDWIDTH_SHARE = 0.92;
/** Share of the data sheet's matrix rate that portable instructions reach. */
const MATRIX_SHARE = 0.4;
/** SMs that fill the memory together: what one draws alone is this fraction's inverse of the whole. */
const SMS_TO_SATURATE = 50;

/** Threads that fill a desktop's memory together. */
const CPU_THREADS_TO_SATURATE = 4;

/** What latencies are on the GPU that was measured (an H100), rounded. */
const GPU_LATENCIES: Readonly<Record<KernelKind, Latencies>> = {
  decode: {
    launchNs: 1500,
    prologueNs: 2300,
    hiddenNs: 650,
    tileNs: 2200,
    lastTileNs: 900,
    busyShare: 0.4,
    partialNs: 100,
    drawNs: 1000,
    mergeNs: 800,
    mergeRowNs: 90,
    mergeStateNs: 0,
    mergeBatchNs: 900,
    raggedShare: 0.6,
    olderFirst: 0,
    smSpread: 0,
  },
  // More rows: longer ends of tiles; merges are shared by several CTAs.
  decode16: {
    launchNs: 2300,
    prologueNs: 2300,
    hiddenNs: 650,
    tileNs: 4000,
    lastTileNs: 1300,
    busyShare: 0.2,
    partialNs: 700,
    drawNs: 1500,
    mergeNs: 1200,
    mergeRowNs: 90,
    mergeStateNs: 0,
    mergeBatchNs: 900,
    raggedShare: 0.6,
    olderFirst: 0,
    smSpread: 0,
  },
  decode32: {
    launchNs: 2300,
    prologueNs: 2300,
    hiddenNs: 650,
    tileNs: 5000,
    lastTileNs: 2000,
    busyShare: 0.2,
    partialNs: 700,
    drawNs: 1500,
    mergeNs: 1500,
    mergeRowNs: 90,
    mergeStateNs: 0,
    mergeBatchNs: 900,
    raggedShare: 0.6,
    olderFirst: 0,
    smSpread: 0,
  },
  prefill: {
    launchNs: 1000,
    prologueNs: 0,
    hiddenNs: 0,
    tileNs: 7500,
    lastTileNs: 7000,
    busyShare: 0,
    partialNs: 900,
    drawNs: 220,
    mergeNs: 1000,
    mergeRowNs: 150,
    mergeStateNs: 2,
    mergeBatchNs: 1000,
    raggedShare: 1,
    olderFirst: 0.045,
    smSpread: 0.01,
  },
};

/** How much longer a step of the decode kernel takes with more query rows, for as many tokens, where keys are at hand (an H100, rounded). */
const WIDE_STEPS = { decode: 1, decode16: 1.45, decode32: 2.7 } as const;
/** Tokens of a step of the decode kernel's builds, but for that for 32 rows, whose warps share keys in pairs. */
const STEP_TOKENS = { decode: 128, decode16: 128, decode32: 64 } as const;

/** A virtual CTA of the CPU device starts and ends within what its caches take. */
const CPU_LATENCIES: Latencies = {
  launchNs: 10_000,
  prologueNs: 0,
  hiddenNs: 0,
  tileNs: 500,
  lastTileNs: 500,
  busyShare: 0,
  partialNs: 200,
  drawNs: 100,
  mergeNs: 500,
  mergeRowNs: 100,
  mergeStateNs: 50,
  mergeBatchNs: 0,
  raggedShare: 0,
  olderFirst: 0,
  smSpread: 0,
};

/**
 * An estimate: bytes over bandwidth, flops over the matrix rate, and latencies as GPUs have them. Good for comparing schedules
 * roughly, not for times; its name says so.
 */
export function rooflineModel(machine: Machine): CostModel {
  const { numSms } = machine;
  const isCpu = machine.tileClasses.every(({ threads }) => threads === 1);
  const bandwidth = machine.memoryBandwidthGBs * (isCpu ? 1 : BANDWIDTH_SHARE);
  const knee = isCpu ? CPU_THREADS_TO_SATURATE : Math.min(numSms, SMS_TO_SATURATE);
  const cost = (kind: KernelKind): KernelCost => {
    const isPrefill = kind === 'prefill';
    const tile =
      machine.tileClasses.find((candidate) => (kernelKindOf(candidate) === 'prefill') === isPrefill) ??
      machine.tileClasses[0];
    const tflopsOfSm = (machine.bf16Tflops * (isCpu ? 1 : MATRIX_SHARE)) / numSms;
    const arithmeticNs = stepFlops(tile) / (tflopsOfSm * 1e3);
    const memoryNs = (tile.kvStep * (tile.headDimQk + tile.headDimV) * 2 * knee) / bandwidth;
    // A virtual CTA of the CPU device has a thread to itself; rows are what its arithmetic costs.
    if (isCpu) {
      return { ...CPU_LATENCIES, stepNs: memoryNs, stepRowNs: arithmeticNs / tile.queryRows, sharedRowNs: 0 };
    }
    // A step of the decode kernel is latency; that of the build for 32 rows has half as many tokens.
    const wide = isPrefill ? 1 : (WIDE_STEPS[kind] * STEP_TOKENS[kind]) / STEP_TOKENS.decode;
    const stepNs = Math.max(memoryNs, arithmeticNs) * wide;
    const sharedNs = Math.max(0, arithmeticNs * tile.ctasPerSm - stepNs);
    return { ...GPU_LATENCIES[kind], stepNs, stepRowNs: 0, sharedRowNs: sharedNs / tile.queryRows };
  };
  return {
    name: `roofline estimate for ${machine.name} (not calibrated)`,
    kind: 'roofline',
    gpu: machine.name,
    numSms,
    driver: '',
    kernelHash: '',
    date: '',
    kernels: {
      decode: cost('decode'),
      decode16: cost('decode16'),
      decode32: cost('decode32'),
      prefill: cost('prefill'),
    },
    dram: saturation(bandwidth, (numSms * bandwidth) / knee),
    l2Speedup: 3,
  };
}

function stepFlops({ queryRows, kvStep, headDimQk, headDimV }: TileClass): number {
  return 2 * queryRows * kvStep * (headDimQk + headDimV);
}

/** Points of the curve, as shares of what all SMs together could take. */
const CURVE_POINTS: readonly number[] = [1 / 8, 1 / 4, 3 / 8, 1 / 2, 3 / 4, 1];

/** A curve with a soft knee, as the measured ones have. */
function saturation(bandwidth: number, mostDemand: number): SaturationCurve {
  const demandGbs = CURVE_POINTS.map((share) => share * mostDemand);
  const drawnGbs = demandGbs.map((demand) => (demand ** -4 + bandwidth ** -4) ** -0.25);
  drawnGbs[0] = demandGbs[0];
  return { demandGbs, drawnGbs };
}
