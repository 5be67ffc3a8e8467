/** The calibration that comes with warpbook, against times that were measured on other days and by other programs. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { machines } from '../../../src/schedule/machine';
import { policies } from '../../../src/schedule/policies/known';
import { makeProblem } from '../../../src/schedule/problem';
import { costModels } from '../../../src/simulate/cost-models';
import { predict } from '../../../src/simulate/simulate';

interface Row {
  what: string;
  numQoHeads: number;
  numKvHeads: number;
  headDim: number;
  medianUs: number;
}
const file = join(__dirname, '../../../bench/results/h100/2026-11-27-decode.json');
const { rows } = JSON.parse(readFileSync(file, 'utf8')) as { rows: Row[] };
/** Decode plans with the kernel's own rows: 8 a pass. */
const machine = { ...machines.h100, tileClasses: [{ ...machines.h100.tileClasses[0], queryRows: 8 }] };

/** `1x65536+31x512` as lengths. */
function lengthsOf(what: string): number[] {
  return what.split('+').flatMap((part) => {
    const [count, length] = part.split('x').map(Number);
    return new Array<number>(count).fill(length);
  });
}

describe("the H100's calibration", () => {
  test('is one, of these 132 SMs', () => {
    expect(costModels.h100).toMatchObject({ kind: 'calibrated', numSms: 132, gpu: 'NVIDIA H100 80GB HBM3' });
    expect(costModels.h100.kernelHash).toMatch(/^[0-9a-f]{12}$/);
  });

  test('meets the results table of the decode bench', () => {
    const errors = rows.map(({ what, numQoHeads, numKvHeads, headDim, medianUs }) => {
      const problem = makeProblem({ kvLens: lengthsOf(what), numQoHeads, numKvHeads, headDim });
      const { durationNs } = predict(policies.headGroupsSpare(problem, machine));
      return { what, pct: (durationNs / 1e3 / medianUs - 1) * 100 };
    });
    expect(errors.length).toBeGreaterThan(30);
    expect(errors.filter(({ pct }) => Math.abs(pct) > 13)).toEqual([]);
    const mean = errors.reduce((sum, { pct }) => sum + Math.abs(pct), 0) / errors.length;
    expect(mean).toBeLessThan(6);
  });
});
