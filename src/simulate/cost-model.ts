/**
 * What a machine takes for work: the numbers that the simulator computes with. Plain JSON, so that a calibration is a file.
 * Knows no schedule and no device; `calibrate` fits one to measurements, `rooflineModel` makes one up from a data sheet.
 */
import { WarpbookError } from '../errors';
import type { TileClass } from '../schedule/machine';
import type { CpuCosts } from './cpu-costs';

/**
 * Which of the kernels drains a tile class: they differ in what a tile costs. `decode` is the decode kernel's build for up to 8 query
 * rows of a KV head, `decode16` and `decode32` those for more.
 */
export type KernelKind = 'decode' | 'decode16' | 'decode32' | 'prefill';

/** Costs of one kernel, nanoseconds. */
export interface KernelCost {
  /** What a launch takes in a chain of them, beyond its CTAs' work and what the next ones hide. */
  readonly launchNs: number;
  /**
   * What a CTA does before its first keys can come (it reads its part of the list, page ids, queries). CTAs of the next launch
   * do it as soon as an SM is free, so it is hidden but for the CTAs whose SM is free late.
   */
  readonly prologueNs: number;
  /** From the last CTA's end to the release of the next launch: that much of a prologue is hidden for every CTA. */
  readonly hiddenNs: number;
  /** What a tile takes beyond its keys where another one follows; `lastTileNs` where none does. */
  readonly tileNs: number;
  readonly lastTileNs: number;
  /** How much longer the end of a tile takes when the memory is busy: this share at full bandwidth. */
  readonly busyShare: number;
  /** More for a tile that writes a partial state. */
  readonly partialNs: number;
  /** More for a tile that is drawn from a queue: its keys can't be asked for ahead. */
  readonly drawNs: number;
  /** A merge: a fixed part, parts for each row and each row's state, and one for each row of a warp where states are many. */
  readonly mergeNs: number;
  readonly mergeRowNs: number;
  readonly mergeStateNs: number;
  readonly mergeBatchNs: number;
  /** A step of the main loop (`kvStep` tokens, one pass) where keys are at hand and the CTA has its SM to itself. */
  readonly stepNs: number;
  /** What of a step's time a step takes beyond its share where keys don't fill it: 1, as long as a full one; 0, in proportion. */
  readonly raggedShare: number;
  /** More of a step for each query row: always, and while another CTA is busy on the same SM. */
  readonly stepRowNs: number;
  readonly sharedRowNs: number;
  /**
   * Of CTAs that share an SM the one that came first goes faster than its fair share by this share, and the others slower: an SM's
   * schedulers prefer the warps that have been there longest.
   */
  readonly olderFirst: number;
  /** How far SMs differ: steps take from 1 − this to 1 + this times as long. A queue evens that out, a static list doesn't. */
  readonly smSpread: number;
}

/**
 * How memory saturates: of what all CTAs together could take at the moment (GB/s, bytes per ns), how much they get. Measured;
 * linear between its points, and below the first one everybody gets all.
 */
export interface SaturationCurve {
  readonly demandGbs: readonly number[];
  readonly drawnGbs: readonly number[];
}

/** A calibrated or estimated machine. */
export interface CostModel {
  /** Shown wherever a prediction is: an estimate says so here. */
  readonly name: string;
  readonly kind: 'calibrated' | 'roofline';
  /** GPU as its driver names it, or the machine's name. */
  readonly gpu: string;
  readonly numSms: number;
  /** Of a calibrated CPU device: its threads play the CTAs (cpu-drain.ts) at these costs, instead of `kernels` and `dram`. */
  readonly cpu?: CpuCosts;
  /** Driver version; empty for an estimate. */
  readonly driver: string;
  /** Version of the kernels that were measured (`kernelHash`); empty for an estimate, which fits any. */
  readonly kernelHash: string;
  /** Architecture that those were built for, such as `sm_90a`; undefined for CPUs and estimates. */
  readonly architecture?: string;
  /** ISO date of the calibration; empty for an estimate. */
  readonly date: string;
  readonly kernels: Readonly<Record<KernelKind, KernelCost>>;
  readonly dram: SaturationCurve;
  /** Bandwidth of what the L2 holds already over that of memory. */
  readonly l2Speedup: number;
  /** How well the model meets the measurements that it was fitted to: mean and largest error, percent. */
  readonly fit?: { readonly measurements: number; readonly meanPct: number; readonly worstPct: number };
}

/** States up to which a merge reads all at once, and how many it reads at a time beyond (attention/merge_groups.cuh). */
export const FEW_STATES = 8;
export const MANY_STATES = 16;

/** CTAs that share a merge, in builds for more than 8 rows: the last ones to arrive (attention/merge_count.cuh). */
export const MERGING_CTAS = 8;

/** Query rows up to which tiles go to the decode kernel (attention/kernel-variants.ts). */
const DECODE_ROWS = 32;

/**
 * The kernel that drains tiles of this class.
 * @param rows query rows that they have at most; default: as many as the class takes. A wrapper has the build for as many as it needs
 */
export function kernelKindOf({ queryRows, threads }: TileClass, rows: number = queryRows): KernelKind {
  if (threads === 1) return 'decode';
  if (queryRows > DECODE_ROWS) return 'prefill';
  const most = Math.min(rows, queryRows);
  return most <= 8 ? 'decode' : most <= 16 ? 'decode16' : 'decode32';
}

/** Families whose members share a calibration; `NVIDIA H100 80GB HBM3` and `H100 SXM` are one. */
const FAMILIES = /\b(H100|H200|A100|L40S|B200)\b/i;

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
 * Refuses a calibration of another machine, or of other kernels.
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

/** Bytes per ns that memory gives where CTAs could take `demand`. */
export function drawnGbs({ demandGbs, drawnGbs: drawn }: SaturationCurve, demand: number): number {
  if (demand <= demandGbs[0]) return Math.min(demand, drawn[0]);
  for (let i = 1; i < demandGbs.length; i++) {
    if (demand > demandGbs[i]) continue;
    const share = (demand - demandGbs[i - 1]) / (demandGbs[i] - demandGbs[i - 1]);
    return drawn[i - 1] + share * (drawn[i] - drawn[i - 1]);
  }
  return drawn[drawn.length - 1];
}
