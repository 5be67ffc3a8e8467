/** `sweepAttention`: decode attention over batch, lengths, heads, page size, dtype, policy and machine, simulated or measured. */
import { join } from 'node:path';
import { machineOf } from '../../attention/machine-of';
import { requireKvDType } from '../../attention/variant';
import type { Device } from '../../device/device';
import { WarpbookError } from '../../errors';
import { type Machine, machines } from '../../schedule/machine';
import type { Policy } from '../../schedule/schedule';
import type { CostModel } from '../../simulate/cost-model';
import { defaultModel } from '../../simulate/cost-models';
import { costModelFor } from '../calibration-store';
import { benchMachines, DecodeBench } from '../decode-bench';
import { identityOf, packageVersion, policyByName } from '../policy-set';
import {
  type AttentionData,
  type AttentionPoint,
  headsOf,
  lengthsOf,
  machineNamed,
  policyOf,
  simulatePoint,
} from './attention-point';
import { type Axes, hashOf } from './points';
import { shipFunction } from './ship';
import { type Sweep, type SweepOptions, sweep } from './sweep';

/** Values of the axes; one that is left out has its default alone. */
export type AttentionAxes = Partial<Axes<AttentionPoint>>;

export interface AttentionSweepOptions
  extends Pick<
    SweepOptions<AttentionPoint>,
    'filter' | 'file' | 'workers' | 'pointTimeoutS' | 'retryFailed' | 'label' | 'signal'
  > {
  /**
   * Defaults: batch 32, kvLen 2048, heads '32/8', headDim 128, pageSize 16, dtype 'bfloat16', policy 'adaptive', machine 'h100'
   * (when measuring: 'device').
   */
  readonly axes: AttentionAxes;
  /** Measure on this device; default: simulate. Measured sweeps run one point after the other, and their machine is the device. */
  readonly device?: Device;
  /** Policies of your own, by the names that the axis has. */
  readonly policies?: Readonly<Record<string, Policy>>;
  /** Machines of your own, by the names that the axis has. */
  readonly machines?: Readonly<Record<string, Machine>>;
  /** Cost models by the machine's name; default: each machine's own. */
  readonly costs?: Readonly<Record<string, CostModel>>;
  /** Seconds a measurement; default 0.3. */
  readonly maxSeconds?: number;
}

const DEFAULTS: Axes<Omit<AttentionPoint, 'machine'>> = {
  batch: [32],
  kvLen: [2048],
  heads: ['32/8'],
  headDim: [128],
  pageSize: [16],
  dtype: ['bfloat16'],
  policy: ['adaptive'],
};

/**
 * Sweeps decode attention. The columns are those of the axes, then what the leaderboard's batches have: predicted (and, with a
 * device, measured) time, idle share, plan time, partial states.
 * @throws WarpbookError INVALID_ARGUMENT for axes, policies or machines that aren't there, DTYPE_MISMATCH; as {@link sweep}
 */
export async function sweepAttention(options: AttentionSweepOptions): Promise<Sweep> {
  const { device, workers = 0, label } = options;
  const unknown = Object.keys(options.axes).filter((name) => name !== 'machine' && !Object.hasOwn(DEFAULTS, name));
  if (unknown.length > 0) {
    throw new WarpbookError(
      'INVALID_ARGUMENT',
      `sweepAttention() has no axis ${unknown.join(', ')}; wanted some of ${Object.keys(DEFAULTS).join(', ')}, machine.`,
    );
  }
  if (device && workers > 0) {
    throw new WarpbookError(
      'INVALID_ARGUMENT',
      `sweepAttention() got workers: ${workers} and a device to measure on; measurements would disturb each other: leave one out.`,
    );
  }
  const axes = { ...DEFAULTS, machine: [device ? 'device' : 'h100'], ...options.axes } as Axes<AttentionPoint>;
  const own = { ...options.machines, ...(device && { device: machineOf(device) }) };
  const costs = device ? { device: await costModelFor(device), ...options.costs } : (options.costs ?? {});
  const data: AttentionData = { policies: options.policies ?? {}, machines: own, costs };
  requireKnown(axes, data, device);
  const identities = new Map<string, string>();
  const identity = (policy: string, machine: string, costs: CostModel): string => {
    const key = `${policy}\n${machine}`;
    const known =
      identities.get(key) ?? identityOf(policyOf(policy, data, costs), machineNamed(machine, data) as Machine);
    identities.set(key, known);
    return known;
  };
  const versions = new Map<string, string>();
  const version = ({ policy, machine }: AttentionPoint): string => {
    const key = `${policy}\n${machine}`;
    const costs = data.costs[machine] ?? defaultModel(machineNamed(machine, data) as Machine);
    const circumstances = [packageVersion(), costs, device?.description, device && (options.maxSeconds ?? 0.3)];
    const made = versions.get(key) ?? hashOf(JSON.stringify([...circumstances, identity(policy, machine, costs)]));
    versions.set(key, made);
    return made;
  };
  const common = {
    axes,
    version,
    filter: options.filter,
    file: options.file,
    pointTimeoutS: options.pointTimeoutS,
    retryFailed: options.retryFailed,
    signal: options.signal,
    label: label ?? (device ? 'measuring a sweep' : 'simulating a sweep'),
  };
  if (workers === 0) {
    return sweep({ ...common, data, run: device ? measurer(device, options.maxSeconds) : simulatePoint });
  }
  const shipped = Object.entries(options.policies ?? {}).map(
    ([name, policy]) => [name, shipFunction('Policy', policy)] as const,
  );
  return sweep({
    ...common,
    workers,
    data: { ...data, policies: Object.fromEntries(shipped) },
    // The built package's: threads run no TypeScript.
    run: {
      module: join(__dirname, '..', '..', '..', 'dist', 'lab', 'sweep', 'attention-point.js'),
      name: 'simulatePoint',
    },
  });
}

/** Names are looked up before anything is computed: a slip would fail every point. */
function requireKnown(axes: Axes<AttentionPoint>, data: AttentionData, device: Device | undefined): void {
  for (const name of axes.machine) {
    if (machineNamed(name, data) && !(device && name !== 'device')) continue;
    throw new WarpbookError(
      'INVALID_ARGUMENT',
      device
        ? `Axis machine has '${name}'; a measured sweep runs on its device alone: leave the axis out.`
        : `Axis machine has '${name}'; wanted one of ${Object.keys(machines).join(', ')}, or give it: { machines: { mine: cpuMachine(8) } }.`,
    );
  }
  for (const name of axes.policy) if (data.policies[name] === undefined) policyByName(name);
  for (const dtype of axes.dtype) requireKvDType(dtype);
  for (const heads of axes.heads) {
    const { numQoHeads, numKvHeads } = headsOf(heads);
    if (Number.isInteger(numQoHeads / numKvHeads) && numKvHeads > 0) continue;
    throw new WarpbookError(
      'INVALID_ARGUMENT',
      `Axis heads has '${heads}'; wanted query and KV heads, the first a multiple of the second: '32/8'.`,
    );
  }
}

/** Predicts for the kernel that will run, then measures. */
function measurer(device: Device, maxSeconds: number | undefined) {
  return async (point: AttentionPoint, { data }: { data: AttentionData }): Promise<object> => {
    const { headDim, pageSize, dtype } = point;
    const shape = { ...headsOf(point.heads), headDim, pageSize, kvDtype: dtype };
    const { plain } = await benchMachines(shape, { device });
    const predicted = simulatePoint(point, { data: { ...data, machines: { ...data.machines, device: plain } } });
    const batch = { kvLens: lengthsOf(point), hashIds: [] };
    const bench = await DecodeBench.open(batch, shape, { device, maxSeconds, bitRequests: 1 });
    try {
      const policy = policyOf(point.policy, data);
      const { time, timeline, bitsChanged, planNs } = await bench.run(policy, point.policy, predicted.gatheredRows > 0);
      return {
        ...predicted,
        measuredUs: time.medianUs,
        measuredSpreadPct: time.spreadPct,
        measuredIdlePct: timeline.stats().idleShare * 100,
        measuredPlanUs: planNs / 1e3,
        bitsChangedPct: bitsChanged * 100,
      };
    } finally {
      bench.dispose();
    }
  };
}
