import fc from 'fast-check';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { type Device, openDevice } from '../../../src/device/device';
import { capture } from '../../../src/graph/capture';
import { arange, noop, words } from '../../support/device-programs';

describe('capture', () => {
  let device: Device;
  beforeAll(async () => {
    device = await openDevice('cpu', { threads: 2 });
  });
  afterEach(() => expect(device.stream.capturing).toBe(false));
  afterAll(() => device.dispose());

  it('records work instead of doing it', async () => {
    const buffer = device.allocate(16);
    buffer.fill(new Uint8Array([0]));
    const graph = capture(device, () => {
      expect(device.stream.capturing).toBe(true);
      device.stream.launch(arange(buffer, 1));
      buffer.fill(new Uint8Array([7]), { byteLength: 4 });
      buffer.copyFrom(buffer, { byteOffset: 8, byteLength: 4 });
    });
    expect(await words(buffer)).toEqual([0, 0, 0, 0]);
    expect(graph.size).toBe(3);
    expect(await graph.nodes()).toEqual([
      { index: 0, kind: 'kernel', label: 'tensor_arange', grid: [1, 1, 1], dependencies: [] },
      { index: 1, kind: 'fill', label: 'fill', byteLength: 4, dependencies: [0] },
      { index: 2, kind: 'copy', label: 'copy', byteLength: 4, dependencies: [1] },
    ]);
    graph.dispose();
    buffer.dispose();
  });

  it('may be empty', async () => {
    const graph = capture(device, () => {});
    const exec = graph.instantiate();
    exec.replay();
    await device.stream.synchronize();
    expect(await graph.nodes()).toEqual([]);
    exec.dispose();
    graph.dispose();
  });

  it('spreads to streams that wait for its events, and comes back', async () => {
    const side = device.createStream('side');
    const [a, b] = [device.allocate(16), device.allocate(16)];
    const graph = capture(device, () => {
      device.stream.launch(arange(a, 1));
      side.wait(device.stream.record());
      expect(side.capturing).toBe(true);
      side.launch(arange(b, 10));
      device.stream.launch(noop());
      device.stream.wait(side.record());
      device.stream.launch(noop());
    });
    expect(side.capturing).toBe(false);
    expect((await graph.nodes()).map(({ dependencies }) => dependencies)).toEqual([[], [0], [0], [1, 2]]);
    const exec = graph.instantiate();
    exec.replay();
    expect([await words(a), await words(b)]).toEqual([
      [1, 2, 3, 4],
      [10, 11, 12, 13],
    ]);
    for (const thing of [exec, graph, side, a, b]) thing.dispose();
  });

  it('refuses a stream that is not joined back, naming it', async () => {
    const side = device.createStream('forgotten');
    const run = (): unknown =>
      capture(device, () => {
        side.wait(device.stream.record());
        side.launch(noop());
        device.stream.launch(noop());
      });
    expect(run).toThrow(
      expect.objectContaining({
        code: 'CAPTURE_INVALID',
        message: expect.stringContaining("with work on stream 'forgotten' that it does not wait for"),
        details: { stream: 'forgotten' },
      }),
    );
    expect(side.capturing).toBe(false);
    side.launch(noop());
    await device.synchronize();
    side.dispose();
  });

  it('refuses async functions', async () => {
    const run = (): unknown => capture(device, (async () => device.stream.launch(noop())) as () => void);
    expect(run).toThrow(expect.objectContaining({ code: 'CAPTURE_INVALID' }));
    expect(run).toThrow('Got a capture function that returns a Promise');
    await device.synchronize();
  });

  it('is dropped when the function throws, and the streams work again', async () => {
    const side = device.createStream();
    const buffer = device.allocate(16);
    expect(() =>
      capture(device, () => {
        side.wait(device.stream.record());
        device.stream.launch(noop());
        throw new Error('from the cell');
      }),
    ).toThrow('from the cell');
    expect(side.capturing).toBe(false);
    side.launch(arange(buffer, 3));
    expect(await words(buffer, side)).toEqual([3, 4, 5, 6]);
    buffer.dispose();
    side.dispose();
  });

  it('refuses a stream of another device', async () => {
    const other = await openDevice('cpu', { threads: 1, name: 'other' });
    expect(() => capture(device, () => {}, { stream: other.stream })).toThrow(
      expect.objectContaining({ code: 'DEVICE_MISMATCH' }),
    );
    other.dispose();
  });

  it('records the same graph on both sides of the seam, for any pattern of streams and events', async () => {
    const streams = [device.stream, device.createStream('a'), device.createStream('b')];
    const step = fc.record({ kind: fc.constantFrom('launch', 'edge'), from: fc.nat(2), to: fc.nat(2) });
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 25 }), async (steps) => {
        const dependencies: number[][] = [];
        const graph = capture(device, () => {
          for (const { kind, from, to } of steps) {
            const [source, target] = [streams[from], streams[to]];
            if (!source.capturing) continue;
            if (kind === 'edge') target.wait(source.record());
            else {
              dependencies.push([...(source.session?.frontier(source) ?? [])].sort((x, y) => x - y));
              source.launch(noop());
            }
          }
          for (const side of streams.slice(1)) if (side.capturing) device.stream.wait(side.record());
        });
        expect((await graph.nodes()).map((node) => node.dependencies)).toEqual(dependencies);
        graph.dispose();
      }),
      { numRuns: 100 },
    );
    for (const stream of streams.slice(1)) stream.dispose();
  });
});
