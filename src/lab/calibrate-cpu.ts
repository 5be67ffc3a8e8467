/**
 * Calibrating the CPU device: what is measured (cpu-cases.ts) in rounds, which the prediction bench shares with the batches that it
 * judges, and the cost model that is fitted to it.
 */
import { machineOf } from '../attention/machine-of';
import type { Device } from '../device/device';
import type { CostModel } from '../simulate/cost-model';
import type { CpuCosts } from '../simulate/cpu-costs';
import { rooflineModel } from '../simulate/roofline';
import { predict } from '../simulate/simulate';
import type { CalibrateOptions } from './calibrate-run';
import { ColdPool } from './cold-pool';
import { cpuCases } from './cpu-cases';
import { fitCpuCosts } from './fit-cpu-model';
import type { FittedModel, Observation } from './fit-model';
import { kernelHash } from './kernel-hash';
import { BatchTimer } from './time-batch';
import { type RoundTime, timeInRounds, typicalNs } from './time-rounds';

/** What the CPU's batches have in common, and how large they are at most. */
export const CPU_SHAPE = { numKvHeads: 8, headDim: 128, pageSize: 16 } as const;
export const CPU_LIMITS = { maxBatch: 128, maxQoTokens: 512, maxTiles: 4096 } as const;
const ROUNDS = 9;

/** Measures the cases, in so many rounds as `samples` says, and fits a model to them. */
export async function calibrateCpu(
  device: Device,
  { samples = ROUNDS, poolBytes }: CalibrateOptions,
  tell: (done: number, total: number, what: string) => void,
): Promise<FittedModel> {
  const pool = new ColdPool(device, { ...CPU_SHAPE, bytes: poolBytes });
  const timer = new BatchTimer(device, pool, CPU_SHAPE, CPU_LIMITS);
  const total = samples + 2;
  try {
    const onRound = (round: number): void => tell(round, total, round === 0 ? 'warming up' : `round ${round}`);
    const times = await timeInRounds(timer, cpuCases, { rounds: samples, onRound });
    tell(samples + 1, total, 'fitting');
    return fitCpuModel(device, times);
  } finally {
    timer.dispose();
    pool.dispose();
  }
}

/** @param times of the cases, in their order */
export function fitCpuModel(device: Device, times: readonly RoundTime[]): FittedModel {
  const observations: Observation[] = times.map((time, i) => ({
    what: `${cpuCases[i].what}, ${cpuCases[i].numQoHeads} heads`,
    schedule: time.schedule,
    ns: typicalNs(time),
  }));
  const model = modelOf(device, fitCpuCosts(device.description.numProcessors, observations));
  const residuals = observations.map(({ what, schedule, ns }) => ({
    what,
    measuredNs: ns,
    predictedNs: predict(schedule, model).durationNs,
  }));
  return { model, residuals };
}

/** A cost model around the costs; what it shows of kernels and memory follows from them. */
function modelOf(device: Device, cpu: CpuCosts): CostModel {
  const machine = machineOf(device);
  const { name } = device.description;
  const date = new Date().toISOString().slice(0, 10);
  const [{ kvStep }] = machine.tileClasses;
  const guess = rooflineModel(machine);
  const decode = {
    ...guess.kernels.decode,
    launchNs: cpu.launchNs,
    tileNs: cpu.tileNs,
    lastTileNs: cpu.tileNs,
    drawNs: cpu.drawNs,
    mergeRowNs: cpu.mergeRowNs,
    mergeStateNs: cpu.mergeStateNs,
    stepNs: cpu.blockNs + kvStep * cpu.tokenNs[cpu.tokenNs.length - 1],
    stepRowNs: cpu.blockRowNs + kvStep * cpu.tokenRowNs,
  };
  const rows = 4;
  const stepBytes = kvStep * 2 * CPU_SHAPE.headDim * 2;
  const perThread = stepBytes / (decode.stepNs + rows * decode.stepRowNs);
  return {
    ...guess,
    name: `${name}, calibrated ${date}`,
    kind: 'calibrated',
    driver: 'none',
    kernelHash: kernelHash(device),
    date,
    kernels: { decode, decode16: decode, decode32: decode, prefill: decode },
    dram: {
      demandGbs: cpu.pace.map((_, i) => perThread * (i + 1)),
      drawnGbs: cpu.pace.map((pace, i) => perThread * (i + 1) * pace),
    },
    cpu,
  };
}
