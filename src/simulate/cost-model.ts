/**
 * What a machine takes for work: the numbers that the simulator multiplies with. Plain JSON, so that a calibration is a file.
 * Knows no schedule and no device; `warpbook calibrate` fits one, `rooflineModel` makes one up from a data sheet.
 */
import { WarpbookError } from '../errors';
import type { Machine, TileClass } from '../schedule/machine';

/** Which of the kernels drains a tile class: they differ in what a tile costs. */
export type KernelKind = 'decode' | 'prefill';

/** Costs of one kernel, nanoseconds unless it says otherwise. */
export interface KernelCost {
  /** From the release of a launch to a CTA's first keys on their way, where nothing hides it. */
  readonly startNs: number;
  /** From the last CTA's end to the release of the next launch in a graph. */
  readonly launchNs: number;
  /** What a tile takes beyond its keys: the warps' states are put together, the result is written. */
  readonly tileNs: number;
  /** The same of a tile that writes a partial state and counts its arrival. */
  readonly partialTileNs: number;
  /** One merge, and what each row's state adds to it. */
  readonly mergeNs: number;
  readonly mergeStateNs: number;
  /** A step of the main loop (`kvStep` tokens, all rows of a pass) where keys are at hand and the CTA has its SM to itself. */
  readonly stepNs: number;
  /** The same where as many CTAs share the SM as fit. */
  readonly sharedStepNs: number;
}

/**
 * Bandwidth by the number of CTAs that stream at the moment: measured, increasing, linear between its points.
 * What `streams[i]` CTAs draw from memory together is `gbs[i]` (bytes per ns).
 */
export interface BandwidthCurve {
  readonly streams: readonly number[];
  readonly gbs: readonly number[];
}

/** A calibrated or estimated machine. */
export interface CostModel {
  /** Shown wherever a prediction is: an estimate says so here. */
  readonly name: string;
  readonly kind: 'calibrated' | 'roofline';
  /** GPU as its driver names it, or the machine's name. */
  readonly gpu: string;
  readonly numSms: number;
  /** Driver version; empty for an estimate. */
  readonly driver: string;
  /** Version of the kernels that were measured (`kernelHash`); empty for an estimate, which fits any. */
  readonly kernelHash: string;
  /** ISO date of the calibration; empty for an estimate. */
  readonly date: string;
  readonly kernels: Readonly<Record<KernelKind, KernelCost>>;
  readonly dram: BandwidthCurve;
  /** How much cheaper a byte is that the L2 holds already: bandwidth over that of memory. */
  readonly l2Speedup: number;
}

/** Query rows up to which tiles go to the decode kernel (attention/kernel-variants.ts). */
const DECODE_ROWS = 32;

/** The kernel that drains tiles of this class. */
export function kernelKindOf(tileClass: TileClass): KernelKind {
  return tileClass.queryRows > DECODE_ROWS ? 'prefill' : 'decode';
}

/** Families whose members are alike enough to share a calibration; `NVIDIA H100 80GB HBM3` and `H100 SXM` are one. */
const FAMILIES = /\b(H100|H200|A100|L40S|B200|CPU)\b/i;

/** What two names of the same machine have in common. */
export function machineFamily(name: string): string {
  return FAMILIES.exec(name)?.[1].toUpperCase() ?? name;
}

/** What a model is about to be used for. */
export interface ModelUse {
  readonly gpu: string;
  readonly numSms?: number;
  /** Version of the kernels; default: not compared. */
  readonly kernelHash?: string;
}

/**
 * Refuses a calibration of another machine, or of other kernels. An estimate is of its own machine alone.
 * @throws WarpbookError CALIBRATION_MISMATCH, which names both
 */
export function requireModelFor(model: CostModel, use: ModelUse, options: { allowMismatch?: boolean } = {}): void {
  if (options.allowMismatch) return;
  const otherGpu = machineFamily(model.gpu) !== machineFamily(use.gpu);
  const otherSms = use.numSms !== undefined && model.numSms !== use.numSms;
  if (otherGpu || otherSms) {
    throw new WarpbookError(
      'CALIBRATION_MISMATCH',
      `The cost model '${model.name}' is of ${model.gpu} with ${model.numSms} SMs; wanted one of ${use.gpu}` +
        `${use.numSms === undefined ? '' : ` with ${use.numSms} SMs`}. Calibrate that machine (warpbook calibrate), take ` +
        'rooflineModel(machine), or pass { allowMismatch: true } to use it all the same.',
      { model: model.gpu, wanted: use.gpu },
    );
  }
  if (model.kind === 'calibrated' && use.kernelHash !== undefined && model.kernelHash !== use.kernelHash) {
    throw new WarpbookError(
      'CALIBRATION_MISMATCH',
      `The cost model '${model.name}' was measured with kernels ${model.kernelHash}; these are ${use.kernelHash}. ` +
        'Run warpbook calibrate again, or pass { allowMismatch: true } to use it all the same.',
      { model: model.kernelHash, wanted: use.kernelHash },
    );
  }
}

/** Bytes per ns that `active` CTAs draw together. */
export function bandwidthAt({ streams, gbs }: BandwidthCurve, active: number): number {
  if (active <= streams[0]) return (gbs[0] * active) / streams[0];
  for (let i = 1; i < streams.length; i++) {
    if (active > streams[i]) continue;
    const share = (active - streams[i - 1]) / (streams[i] - streams[i - 1]);
    return gbs[i - 1] + share * (gbs[i] - gbs[i - 1]);
  }
  return gbs[gbs.length - 1];
}

/** Share of the data sheet's bandwidth that a good kernel reaches, for want of a measurement. */
const ROOFLINE_SHARE = 0.92;
/** Share of the bandwidth that one SM can draw: about a 60th on the GPUs that were measured. */
const SMS_TO_SATURATE = 60;

/**
 * An estimate for a machine that nobody calibrated: bytes over bandwidth, flops over the matrix rate, and latencies as GPUs
 * of this kind have them. Good for comparing schedules roughly, not for times; its name says so.
 */
export function rooflineModel(machine: Machine): CostModel {
  const bandwidth = machine.memoryBandwidthGBs * ROOFLINE_SHARE;
  const sms = machine.numSms;
  const knee = Math.min(sms, SMS_TO_SATURATE);
  const stepFlops = (tile: TileClass): number => 2 * tile.queryRows * tile.kvStep * (tile.headDimQk + tile.headDimV);
  const stepNs = (kind: KernelKind): number => {
    const tile = machine.tileClasses.find((candidate) => kernelKindOf(candidate) === kind) ?? machine.tileClasses[0];
    return stepFlops(tile) / ((machine.bf16Tflops * 1e3) / sms);
  };
  const decodeStep = stepNs('decode');
  const prefillStep = stepNs('prefill');
  const latencies = {
    startNs: 1500,
    launchNs: 1000,
    tileNs: 1000,
    partialTileNs: 1200,
    mergeNs: 1000,
    mergeStateNs: 5,
  };
  return {
    name: `roofline estimate for ${machine.name} (not calibrated)`,
    kind: 'roofline',
    gpu: machine.name,
    numSms: sms,
    driver: '',
    kernelHash: '',
    date: '',
    kernels: {
      decode: { ...latencies, stepNs: decodeStep, sharedStepNs: decodeStep },
      prefill: { ...latencies, stepNs: prefillStep, sharedStepNs: 2 * prefillStep },
    },
    dram: knee < sms ? { streams: [knee, sms], gbs: [bandwidth, bandwidth] } : { streams: [sms], gbs: [bandwidth] },
    l2Speedup: 3,
  };
}
