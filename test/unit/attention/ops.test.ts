/** The cases that test/device/ops.test.ts runs on a GPU, here: the same bits with any number of threads, and no leak. */
import { describe, expect, test } from 'vitest';
import { openDevice } from '../../../src/device/device';
import { OP_CASES, requireSame } from '../../support/op-cases';

describe('operations give the same bits with one thread as with three', () => {
  test.each(OP_CASES.map((op) => [op.name, op] as const))('%s', async (_, op) => {
    const devices = await Promise.all([1, 3].map((threads) => openDevice('cpu', { threads })));
    const [one, three] = await Promise.all(devices.map((device) => op.run(device)));
    requireSame({ ...op, tolerance: 0 }, three, one);
    for (const device of devices) {
      device.dispose();
      expect(device.leaks).toEqual([]);
    }
  });
});
