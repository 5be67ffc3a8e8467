import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { cpuMachine } from '../../../src/schedule/machine';
import { policies } from '../../../src/schedule/policies/known';
import { makeProblem } from '../../../src/schedule/problem';
import { planChunks } from '../../../src/strategy/chunk-plan';

const limits = { slots: 24, numKvHeads: 2, pageSize: 16 };

describe('planChunks', () => {
  it('covers every length with whole chunks that fit the CTAs at once', () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 0, max: 5000 }), { minLength: 1, maxLength: 11 }), (lengths) => {
        const plan = planChunks(Int32Array.from(lengths), limits);
        expect(plan.split).toBe(true);
        expect(plan.kvChunkSize % 16).toBe(0);
        expect(plan.kvChunkSize).toBeGreaterThanOrEqual(128);
        for (const [r, length] of lengths.entries()) {
          const chunks = plan.oIndptr[r + 1] - plan.oIndptr[r];
          expect(chunks).toBe(Math.max(1, Math.ceil(length / plan.kvChunkSize)));
        }
        expect(plan.oIndptr[lengths.length] * limits.numKvHeads).toBeLessThanOrEqual(limits.slots);
      }),
    );
  });

  it("has the chunk size of the policy of FlashInfer's planner", () => {
    const machine = cpuMachine(24);
    for (const lengths of [[4096], [1000, 20, 3000], [5, 5, 5, 5], [16000, 200, 90, 7]]) {
      const problem = makeProblem({ kvLens: lengths, numQoHeads: 4, numKvHeads: 2, headDim: 64 });
      const { decisions } = policies.binarySearch(problem, machine);
      expect(planChunks(Int32Array.from(lengths), limits).kvChunkSize).toBe(decisions.kvChunkSizeTokens);
    }
  });

  it('splits nothing where requests alone fill the machine, or where it is told so', () => {
    const many = planChunks(new Int32Array(12).fill(3000), limits);
    expect([many.split, many.oIndptr[12]]).toEqual([false, 12]);
    expect(planChunks(Int32Array.of(3000), limits, false)).toMatchObject({ split: false, kvChunkSize: 3000 });
  });
});
