import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import type { Device } from '../../../src/device/device';
import { capture } from '../../../src/graph/capture';
import { arange, noop, words } from '../../support/device-programs';
import { openFakeCuda } from '../../support/fake-cuda/build';

describe('graphs of the CUDA device, over a fake driver', () => {
  let device: Device;
  beforeAll(async () => {
    device = await openFakeCuda();
  });
  afterEach(() => {
    delete process.env.FAKE_CUDA_FAIL;
  });
  afterAll(() => device.dispose());

  it('describes nodes and edges, also of calls that take the driver several nodes or none', async () => {
    const other = device.createStream();
    const [a, b] = [device.allocate(32), device.allocate(32)];
    const graph = capture(device, () => {
      device.stream.launch(arange(a, 1));
      other.wait(device.stream.record());
      b.fill(new Uint8Array([1, 2, 3, 4, 5, 6, 7, 8]), { stream: other });
      a.copyFrom(b, { byteLength: 0 });
      device.stream.wait(other.record());
      device.stream.launch(noop());
    });
    expect(await graph.nodes()).toEqual([
      { index: 0, kind: 'kernel', label: 'tensor_arange', grid: [1, 1, 1], dependencies: [] },
      { index: 1, kind: 'fill', label: 'fill', byteLength: 32, dependencies: [0] },
      { index: 2, kind: 'copy', label: 'copy', byteLength: 0, dependencies: [0] },
      { index: 3, kind: 'kernel', label: 'noop', grid: [1, 1, 1], dependencies: [1, 2] },
    ]);
    const exec = graph.instantiate();
    exec.replay();
    expect([...(await b.read())]).toEqual([1, 2, 3, 4].flatMap(() => [1, 2, 3, 4, 5, 6, 7, 8]));
    for (const thing of [exec, graph, a, b, other]) thing.dispose();
  });

  it('freezes parameters at capture, and updates a node from the next replay on', async () => {
    const [a, b] = [device.allocate(16), device.allocate(16)];
    const graph = capture(device, () => {
      a.fill(new Uint8Array([0]));
      device.stream.launch(arange(a, 1));
    });
    const exec = graph.instantiate();
    exec.replay();
    expect(await words(a)).toEqual([1, 2, 3, 4]);
    b.fill(new Uint8Array([0]));
    exec.updateNode(1, arange(b, 20, 5));
    exec.replay();
    expect([await words(a), await words(b)]).toEqual([
      [0, 0, 0, 0],
      [20, 25, 30, 35],
    ]);
    const fresh = graph.instantiate();
    graph.dispose();
    fresh.replay();
    expect(await words(a)).toEqual([1, 2, 3, 4]);
    for (const thing of [exec, fresh, a, b]) thing.dispose();
  });

  it('is usable again after a capture that failed', async () => {
    const buffer = device.allocate(16);
    expect(() =>
      capture(device, () => {
        device.stream.launch(noop());
        throw new Error('of the cell');
      }),
    ).toThrow('of the cell');
    const graph = capture(device, () => {
      process.env.FAKE_CUDA_FAIL = 'cuLaunchKernelEx=1';
      expect(() => device.stream.launch(noop())).toThrow(/cuLaunchKernelEx failed with CUDA_ERROR_INVALID_VALUE/);
      device.stream.launch(arange(buffer, 7));
    });
    expect(await graph.nodes()).toHaveLength(1);
    const exec = graph.instantiate();
    exec.replay();
    expect(await words(buffer)).toEqual([7, 8, 9, 10]);
    for (const thing of [exec, graph, buffer]) thing.dispose();
  });

  it('keeps memory that is freed in a capture until earlier work has run', async () => {
    const other = device.createStream();
    const [kept, freed] = [device.allocate(1 << 20), device.allocate(1 << 20)];
    freed.fill(new Uint8Array([5]), { stream: other });
    for (let i = 0; i < 20; i++) kept.copyFrom(freed, { stream: other });
    capture(device, () => {
      other.wait(device.stream.record());
      device.stream.launch(noop());
      freed.dispose();
      device.stream.wait(other.record());
    }).dispose();
    const next = device.allocate(1 << 20);
    next.fill(new Uint8Array([9]));
    expect((await kept.read({ stream: other })).every((byte) => byte === 5)).toBe(true);
    for (const thing of [kept, next, other]) thing.dispose();
  });
});
