import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { CpuBackend } from '../../../src/device/cpu';
import { type Device, openDevice } from '../../../src/device/device';
import { capture, onCapture } from '../../../src/graph/capture';
import { arange, failing, keepBusy, noop, words } from '../../support/device-programs';

describe('GraphExec', () => {
  let device: Device;
  beforeAll(async () => {
    device = await openDevice('cpu', { threads: 2 });
  });
  afterAll(() => device.dispose());

  it('replays parameters as they were at capture: a value that changes later has to be in device memory', async () => {
    const [source, target] = [device.allocate(16), device.allocate(32)];
    let start = 1;
    const exec = capture(device, () => {
      device.stream.launch({ ...arange(target, start, 1, 4) });
      target.copyFrom(source, { byteOffset: 16 });
    }).instantiate();
    start = 100;
    for (const inMemory of [40, 50]) {
      device.stream.launch(arange(source, inMemory));
      exec.replay();
      expect(await words(target)).toEqual([1, 2, 3, 4, ...[0, 1, 2, 3].map((i) => inMemory + i)]);
    }
    expect(start).toBe(100);
    for (const thing of [exec, source, target]) thing.dispose();
  });

  it('replays addresses as they were at capture', async () => {
    const [first, second] = [device.allocate(16), device.allocate(16)];
    const launch = arange(first, 1);
    const exec = capture(device, () => device.stream.launch(launch)).instantiate();
    launch.params.params.fill(0);
    (launch.params.relocations[0] as { buffer: number }).buffer = second.handle;
    second.fill(new Uint8Array([0]));
    exec.replay();
    expect([await words(first), await words(second)]).toEqual([
      [1, 2, 3, 4],
      [0, 0, 0, 0],
    ]);
    for (const thing of [exec, first, second]) thing.dispose();
  });

  it('replays in order with other work, on any stream, many times', async () => {
    const other = device.createStream();
    const [counter, history] = [device.allocate(4), device.allocate(4 * 64)];
    const exec = capture(device, () => history.copyFrom(counter, { byteOffset: 0 })).instantiate();
    for (let i = 0; i < 64; i++) {
      device.stream.launch(arange(counter, i));
      other.wait(device.stream.record());
      exec.replay(other);
      history.copyFrom(history, { byteOffset: 4 * i, byteLength: 4, stream: other });
      device.stream.wait(other.record());
    }
    expect((await words(history)).slice(1)).toEqual(Array.from({ length: 63 }, (_, i) => i + 1));
    for (const thing of [exec, counter, history, other]) thing.dispose();
  });

  it('updates one node from the next replay on', async () => {
    const large = device.allocate(1 << 26);
    const [a, b] = [device.allocate(16), device.allocate(16)];
    const graph = capture(device, () => {
      device.stream.launch(arange(a, 1));
      device.stream.launch(arange(b, 2));
    });
    const exec = graph.instantiate();
    keepBusy(device.stream, large, 4);
    exec.replay();
    exec.updateNode(1, arange(b, 20, 5));
    expect([await words(a), await words(b)]).toEqual([
      [1, 2, 3, 4],
      [2, 3, 4, 5],
    ]);
    exec.replay();
    expect([await words(a), await words(b)]).toEqual([
      [1, 2, 3, 4],
      [20, 25, 30, 35],
    ]);
    const fresh = graph.instantiate();
    fresh.replay();
    expect(await words(b)).toEqual([2, 3, 4, 5]);
    for (const thing of [exec, fresh, graph, a, b, large]) thing.dispose();
  });

  it('refuses updates that do not fit the node', () => {
    const buffer = device.allocate(16);
    const exec = capture(device, () => {
      device.stream.launch(noop());
      buffer.fill(new Uint8Array([1]));
    }).instantiate();
    expect(() => exec.updateNode(0, arange(buffer, 1))).toThrow(
      "Got an update of node 0 to 'tensor_arange'; wanted 'noop'",
    );
    expect(() => exec.updateNode(1, noop())).toThrow('wanted a kernel node: this one is a copy or a fill');
    expect(() => exec.updateNode(2, noop())).toThrow('node index is 2; wanted an integer from 0 to 1.');
    exec.dispose();
    buffer.dispose();
  });

  it('is stale once a buffer that it points to is disposed', () => {
    const [kept, gone] = [device.allocate(16), device.allocate(16, { label: 'workspace' })];
    const exec = capture(device, () => {
      device.stream.launch(noop());
      kept.copyFrom(gone);
    }).instantiate();
    exec.replay();
    gone.dispose();
    for (let attempt = 0; attempt < 2; attempt++) {
      expect(() => exec.replay()).toThrow(
        expect.objectContaining({
          code: 'GRAPH_STALE',
          message: expect.stringContaining("whose node 1 points to buffer 'workspace', which has been disposed"),
        }),
      );
    }
    exec.dispose();
    kept.dispose();
  });

  it('is stale when a buffer is disposed within the capture', () => {
    const buffer = device.allocate(16, { label: 'short-lived' });
    const exec = capture(device, () => {
      buffer.fill(new Uint8Array([1]));
      buffer.dispose();
    }).instantiate();
    expect(() => exec.replay()).toThrow("points to buffer 'short-lived'");
    exec.dispose();
  });

  it('is no longer stale when the node is updated to a live buffer', async () => {
    const [first, second] = [device.allocate(16), device.allocate(16)];
    const exec = capture(device, () => device.stream.launch(arange(first, 1))).instantiate();
    first.dispose();
    expect(() => exec.replay()).toThrow(expect.objectContaining({ code: 'GRAPH_STALE' }));
    exec.updateNode(0, arange(second, 6));
    exec.replay();
    expect(await words(second)).toEqual([6, 7, 8, 9]);
    exec.dispose();
    second.dispose();
  });

  it('asks the guards of its users before each replay', () => {
    let reason: string | undefined;
    onCapture(device.stream, { check: () => 'outside of a capture: never asked' });
    const exec = capture(device, () => {
      device.stream.launch(noop());
      onCapture(device.stream, { check: () => reason });
    }).instantiate();
    exec.replay();
    reason = 'The plan was made anew with another layout; capture again.';
    expect(() => exec.replay()).toThrow(expect.objectContaining({ code: 'GRAPH_STALE', message: reason }));
    reason = undefined;
    exec.replay();
    exec.dispose();
  });

  it('may be disposed before or after its graph, also with replays enqueued', async () => {
    const large = device.allocate(1 << 26);
    const buffer = device.allocate(16);
    const graph = capture(device, () => device.stream.launch(arange(buffer, 8)));
    const exec = graph.instantiate();
    graph.dispose();
    graph.dispose();
    keepBusy(device.stream, large, 4);
    exec.replay();
    exec.dispose();
    exec.dispose();
    expect(await words(buffer)).toEqual([8, 9, 10, 11]);
    expect(() => exec.replay()).toThrow('Got replay of a graph exec after its dispose()');
    expect(() => graph.instantiate()).toThrow('Got instantiate of a graph after its dispose()');
    large.dispose();
    buffer.dispose();
  });

  it('leaves nothing behind after 10,000 rounds of capture, replay and dispose', async () => {
    // A device of its own: what other tests leave to the collector must not be counted here.
    const own = await openDevice('cpu', { threads: 1 });
    const { backend } = own.state as unknown as { backend: CpuBackend };
    const before = [own.memory().usedBytes, backend.liveCounts()];
    for (let round = 0; round < 10_000; round++) {
      const buffer = own.allocate(64);
      const graph = capture(own, () => own.stream.launch(arange(buffer, round)));
      const exec = graph.instantiate();
      exec.replay();
      buffer.dispose();
      graph.dispose();
      exec.dispose();
      if (round % 500 === 0) await own.stream.synchronize();
    }
    expect([own.memory().usedBytes, backend.liveCounts()]).toEqual(before);
    own.dispose();
  });

  it('names the node that fails', async () => {
    const broken = await openDevice('cpu', { threads: 1 });
    const buffer = broken.allocate(16);
    const exec = capture(broken, () => {
      broken.stream.launch(noop());
      broken.stream.launch(failing(buffer));
    }).instantiate();
    exec.replay();
    await expect(broken.stream.synchronize()).rejects.toThrow(
      "failed in graph replay, node 1: launch of 'tensor_arange'",
    );
    broken.dispose();
  });
});
