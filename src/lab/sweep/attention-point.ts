/** A point of an attention sweep, simulated; loaded by threads, so it brings no device. */
import { type Machine, machines } from '../../schedule/machine';
import type { Policy } from '../../schedule/schedule';
import type { CostModel } from '../../simulate/cost-model';
import { defaultModel } from '../../simulate/cost-models';
import { evaluateSchedule, type PredictedFigures } from '../evaluate';
import { policyByName } from '../policy-set';
import { reviveFunction } from './ship';

/** Where a sweep may vary; every axis has values that JSON holds. */
export interface AttentionPoint {
  /** Requests of the batch. */
  readonly batch: number;
  /** KV tokens of each request; of an array they have the lengths in turn. */
  readonly kvLen: number | readonly number[];
  /** Query and KV heads: '32/8'. */
  readonly heads: string;
  readonly headDim: number;
  readonly pageSize: number;
  readonly dtype: 'bfloat16' | 'float16' | 'float8_e4m3fn' | 'float8_e5m2';
  /** Name of a policy, see `policyByName`, or of one of the option `policies`. */
  readonly policy: string;
  /** Key of `machines`, or of one of the option `machines`. */
  readonly machine: string;
}

/** What points need beside themselves; functions as text where it goes to a thread. */
export interface AttentionData {
  readonly policies: Readonly<Record<string, Policy | string>>;
  readonly machines: Readonly<Record<string, Machine>>;
  readonly costs: Readonly<Record<string, CostModel>>;
}

export function lengthsOf({ batch, kvLen }: Pick<AttentionPoint, 'batch' | 'kvLen'>): Int32Array {
  const lengths = Array.isArray(kvLen) ? (kvLen as readonly number[]) : [kvLen as number];
  return Int32Array.from({ length: batch }, (_, r) => lengths[r % lengths.length]);
}

export function headsOf(heads: string): { numQoHeads: number; numKvHeads: number } {
  const [numQoHeads, numKvHeads] = heads.split('/').map(Number);
  return { numQoHeads, numKvHeads };
}

export function policyOf(name: string, data: AttentionData, model?: CostModel): Policy {
  const own = data.policies[name];
  if (own === undefined) return policyByName(name, model);
  return typeof own === 'string' ? (reviveFunction(own) as unknown as Policy) : own;
}

export function machineNamed(name: string, data: Pick<AttentionData, 'machines'>): Machine | undefined {
  return data.machines[name] ?? (Object.hasOwn(machines, name) ? machines[name as keyof typeof machines] : undefined);
}

/** The run of a simulated sweep. */
export function simulatePoint(
  point: AttentionPoint,
  { data }: { data: AttentionData },
): PredictedFigures & { costs: string } {
  const machine = machineNamed(point.machine, data) as Machine;
  const costs = data.costs[point.machine] ?? defaultModel(machine);
  const { headDim, pageSize, dtype } = point;
  const shape = { ...headsOf(point.heads), headDim, pageSize, kvDtype: dtype };
  const batch = { kvLens: lengthsOf(point), hashIds: [] };
  const figures = evaluateSchedule(policyOf(point.policy, data, costs), batch, {
    shape,
    machine,
    costs,
    bitRequests: 1,
  });
  return { ...figures, costs: costs.name };
}
