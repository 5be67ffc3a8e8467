import { describe, expect, test } from 'vitest';
import { cpuMachine, machines } from '../../../src/schedule/machine';
import { policies } from '../../../src/schedule/policies/known';
import { makeProblem } from '../../../src/schedule/problem';
import { drawnGbs, kernelKindOf, machineFamily, requireModelFor } from '../../../src/simulate/cost-model';
import { costModels, defaultModel } from '../../../src/simulate/cost-models';
import { rooflineModel } from '../../../src/simulate/roofline';
import { predict } from '../../../src/simulate/simulate';

describe('cost models', () => {
  test('the saturation curve is linear between its points', () => {
    const curve = { demandGbs: [100, 200], drawnGbs: [100, 150] };
    expect(drawnGbs(curve, 50)).toBe(50);
    expect(drawnGbs(curve, 150)).toBe(125);
    expect(drawnGbs(curve, 900)).toBe(150);
  });

  test('kernels are told by their tiles', () => {
    const [decode, prefill] = machines.h100.tileClasses;
    expect([decode, prefill].map((tileClass) => kernelKindOf(tileClass))).toEqual(['decode16', 'prefill']);
    // A wrapper has the build for as many rows as it needs.
    expect([1, 8, 9, 16, 17].map((rows) => kernelKindOf({ ...decode, queryRows: 32 }, rows))).toEqual([
      'decode',
      'decode',
      'decode16',
      'decode16',
      'decode32',
    ]);
    expect(kernelKindOf(cpuMachine().tileClasses[0])).toBe('decode');
  });

  test('names of one GPU are one family', () => {
    expect(machineFamily('NVIDIA H100 80GB HBM3')).toBe(machineFamily(machines.h100.name));
    expect(machineFamily('NVIDIA H200')).not.toBe(machineFamily(machines.h100.name));
  });

  test('an uncalibrated machine gets an estimate that says so', () => {
    expect(defaultModel(machines.l40s).name).toBe('roofline estimate for L40S (not calibrated)');
    expect(defaultModel(machines.l40s).kind).toBe('roofline');
    expect(defaultModel({ ...machines.h100, numSms: 114 }).kind).toBe('roofline');
  });

  test('an estimate is near the bandwidth where batches are long', () => {
    const problem = makeProblem({ kvLens: new Array(64).fill(8192), numQoHeads: 32, numKvHeads: 8, headDim: 128 });
    for (const machine of [machines.h100, machines.h200, machines.a100]) {
      const { gbps } = predict(policies.headGroups(problem, machine), rooflineModel(machine));
      expect(gbps / machine.memoryBandwidthGBs).toBeGreaterThan(0.75);
      expect(gbps / machine.memoryBandwidthGBs).toBeLessThan(0.95);
    }
  });

  test('a calibration of other kernels is refused, and both are named', () => {
    const model = { ...costModels.h100, kind: 'calibrated' as const, kernelHash: 'aaaa' };
    const use = { gpu: 'NVIDIA H100 80GB HBM3', numSms: 132, kernelHash: 'bbbb' };
    expect(() => requireModelFor(model, use)).toThrow(/kernels aaaa; these are bbbb.*warpbook calibrate/);
    requireModelFor(model, use, { allowMismatch: true });
    requireModelFor(model, { ...use, kernelHash: undefined });
    // An estimate was measured with none.
    requireModelFor({ ...model, kind: 'roofline', kernelHash: '' }, use);
  });
});
