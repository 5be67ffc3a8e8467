import { describe, expect, test } from 'vitest';
import { ScheduleBuilder } from '../../../src/schedule/builder';
import { type Machine, machines } from '../../../src/schedule/machine';
import { policies } from '../../../src/schedule/policies/known';
import { makeProblem } from '../../../src/schedule/problem';
import type { Schedule } from '../../../src/schedule/schedule';
import { costModels } from '../../../src/simulate/cost-models';
import { predict } from '../../../src/simulate/simulate';

const h100: Machine = { ...machines.h100, tileClasses: [machines.h100.tileClasses[1]] };
const TOKEN_BYTES = 2 * 128 * 2;

/** One request and KV head: query tiles of 128 rows, each on a CTA of its own, with these cuts in their keys. */
function cutAt(tokens: number, queryTiles: number, cuts: readonly number[], machine: Machine): Schedule {
  const problem = makeProblem({
    kvLens: [tokens],
    qoLens: [queryTiles * 32],
    causal: false,
    numQoHeads: 4,
    numKvHeads: 1,
    headDim: 128,
  });
  const builder = new ScheduleBuilder('cutAt', problem, machine);
  let cta = 0;
  for (const tile of builder.queryTiles())
    builder.split(
      tile,
      cuts,
      Array.from({ length: cuts.length + 1 }, () => cta++),
    );
  return builder.build('explicit');
}

/** Keys that come from memory, as a multiple of those that there are. */
function timesRead(schedule: Schedule, tokens: number): number {
  return predict(schedule, costModels.h100, { allowMismatch: true }).bytes / (tokens * TOKEN_BYTES);
}

describe('keys that several tiles read', () => {
  /** Half of this L2 holds 16,384 tokens. */
  const small: Machine = { ...h100, l2Bytes: 2 ** 24 };
  const tokens = 2 ** 17;

  test('come from memory once where tiles walk over them together, however many there are', () => {
    expect(timesRead(cutAt(tokens / 4, 16, [], small), tokens / 4)).toBeCloseTo(1, 1);
  });

  /** Two query tiles, the first in two parts from a quarter of the keys on, the second from half of them on. */
  function apart(machine: Machine): Schedule {
    const problem = makeProblem({ kvLens: [tokens], qoLens: [64], numQoHeads: 4, numKvHeads: 1, headDim: 128 });
    const builder = new ScheduleBuilder('apart', problem, machine);
    for (const [i, tile] of builder.queryTiles().entries()) {
      builder.split(tile, [(tokens / 4) * (i + 1)], [2 * i, 2 * i + 1]);
    }
    return builder.build('explicit');
  }

  test('and again where others were there too long ago', () => {
    // The first quarter is read by both at once; all else by one when the other one is a quarter of the keys ahead.
    expect(timesRead(apart(small), tokens)).toBeCloseTo(1.75, 1);
    expect(timesRead(apart({ ...small, l2Bytes: 2 ** 28 }), tokens)).toBeCloseTo(1, 1);
  });

  test('so equal shares of long prompts, which begin anywhere, take longer than their steps', () => {
    const batch = { numQoHeads: 32, numKvHeads: 8, headDim: 128, causal: true } as const;
    const ratio = (kvLen: number): number => {
      const problem = makeProblem({ kvLens: [kvLen], qoLens: [1024], ...batch });
      const [shares, whole] = [policies.headGroups, policies.longestFirst].map((policy) =>
        predict(policy(problem, h100), costModels.h100, { allowMismatch: true }),
      );
      return shares.bytes / whole.bytes;
    };
    // 8 heads of 2k keys are 8 MiB, which the L2 holds; of 64k keys they are 256 MiB.
    expect(ratio(2048)).toBeLessThan(1.5);
    expect(ratio(65_536)).toBeGreaterThan(4);
  });

  test('plain decode reads each key once', () => {
    const decode = { ...machines.h100, tileClasses: [{ ...machines.h100.tileClasses[0], queryRows: 8 }] };
    const problem = makeProblem({ kvLens: [5000, 300, 70], numQoHeads: 32, numKvHeads: 8, headDim: 128 });
    expect(predict(policies.headGroups(problem, decode)).bytes).toBe(5370 * 8 * TOKEN_BYTES);
  });
});
