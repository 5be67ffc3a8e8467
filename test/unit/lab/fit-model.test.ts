import { describe, expect, test } from 'vitest';
import { gpuCases } from '../../../src/lab/calibration-cases';
import { fitModel } from '../../../src/lab/fit-model';
import { type Machine, machines } from '../../../src/schedule/machine';
import { makeProblem } from '../../../src/schedule/problem';
import type { CostModel } from '../../../src/simulate/cost-model';
import { rooflineModel } from '../../../src/simulate/roofline';
import { predict } from '../../../src/simulate/simulate';

/** As a wrapper has it: the decode kernel's build for as many rows as there are. */
function machineFor(kind: 'decode' | 'prefill', rows: number): Machine {
  const [decode, prefill] = machines.h100.tileClasses;
  if (kind === 'prefill') return { ...machines.h100, tileClasses: [prefill] };
  const queryRows = rows <= 8 ? 8 : rows <= 16 ? 16 : 32;
  return { ...machines.h100, tileClasses: [{ ...decode, queryRows, kvStep: queryRows === 32 ? 64 : 128 }] };
}

/** What a machine that is as `truth` says would have measured. */
function measuredBy(truth: CostModel, kind: 'decode' | 'prefill') {
  return gpuCases
    .filter((one) => one.kind === kind)
    .map(({ what, kvLens, qoLens, numQoHeads, policy }) => {
      const problem = makeProblem({
        kvLens,
        qoLens,
        causal: kind === 'prefill',
        numQoHeads,
        numKvHeads: 8,
        headDim: 128,
      });
      const schedule = policy(problem, machineFor(kind, numQoHeads / 8));
      return { what, schedule, ns: predict(schedule, truth).durationNs };
    });
}

describe('fitModel', () => {
  test('finds a machine again by what it measured', () => {
    const guess = rooflineModel(machines.h100);
    const truth: CostModel = {
      ...guess,
      kernels: {
        ...guess.kernels,
        decode: { ...guess.kernels.decode, stepNs: 800, tileNs: 3000, mergeBatchNs: 1500, launchNs: 900 },
      },
      // But for the first point: there everybody gets what it asks for, in any machine.
      dram: { ...guess.dram, drawnGbs: guess.dram.drawnGbs.map((gbs, i) => (i === 0 ? gbs : gbs * 0.8)) },
    };
    const { model, residuals } = fitModel(guess, measuredBy(truth, 'decode'));
    for (const { measuredNs, predictedNs } of residuals)
      expect(Math.abs(predictedNs / measuredNs - 1)).toBeLessThan(0.03);
    expect(model.kernels.decode.stepNs / 800).toBeCloseTo(1, 1);
    expect(model.kernels.decode.tileNs / 3000).toBeCloseTo(1, 1);
    // A kernel that nobody measured keeps its guess.
    expect(model.kernels.prefill).toEqual(guess.kernels.prefill);
  }, 60_000);

  test('calibrations fit kernels with two CTAs an SM', () => {
    const guess = rooflineModel(machines.h100);
    const { tileNs, lastTileNs } = guess.kernels.prefill;
    // A prefill tile ends the same way whatever follows: both costs go together.
    const ends = { tileNs: 5000, lastTileNs: (lastTileNs * 5000) / tileNs };
    const prefill = { ...guess.kernels.prefill, stepNs: 2200, sharedRowNs: 8, ...ends };
    const truth = { ...guess, kernels: { ...guess.kernels, prefill } };
    const { residuals } = fitModel(guess, measuredBy(truth, 'prefill'));
    for (const { measuredNs, predictedNs } of residuals)
      expect(Math.abs(predictedNs / measuredNs - 1)).toBeLessThan(0.05);
  }, 60_000);
});
