/** Tensor, append and merge operations on a real GPU: what the CPU device gives, bit by bit where that is defined. */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { openDevice } from '../../src/attention/open-device';
import type { Device } from '../../src/device/device';
import { OP_CASES, requireSame } from '../support/op-cases';

let device: Device;
let cpu: Device;
before(async () => {
  [device, cpu] = [await openDevice('cuda'), await openDevice('cpu')];
});
after(() => {
  for (const each of [device, cpu]) {
    each.dispose();
    assert.deepEqual(each.leaks, []);
  }
});

describe('operations', () => {
  for (const op of OP_CASES) {
    it(op.name, async () => requireSame(op, await op.run(device), await op.run(cpu)));
  }
});
