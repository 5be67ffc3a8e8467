/**
 * `calibrate`: measures a fixed set of micro-benchmarks on a device and fits a cost model to them. Takes less than a minute.
 * Which measurements: calibration-cases.ts; how they are fitted: fit-model.ts.
 */
import { machineOf } from '../attention/machine-of';
import type { Device } from '../device/device';
import { throwIfInterrupted } from '../interruption';
import type { Machine } from '../schedule/machine';
import type { CostModel } from '../simulate/cost-model';
import { rooflineModel } from '../simulate/roofline';
import { predict } from '../simulate/simulate';
import { calibrateCpu } from './calibrate-cpu';
import { type CalibrationCase, gpuCases } from './calibration-cases';
import { calibrationPath, driverOf, writeCostModel } from './calibration-store';
import { ColdPool } from './cold-pool';
import { type FittedModel, fitModel, type Observation, type Residual } from './fit-model';
import { kernelHash } from './kernel-hash';
import { BatchTimer } from './time-batch';

/** Options of {@link calibrate}. */
export interface CalibrateOptions {
  /** Keep the result where `costModelFor` finds it, in the user's cache folder; default true. */
  readonly store?: boolean;
  /** Also write it here. */
  readonly out?: string;
  /** Told before each measurement, before the fit, and at the end. */
  readonly onProgress?: (progress: CalibrateProgress) => void;
  /** Samples of each measurement, on the CPU device rounds of all; default 9, the median counts. */
  readonly samples?: number;
  /** Bytes of keys and values; default: see ColdPool. Few bytes leave keys in a cache. */
  readonly poolBytes?: number;
}

/** How far a calibration has come. */
export interface CalibrateProgress {
  readonly done: number;
  readonly total: number;
  /** What is measured next. */
  readonly what: string;
}

/** A calibration with what it was fitted to. */
export interface Calibration {
  readonly model: CostModel;
  readonly residuals: readonly Residual[];
  /** Where it was stored. */
  readonly paths: readonly string[];
}

const SHAPE = { numKvHeads: 8, headDim: 128, pageSize: 16 } as const;
const LIMITS = { maxBatch: 128, maxQoTokens: 16_384, maxTiles: 16384 } as const;
const SAMPLES = 9;

/**
 * Calibrates a device. Nothing else should run on it meanwhile.
 * @throws WarpbookError OUT_OF_MEMORY where there is no room for the keys; as BatchDecode.create
 */
export async function calibrate(device: Device, options: CalibrateOptions = {}): Promise<CostModel> {
  return (await calibrateDevice(device, options)).model;
}

/** As {@link calibrate}, with the measurements. */
export async function calibrateDevice(device: Device, options: CalibrateOptions = {}): Promise<Calibration> {
  let steps = 1;
  const tell = (done: number, total: number, what: string): void => {
    steps = total;
    options.onProgress?.({ done, total, what });
  };
  const { model: fitted, residuals } =
    device.kind === 'cpu' ? await calibrateCpu(device, options, tell) : await calibrateGpu(device, options, tell);
  const model: CostModel = { ...fitted, fit: qualityOf(residuals) };
  const paths: string[] = [];
  if (options.store ?? true) paths.push(await calibrationPath(device));
  if (options.out !== undefined) paths.push(options.out);
  for (const path of paths) writeCostModel(path, model);
  tell(steps, steps, 'done');
  return { model, residuals, paths };
}

async function calibrateGpu(
  device: Device,
  options: CalibrateOptions,
  tell: (done: number, total: number, what: string) => void,
): Promise<FittedModel> {
  const total = gpuCases.length + 1;
  const guess = await guessFor(device);
  const observations = await measureCases(device, gpuCases, guess, options, (done, what) => tell(done, total, what));
  tell(gpuCases.length, total, 'fitting');
  return fitModel(guess, observations);
}

async function guessFor(device: Device): Promise<CostModel> {
  const machine: Machine = machineOf(device);
  const { name, architecture } = device.description;
  return {
    ...rooflineModel(machine),
    name: `${name}, calibrated ${today()}`,
    kind: 'calibrated',
    driver: await driverOf(device),
    kernelHash: kernelHash(device),
    ...(architecture !== undefined && { architecture }),
    date: today(),
  };
}

async function measureCases(
  device: Device,
  cases: readonly CalibrationCase[],
  guess: CostModel,
  { samples = SAMPLES, poolBytes }: CalibrateOptions,
  tell: (done: number, what: string) => void,
): Promise<Observation[]> {
  const pool = new ColdPool(device, { ...SHAPE, bytes: poolBytes });
  const timer = new BatchTimer(device, pool, SHAPE, LIMITS);
  try {
    const observations: Observation[] = [];
    for (const [i, one] of cases.entries()) {
      throwIfInterrupted();
      tell(i, one.what);
      const expected = (schedule: Observation['schedule']): number => predict(schedule, guess).durationNs;
      const { schedule, medianNs } = await timer.time(one, timer.sets(one), one.policy, expected, samples);
      observations.push({ what: one.what, schedule, ns: medianNs });
      // Lets whoever shows progress draw.
      await new Promise(setImmediate);
    }
    return observations;
  } finally {
    timer.dispose();
    pool.dispose();
  }
}

/** How well a fit meets what it was fitted to. */
export function qualityOf(residuals: readonly Residual[]): NonNullable<CostModel['fit']> {
  const errors = residuals.map(({ measuredNs, predictedNs }) => Math.abs(predictedNs / measuredNs - 1) * 100);
  const round = (pct: number): number => Math.round(pct * 100) / 100;
  return {
    measurements: errors.length,
    meanPct: round(errors.reduce((sum, error) => sum + error, 0) / errors.length),
    worstPct: round(Math.max(...errors)),
  };
}

function today(): string {
  return new Date().toISOString().slice(0, 10);
}
