import { setTimeout as after } from 'node:timers/promises';
import { expect, it } from 'vitest';
import { inOrder } from '../../../src/cli/in-order';

/** Items are milliseconds; what happens is noted. */
function noted(fails: number = Number.NaN) {
  const notes: string[] = [];
  let running = 0;
  let most = 0;
  return {
    notes,
    most: () => most,
    run: async (ms: number) => {
      notes.push(`run ${ms}`);
      most = Math.max(most, ++running);
      await after(ms);
      running--;
      if (ms === fails) throw new Error(`failed ${ms}`);
      return ms * 2;
    },
    conclude: async (ms: number, result: number) => {
      await after(1);
      notes.push(`${ms} is ${result}`);
    },
  };
}

it('runs one after the other where one may', async () => {
  const work = noted();
  await inOrder([5, 1], 1, work);
  expect(work.most()).toBe(1);
  expect(work.notes.filter((note) => note.startsWith('run'))).toEqual(['run 5', 'run 1']);
});

it('runs as many as may, and concludes in order whoever is first', async () => {
  const work = noted();
  await inOrder([60, 1, 2, 3], 2, work);
  expect(work.most()).toBe(2);
  expect(work.notes).toEqual(['run 60', 'run 1', 'run 2', 'run 3', '60 is 120', '1 is 2', '2 is 4', '3 is 6']);
});

it('throws a failure in its turn and begins nothing after it', async () => {
  const work = noted(30);
  await expect(inOrder([5, 30, 60, 1], 2, work)).rejects.toThrow('failed 30');
  await after(60);
  expect(work.notes).toEqual(['run 5', 'run 30', 'run 60', '5 is 10']);
});

it('has nothing to do with nothing', async () => {
  await inOrder([], 3, noted());
});
