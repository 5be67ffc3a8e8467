import { expect, test } from 'vitest';
import { machines } from '../../../src/schedule/machine';
import { policies } from '../../../src/schedule/policies/known';
import { kvBytes, makeProblem } from '../../../src/schedule/problem';
import { tileWork } from '../../../src/schedule/tile-work';

const problem = makeProblem({ kvLens: [5000, 100, 0], numQoHeads: 8, numKvHeads: 2, headDim: 64 });

test.each(['noSplit', 'binarySearch', 'headGroups'] as const)('%s reads every key once', (name) => {
  const schedule = policies[name](problem, machines.h100);
  const { bytes, flops, mergeBytes } = tileWork(schedule);
  const sum = (values: Float64Array) => values.reduce((total, value) => total + value, 0);
  // Each partial state is written by a tile and read by a merge; 4 rows (the group) for each key.
  expect(sum(bytes)).toBe(kvBytes(problem) + schedule.partialBytes);
  expect(sum(mergeBytes)).toBe(schedule.partialBytes);
  expect(sum(flops)).toBe(4 * 4 * 2 * 64 * 5100);
});
