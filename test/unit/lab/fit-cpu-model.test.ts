import { describe, expect, test } from 'vitest';
import { cpuCases } from '../../../src/lab/cpu-cases';
import { fitCpuCosts } from '../../../src/lab/fit-cpu-model';
import type { Observation } from '../../../src/lab/fit-model';
import { cpuMachine } from '../../../src/schedule/machine';
import { policies } from '../../../src/schedule/policies/known';
import { makeProblem } from '../../../src/schedule/problem';
import type { Policy, Schedule } from '../../../src/schedule/schedule';
import type { CpuCosts } from '../../../src/simulate/cpu-costs';
import { drainOnThreads } from '../../../src/simulate/cpu-drain';

const machine = cpuMachine(8);

/** A machine unlike the fit's first guess. */
const truth: CpuCosts = {
  launchNs: 6000,
  joinNs: 900,
  wakeNs: 20_000,
  signalNs: 1000,
  ctaNs: 150,
  tileNs: 400,
  tileRowNs: 60,
  drawNs: 300,
  blockNs: 120,
  blockRowNs: 50,
  tokenNs: [3, 6, 7, 11],
  tokenRowNs: 6,
  mergeRowNs: 150,
  mergeStateNs: 30,
  pace: [1, 0.7],
  threadSpread: 0.2,
};

function scheduleOf(kvLens: readonly number[], numQoHeads: number, policy: Policy): Schedule {
  return policy(makeProblem({ kvLens, numQoHeads, numKvHeads: 8, headDim: 128 }), machine);
}

function observed(disturbed: (i: number) => number): Observation[] {
  return cpuCases.map(({ what, kvLens, numQoHeads, policy }, i) => {
    const schedule = scheduleOf(kvLens, numQoHeads, policy);
    return { what, schedule, ns: drainOnThreads(schedule, truth).periodNs * disturbed(i) };
  });
}

/** Largest error on batches that the fit hasn't seen. */
function worstError(costs: CpuCosts): number {
  const batches = [[300], [900, 4000], [120, 80, 40, 700, 2000], Array.from({ length: 16 }, (_, i) => 100 + 57 * i)];
  let worst = 0;
  for (const policy of [policies.noSplit, policies.longestFirst, policies.headGroups]) {
    for (const [i, kvLens] of batches.entries()) {
      const schedule = scheduleOf(kvLens, i % 2 === 0 ? 32 : 64, policy);
      const ratio = drainOnThreads(schedule, costs).periodNs / drainOnThreads(schedule, truth).periodNs;
      worst = Math.max(worst, Math.abs(ratio - 1));
    }
  }
  return worst;
}

describe('fitCpuCosts', () => {
  test('finds a machine again by what it measured', () => {
    const costs = fitCpuCosts(
      2,
      observed(() => 1),
    );
    expect(worstError(costs)).toBeLessThan(0.05);
  }, 60_000);

  test('a few measurements that are far off change little', () => {
    const costs = fitCpuCosts(
      2,
      observed((i) => (i % 12 === 5 ? 2 : 1)),
    );
    expect(worstError(costs)).toBeLessThan(0.1);
  }, 60_000);
});
