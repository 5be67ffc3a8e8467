/**
 * The leaderboard: policies ranked over batches of a workload by predicted time and, on a device, by measured time, with what
 * they cost otherwise: planning, memory for partial states, idle CTAs, and bits that depend on the batch.
 */
import { machineOf } from '../attention/machine-of';
import type { Device } from '../device/device';
import { requireInteger, WarpbookError } from '../errors';
import { type Machine, machines } from '../schedule/machine';
import type { Policy } from '../schedule/schedule';
import { type CostModel, machineFamily, requireModelFor } from '../simulate/cost-model';
import { defaultModel } from '../simulate/cost-models';
import { batchesOf, completeShape, type LabBatch, type ModelShape, type Workload } from './batches';
import { costModelFor } from './calibration-store';
import { benchMachines, DecodeBench } from './decode-bench';
import { type BatchEvaluation, evaluateSchedule, type PredictedFigures } from './evaluate';
import { kernelHash } from './kernel-hash';
import { choosePolicies, identityOf, type PolicyChoice, packageVersion } from './policy-set';
import { type LeaderboardRow, rankPolicies } from './rank';
import { saveTable } from './save-table';
import { hashOf } from './sweep/points';
import { sweep } from './sweep/sweep';
import { type DataTable, tableOf } from './tables';

/** Options of {@link leaderboard}. */
export interface LeaderboardOptions {
  /** Names, or functions by name; default: all known policies. */
  readonly policies?: PolicyChoice;
  /** Decode batches of a trace, or batches. */
  readonly workload: Workload;
  /** Shapes of the attention layer; default: Llama 3 8B's. */
  readonly model?: ModelShape;
  /** Machine to schedule for, or its key in `machines`; default: the device's own, else the H100. */
  readonly machine?: Machine | keyof typeof machines;
  /** Cost model of the machine; default: the calibration of the device or the machine where there is one, else a
   * roofline estimate. */
  readonly costs?: CostModel;
  /** Measure on this device too; default: predictions alone. */
  readonly device?: Device;
  /** Seconds a measurement; default 0.3. */
  readonly maxSeconds?: number;
  /** Bytes that measured calls read before they come round again; default 512 MiB, on a CPU 64. */
  readonly rotatedBytes?: number;
  /** Requests of each batch whose bits are looked at, alone and in the batch; default 4. */
  readonly bitRequests?: number;
  /** Milliseconds after which a policy of your own is stopped; it is not tried on further batches then. Default 2,000. */
  readonly timeLimitMs?: number;
  /** Where results are kept: a leaderboard that was interrupted goes on from there. Default: nowhere. */
  readonly file?: string;
  readonly signal?: AbortSignal;
}

/** Ranked policies, and what they are ranked by. */
export class Leaderboard {
  constructor(
    /** A row for each policy, the best first. */
    readonly rows: readonly LeaderboardRow[],
    /** `rows` as an arquero table. */
    readonly table: DataTable,
    /** A row for each policy and batch, as an arquero table. */
    readonly batches: DataTable,
    readonly evaluations: readonly BatchEvaluation[],
    readonly machine: Machine,
    /** Name of the cost model: whether it is a calibration or an estimate. */
    readonly costs: string,
    /** Name of the device that was measured on. */
    readonly device: string | undefined,
  ) {}

  /** Policy of the first rank. */
  get best(): string {
    return this.rows[0].policy;
  }

  /**
   * Writes a table as `.csv`, `.parquet` or `.arrow`.
   * @param which the policies' rows (default), or a row for each policy and batch
   */
  save(path: string, which: 'policies' | 'batches' = 'policies'): Promise<void> {
    return saveTable(path, which === 'policies' ? this.table : this.batches);
  }

  toString(): string {
    const numBatches = new Set(this.evaluations.map(({ batch }) => batch)).size;
    const how = this.device === undefined ? `predicted by ${this.costs}` : `measured on ${this.device}`;
    return `Leaderboard(${this.rows.length} policies × ${numBatches} batches on ${this.machine.name}, ${how}: ${this.best} leads)`;
  }
}

/**
 * Ranks policies: by measured time where a device is given, else by predicted time. A policy that fails on a batch keeps its row,
 * with the number of failures and the first one's message.
 * @throws WarpbookError INVALID_ARGUMENT; CALIBRATION_MISMATCH for costs of another machine, or of other kernels than the device's;
 * as `sweep`
 */
export async function leaderboard(options: LeaderboardOptions): Promise<Leaderboard> {
  const { device, bitRequests = 4, timeLimitMs = 2000 } = options;
  requireInteger('bitRequests', bitRequests, 0);
  const shape = completeShape(options.model);
  const asked = machineFor(options);
  // On a device schedules are made for its kernels' tile class, predicted ones too.
  const own = device && (await benchMachines(shape, { device, machine: asked }));
  const machine = own?.plain ?? asked;
  const costs = options.costs ?? (await costsFor(machine, device));
  // Costs of the device that measures have to be of its kernels, too.
  const isOwn = device && machineFamily(machineOf(device).name) === machineFamily(machine.name);
  requireModelFor(costs, {
    gpu: machine.name,
    numSms: machine.numSms,
    ...(isOwn && { kernelHash: kernelHash(device) }),
  });
  const policies = choosePolicies(options.policies, costs);
  const batches = batchesOf(options.workload);
  const { maxSeconds, rotatedBytes } = options;
  const measured =
    device && new MeasuredBatches(batches, shape, { device, machine: asked, maxSeconds, rotatedBytes, bitRequests });
  const names = Object.keys(policies);
  const circumstances = hashOf(
    JSON.stringify([
      packageVersion(),
      machine,
      costs,
      shape,
      bitRequests,
      device?.description,
      maxSeconds,
      rotatedBytes,
    ]),
  );
  const identities = new Map(names.map((name) => [name, identityOf(policies[name], machine, timeLimitMs)]));
  const contents = batches.map(({ kvLens, hashIds }) => hashOf(JSON.stringify([Array.from(kvLens), hashIds])));
  const patience = new Patience(timeLimitMs);
  try {
    const swept = await sweep({
      label: 'leaderboard',
      axes: { batch: batches.map((_, i) => i), policy: names },
      file: options.file,
      signal: options.signal,
      version: ({ batch, policy }) => `${circumstances} ${contents[batch]} ${identities.get(policy)}`,
      run: async ({ batch, policy }) => {
        const evaluate = (on: Machine): PredictedFigures =>
          patience.call(policy, batch, () =>
            evaluateSchedule(policies[policy], batches[batch], { shape, machine: on, costs, bitRequests, timeLimitMs }),
          );
        let figures = evaluate(machine);
        const gathers = figures.gatheredRows > 0;
        if (gathers && own) figures = evaluate(own.gathering);
        return { ...figures, ...(await measured?.figures(batch, policies[policy], policy, gathers)) };
      },
    });
    const evaluations = swept.rows as unknown as BatchEvaluation[];
    const rows = rankPolicies(names, evaluations);
    return new Leaderboard(
      rows,
      await tableOf(rows),
      swept.table,
      evaluations,
      machine,
      costs.name,
      device?.description.name,
    );
  } finally {
    measured?.dispose();
  }
}

/** A policy that had to be stopped once is not waited for again: a leaderboard has many batches. */
class Patience {
  private readonly stopped = new Map<string, number>();

  constructor(private readonly timeLimitMs: number) {}

  call<T>(policy: string, batch: number, evaluate: () => T): T {
    const before = this.stopped.get(policy);
    if (before !== undefined) {
      throw new WarpbookError(
        'INVALID_POLICY',
        `Not tried: the policy was stopped on batch ${before}, where it took too long.`,
      );
    }
    const started = performance.now();
    try {
      return evaluate();
    } catch (error) {
      if (performance.now() - started >= this.timeLimitMs) this.stopped.set(policy, batch);
      throw error;
    }
  }
}

/** The device's own calibration, where it is the machine that is scheduled for. */
async function costsFor(machine: Machine, device: Device | undefined): Promise<CostModel> {
  if (!device) return defaultModel(machine);
  const own = await costModelFor(device);
  const fits = machineFamily(own.gpu) === machineFamily(machine.name) && own.numSms === machine.numSms;
  return fits ? own : defaultModel(machine);
}

function machineFor({ machine, device }: LeaderboardOptions): Machine {
  if (typeof machine === 'object') return machine;
  if (machine === undefined) return device ? machineOf(device) : machines.h100;
  if (Object.hasOwn(machines, machine)) return machines[machine];
  throw new WarpbookError(
    'INVALID_ARGUMENT',
    `There is no machine '${machine}'; wanted one of ${Object.keys(machines).join(', ')}, or a Machine such as cpuMachine(8).`,
  );
}

/** What is measured of a policy on a batch; null where a policy has nothing of it. */
export interface MeasuredFigures {
  readonly measuredUs: number;
  readonly measuredSpreadPct: number;
  readonly measuredIdlePct: number;
  readonly measuredPlanUs: number;
  readonly bitsChangedPct: number;
}

/** Keeps the operands of one batch at a time: the policies of a batch come one after the other. */
class MeasuredBatches {
  private current: { readonly batch: number; readonly bench: DecodeBench } | undefined;

  constructor(
    private readonly batches: readonly LabBatch[],
    private readonly shape: Required<ModelShape>,
    private readonly options: {
      readonly device: Device;
      readonly machine: Machine;
      readonly maxSeconds?: number;
      readonly rotatedBytes?: number;
      readonly bitRequests: number;
    },
  ) {}

  async figures(batch: number, policy: Policy, name: string, gathers: boolean): Promise<MeasuredFigures> {
    if (this.current?.batch !== batch) {
      this.dispose();
      this.current = { batch, bench: await DecodeBench.open(this.batches[batch], this.shape, this.options) };
    }
    const { time, timeline, bitsChanged, planNs } = await this.current.bench.run(policy, name, gathers);
    return {
      measuredUs: time.medianUs,
      measuredSpreadPct: time.spreadPct,
      measuredIdlePct: timeline.stats().idleShare * 100,
      measuredPlanUs: planNs / 1e3,
      bitsChangedPct: bitsChanged * 100,
    };
  }

  dispose(): void {
    this.current?.bench.dispose();
    this.current = undefined;
  }
}

export type { PredictedFigures };
