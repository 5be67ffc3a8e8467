/** A driver of CUDA 12.0 has neither conditional nodes nor nodes that kernels update: refused by the version that has them. */
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import type { Device } from '../../../src/device/device';
import { capture } from '../../../src/graph/capture';
import type { DecodeModel } from '../../../src/strategy/model';
import { strategies } from '../../../src/strategy/strategies';
import { arange, noop, words } from '../../support/device-programs';
import { buildOldFakeDriver, openFakeCuda } from '../../support/fake-cuda/build';

describe('mechanisms that a driver for CUDA 12.0 lacks', () => {
  let device: Device;
  beforeAll(async () => {
    vi.stubEnv('FAKE_CUDA_VERSION', '12000');
    device = await openFakeCuda({}, buildOldFakeDriver());
  });
  afterAll(() => {
    device.dispose();
    vi.unstubAllEnvs();
  });

  it('are named with the version that has them, and the capture goes on', async () => {
    const out = device.allocate(16);
    const body = capture(device, () => device.stream.launch(noop()));
    const graph = capture(device, () => {
      const add = (kind: 'if' | 'while' | 'switch', count: number) => () =>
        device.stream.launchConditional(kind, Array(count).fill(body));
      expect(add('while', 1)).toThrow(/a WHILE node with a driver for CUDA 12\.0; wanted one for CUDA 12\.3/);
      expect(add('switch', 2)).toThrow(/a SWITCH node with a driver for CUDA 12\.0; wanted one for CUDA 12\.8/);
      expect(add('if', 2)).toThrow(/an IF node with an ELSE .*CUDA 12\.8/);
      expect(() => device.stream.launch({ ...noop(), deviceUpdatable: true })).toThrow(
        /a node that the device may update with a driver for CUDA 12\.0; wanted one for CUDA 12\.4/,
      );
      device.stream.launch(arange(out, 4));
    });
    expect(await graph.nodes()).toHaveLength(1);
    graph.instantiate().replay();
    expect(await words(out)).toEqual([4, 5, 6, 7]);
  });

  it('are why strategies are refused, before anything is made', async () => {
    // The model's own kernels need a compiler; what is asked for here comes before them.
    const model = { device } as DecodeModel;
    for (const [name, version] of [
      ['conditional', '12.8'],
      ['whileLoop', '12.3'],
      ['updatableNodes', '12.4'],
    ] as const) {
      await expect(strategies[name](model).capture({ maxBatch: 1, maxKvLen: 16 })).rejects.toMatchObject({
        code: 'UNSUPPORTED',
        message: expect.stringContaining(`CUDA ${version} brought; the driver is for CUDA 12.0`),
      });
    }
  });
});
