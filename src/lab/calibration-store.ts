/**
 * Calibrations on disk: a JSON file for each GPU, driver and version of the kernels, in the user's cache folder. Hides places
 * and checks; measures nothing.
 */
import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { z } from 'zod';
import { machineOf } from '../attention/machine-of';
import type { Device } from '../device/device';
import { userCacheFolder } from '../device/programs/program-cache';
import { WarpbookError } from '../errors';
import { type CostModel, type ModelUse, requireModelFor } from '../simulate/cost-model';
import { costModels } from '../simulate/cost-models';
import { CACHE_BYTES } from '../simulate/cpu-costs';
import { rooflineModel } from '../simulate/roofline';
import { gpuKernelHash, kernelHash } from './kernel-hash';

const cost = z.number().nonnegative();
const kernelCost = z.object({
  launchNs: cost,
  prologueNs: cost,
  hiddenNs: cost,
  tileNs: cost,
  lastTileNs: cost,
  busyShare: cost,
  partialNs: cost,
  drawNs: cost,
  mergeNs: cost,
  mergeRowNs: cost,
  mergeStateNs: cost,
  mergeBatchNs: cost,
  stepNs: z.number().positive(),
  raggedShare: cost,
  stepRowNs: cost,
  sharedRowNs: cost,
  olderFirst: cost,
  smSpread: cost,
});
const points = z.array(z.number().positive()).min(1);
const cpuCosts = z.object({
  launchNs: cost,
  joinNs: cost,
  wakeNs: cost,
  signalNs: cost,
  ctaNs: cost,
  tileNs: cost,
  tileRowNs: cost,
  drawNs: cost,
  blockNs: cost,
  blockRowNs: cost,
  tokenNs: z.array(cost).length(CACHE_BYTES.length),
  tokenRowNs: cost,
  mergeRowNs: cost,
  mergeStateNs: cost,
  pace: points,
  threadSpread: cost.lt(1),
});
const schema = z.looseObject({
  name: z.string().min(1),
  kind: z.enum(['calibrated', 'roofline']),
  gpu: z.string().min(1),
  numSms: z.number().int().positive(),
  cpu: cpuCosts.optional(),
  // What calibrations of CPUs had before: they lack the costs that are needed now.
  numThreads: z.never().optional(),
  driver: z.string(),
  kernelHash: z.string(),
  architecture: z.string().optional(),
  date: z.string(),
  kernels: z.object({ decode: kernelCost, decode16: kernelCost, decode32: kernelCost, prefill: kernelCost }),
  dram: z
    .object({ demandGbs: points, drawnGbs: points })
    .refine(({ demandGbs, drawnGbs }) => demandGbs.length === drawnGbs.length, {
      message: 'wanted as many drawnGbs as demandGbs',
    }),
  l2Speedup: z.number().positive(),
});

/** `warpbook/calibrations` beside the cache of compiled kernels. */
export function calibrationFolder(environment: NodeJS.ProcessEnv = process.env): string {
  return join(dirname(userCacheFolder(environment)), 'calibrations');
}

/** Where the calibration of this device, driver and kernels is kept. */
export async function calibrationPath(device: Device, folder: string = calibrationFolder()): Promise<string> {
  const slug = (text: string): string =>
    text
      .toLowerCase()
      .replace(/[^a-z0-9.]+/g, '-')
      .replace(/^-|-$/g, '');
  const { name } = device.description;
  return join(folder, `${slug(name)}-${slug(await driverOf(device))}-${kernelHash(device)}.json`);
}

/** Version of the device's driver; `none` on the CPU device. */
export async function driverOf(device: Device): Promise<string> {
  if (device.kind === 'cpu') return 'none';
  return (await device.telemetry()).driver ?? 'unknown';
}

/** What a model has to fit, to be used for this device. */
export function useOf(device: Device): ModelUse {
  const machine = machineOf(device);
  return { gpu: machine.name, numSms: machine.numSms, kernelHash: kernelHash(device) };
}

/** The machine that a model is of, with the kernels that this version has for it. */
function ownUse({ gpu, numSms, architecture }: CostModel): ModelUse {
  return { gpu, numSms, ...(architecture !== undefined && { kernelHash: gpuKernelHash(architecture) }) };
}

/** Writes a model; whole or not at all. */
export function writeCostModel(path: string, model: CostModel): void {
  mkdirSync(dirname(path), { recursive: true });
  const unfinished = `${path}.${process.pid}`;
  writeFileSync(unfinished, `${JSON.stringify(model, undefined, 2)}\n`);
  renameSync(unfinished, path);
}

/**
 * Reads a model. One that was measured with other kernels than this version's is refused, with a GPU or without.
 * @param options.device refuse a calibration of another GPU, too
 * @throws WarpbookError FILE_NOT_FOUND, FILE_FORMAT saying what is wrong; CALIBRATION_MISMATCH, which names both
 */
export function readCostModel(path: string, options: { device?: Device; allowMismatch?: boolean } = {}): CostModel {
  if (!existsSync(path)) {
    throw new WarpbookError(
      'FILE_NOT_FOUND',
      `Got '${path}', which is not there; warpbook calibrate --out writes one.`,
    );
  }
  let content: unknown;
  try {
    content = JSON.parse(readFileSync(path, 'utf8'));
  } catch (cause) {
    throw new WarpbookError('FILE_FORMAT', `'${path}' is no JSON: ${(cause as Error).message}.`, { path }, { cause });
  }
  const { success, data, error } = schema.safeParse(content);
  if (!success) {
    const [issue] = error.issues;
    throw new WarpbookError(
      'FILE_FORMAT',
      `'${path}' is no calibration of this version: at ${issue.path.join('.') || 'its root'}: ${issue.message}. ` +
        'Run warpbook calibrate again.',
      { path },
    );
  }
  const model = data as CostModel;
  requireModelFor(model, options.device ? useOf(options.device) : ownUse(model), options);
  return model;
}

/**
 * The model to use for a device: its own calibration where `warpbook calibrate` has run, else the one that comes with
 * warpbook if it is of this GPU and these kernels, else a roofline estimate, whose name says why.
 * @throws WarpbookError FILE_FORMAT where the stored calibration is damaged
 */
export async function costModelFor(device: Device, folder?: string): Promise<CostModel> {
  const path = await calibrationPath(device, folder);
  if (existsSync(path)) return readCostModel(path, { device });
  const use = useOf(device);
  for (const model of Object.values(costModels)) {
    try {
      requireModelFor(model, use);
      return model;
    } catch (error) {
      if (!(error instanceof WarpbookError && error.code === 'CALIBRATION_MISMATCH')) throw error;
    }
  }
  const estimate = rooflineModel(machineOf(device));
  return { ...estimate, name: `${estimate.name.replace(/\)$/, '')}; warpbook calibrate measures it)` };
}
