/** The CUDA device on a real GPU. node:test, so that it runs where nothing but Node is: see scripts/bundle-gpu.mjs. */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import type { CudaBackend } from '../../src/device/cuda';
import type { Device } from '../../src/device/device';
import { StagingRing } from '../../src/device/staging';
import type { Stream } from '../../src/device/stream';
import { capture } from '../../src/graph/capture';
import { arange, noop, openProbed, shape, store, words } from './probes';

const MIB = 1 << 20;

let device: Device;
let other: Stream;
before(async () => {
  device = await openProbed();
  other = device.createStream('other');
  const { name, architecture, numProcessors, driverVersion } = device.description;
  console.log(`${name}, ${architecture}, ${numProcessors} SMs, driver for CUDA ${driverVersion}`);
});
after(() => {
  device.dispose();
  assert.deepEqual(device.leaks, []);
});

describe('memory', () => {
  for (const byteLength of [0, 1, 4097, 65_537, 4 * MIB + 3, 300 * MIB + 5]) {
    it(`writes and reads ${byteLength} bytes`, async () => {
      const bytes = new Uint8Array(byteLength);
      for (let i = 0; i < byteLength; i++) bytes[i] = (i * 31 + (i >> 12)) & 255;
      const buffer = device.allocate(byteLength);
      buffer.write(bytes);
      assert.ok(Buffer.compare(await buffer.read(), bytes) === 0);
      buffer.dispose();
    });
  }

  const fills: [pattern: number[], byteOffset: number, byteLength: number][] = [
    [[7], 0, 5],
    [[1, 2], 2, 6],
    [[1, 2], 1, 6],
    [[1, 2, 3, 4], 1, 8],
    [[1, 2, 3, 4, 5, 6, 7, 8], 8, 24],
    [[1, 2, 3, 4, 5, 6, 7, 8], 3, 16],
  ];
  for (const [pattern, byteOffset, byteLength] of fills) {
    it(`fills with ${pattern} at byte ${byteOffset}, eager and captured`, async () => {
      const buffer = device.allocate(40);
      const wanted = Array.from({ length: 40 }, (_, i) =>
        i >= byteOffset && i < byteOffset + byteLength ? pattern[(i - byteOffset) % pattern.length] : 0,
      );
      buffer.fill(new Uint8Array([0]));
      buffer.fill(new Uint8Array(pattern), { byteOffset, byteLength });
      assert.deepEqual([...(await buffer.read())], wanted);
      const graph = capture(device, () => buffer.fill(new Uint8Array(pattern), { byteOffset, byteLength }));
      const exec = graph.instantiate();
      buffer.fill(new Uint8Array([0]));
      exec.replay();
      assert.deepEqual([...(await buffer.read())], wanted);
      for (const thing of [exec, graph, buffer]) thing.dispose();
    });
  }

  it('refuses what the GPU has no room for, and goes on', async () => {
    const full = await openProbed({ memoryLimitBytes: 2 ** 50 });
    assert.throws(() => full.allocate(2 ** 42), { code: 'OUT_OF_MEMORY', message: /has no room for/ });
    full.allocate(MIB).dispose();
    full.dispose();
  });

  it('gives the pool back what is freed, in order', async () => {
    const target = device.allocate(64 * MIB);
    for (let round = 0; round < 200; round++) {
      const source = device.allocate(64 * MIB);
      source.fill(new Uint8Array([round]));
      target.copyFrom(source);
      source.dispose();
    }
    const bytes = await target.read({ byteLength: 16 });
    assert.deepEqual([...bytes], new Array(16).fill(199));
    target.dispose();
  });
});

describe('programs', () => {
  it('are launched with grid, threads and shared memory', async () => {
    const buffer = device.allocate(32);
    device.stream.launch(shape('shape', buffer, [132, 2, 3]));
    assert.deepEqual(await words(buffer), [132, 2, 3, 128, 1, 1, 100_000, 1]);
    buffer.dispose();
  });

  it('get addresses with offsets', async () => {
    const buffer = device.allocate(32);
    buffer.fill(new Uint8Array([0]));
    device.stream.launch(store('add_word', buffer, 5, 12, 3));
    assert.deepEqual(await words(buffer), [0, 0, 0, 5 * 3 * 64, 0, 0, 0, 0]);
    buffer.dispose();
  });

  it('refuse other parameters than their own', async () => {
    const buffer = device.allocate(32);
    assert.throws(() => device.stream.launch({ ...arange(buffer, 1), program: 'add_word' }), {
      message: /got 32 parameter bytes for program 'add_word'; wanted 16/,
    });
    buffer.dispose();
  });

  it('are chained by programmatic dependent launch, eager and captured', async () => {
    const buffer = device.allocate(4);
    const chain = (): void => {
      for (let i = 0; i < 20; i++) device.stream.launch(store('double_word', buffer, 1));
    };
    buffer.fill(new Uint8Array([0]));
    chain();
    assert.deepEqual(await words(buffer), [2 ** 20 - 1]);
    const graph = capture(device, chain);
    const nodes = await graph.nodes();
    assert.deepEqual(
      nodes.map(({ dependencies }) => dependencies),
      nodes.map((_, i) => (i === 0 ? [] : [i - 1])),
    );
    const exec = graph.instantiate();
    buffer.fill(new Uint8Array([0]));
    exec.replay();
    assert.deepEqual(await words(buffer), [2 ** 20 - 1]);
    for (const thing of [exec, graph, buffer]) thing.dispose();
  });
});

describe('streams and events', () => {
  it('run beside JavaScript, in order, and are counted', async () => {
    const buffer = device.allocate(16);
    await device.stream.synchronize();
    const began = process.hrtime.bigint();
    device.stream.launch(store('spin', buffer, 50_000));
    device.stream.launch(arange(buffer, 1));
    assert.ok(Number(process.hrtime.bigint() - began) < 20e6, 'enqueueing returns at once');
    assert.equal(device.stream.pending(), 2);
    assert.deepEqual(await words(buffer), [1, 2, 3, 4]);
    assert.equal(device.stream.pending(), 0);
    buffer.dispose();
  });

  it('order each other by events', async () => {
    const [a, b] = [device.allocate(16), device.allocate(16)];
    device.stream.launch(store('spin', a, 20_000));
    device.stream.launch(arange(a, 7));
    other.wait(device.stream.record());
    b.copyFrom(a, { stream: other });
    device.stream.wait(other.record());
    assert.deepEqual(await words(b), [7, 8, 9, 10]);
    a.dispose();
    b.dispose();
  });

  it('measure time', async () => {
    const buffer = device.allocate(4);
    for (const microseconds of [200, 20_000]) {
      const start = device.stream.record();
      device.stream.launch(store('spin', buffer, microseconds));
      const elapsed = (await device.stream.record().elapsedSinceNs(start)) / 1000;
      assert.ok(elapsed > 0.95 * microseconds && elapsed < microseconds + 2000, `${elapsed} µs`);
    }
    buffer.dispose();
  });

  it('free a staging slot when it has been read', async () => {
    const buffer = device.allocate(16);
    const ring = new StagingRing(device, 16, 1);
    device.stream.launch(store('spin', buffer, 20_000));
    const slot = ring.acquire();
    slot.bytes.fill(4);
    ring.submit(slot, 16, device.stream, buffer);
    assert.throws(() => ring.acquire(), { code: 'PLAN_QUEUE_FULL' });
    await ring.ready();
    ring.release(ring.acquire());
    assert.deepEqual([...(await buffer.read())], new Array(16).fill(4));
    ring.dispose();
    buffer.dispose();
  });
});

describe('graphs', () => {
  it('freeze parameters, describe themselves and take updates', async () => {
    const [a, b] = [device.allocate(16), device.allocate(16)];
    const graph = capture(device, () => {
      device.stream.launch(arange(a, 1));
      other.wait(device.stream.record());
      b.fill(new Uint8Array([1, 0, 0, 0, 2, 0, 0, 0]), { stream: other });
      a.copyFrom(b, { byteLength: 0 });
      device.stream.wait(other.record());
      device.stream.launch(noop());
    });
    assert.deepEqual(
      (await graph.nodes()).map(({ kind, label, dependencies }) => [kind, label, dependencies]),
      [
        ['kernel', 'arange', []],
        ['fill', 'fill', [0]],
        ['copy', 'copy', [0]],
        ['kernel', 'noop', [1, 2]],
      ],
    );
    const exec = graph.instantiate();
    exec.replay();
    assert.deepEqual(
      [await words(a), await words(b)],
      [
        [1, 2, 3, 4],
        [1, 2, 1, 2],
      ],
    );
    exec.updateNode(0, arange(a, 20, 5));
    exec.replay();
    assert.deepEqual(await words(a), [20, 25, 30, 35]);
    for (const thing of [exec, graph, a, b]) thing.dispose();
  });

  it('replay quickly: a graph of 100 empty kernels, and what enqueueing costs', async () => {
    const graph = capture(device, () => {
      for (let i = 0; i < 100; i++) device.stream.launch(noop());
    });
    const exec = graph.instantiate();
    exec.replay();
    await device.stream.synchronize();
    const start = device.stream.record();
    const began = process.hrtime.bigint();
    for (let i = 0; i < 100; i++) exec.replay();
    const enqueuedUs = Number(process.hrtime.bigint() - began) / 1000 / 100;
    const perNodeUs = (await device.stream.record().elapsedSinceNs(start)) / 1000 / 10_000;
    const launchBegan = process.hrtime.bigint();
    for (let i = 0; i < 1000; i++) device.stream.launch(noop());
    const launchUs = Number(process.hrtime.bigint() - launchBegan) / 1000 / 1000;
    await device.stream.synchronize();
    console.log(
      `replay enqueued in ${enqueuedUs.toFixed(1)} µs, ${perNodeUs.toFixed(2)} µs a node on the GPU; ` +
        `launch enqueued in ${launchUs.toFixed(2)} µs`,
    );
    assert.ok(perNodeUs < 10);
    exec.dispose();
    graph.dispose();
  });

  it('leave nothing behind after 1,000 rounds', async () => {
    const backend = device.state.backend as CudaBackend;
    const before = backend.liveCounts();
    for (let round = 0; round < 1000; round++) {
      const buffer = device.allocate(64);
      const graph = capture(device, () => device.stream.launch(arange(buffer, round)));
      const exec = graph.instantiate();
      exec.replay();
      for (const thing of [buffer, graph, exec]) thing.dispose();
    }
    await device.synchronize();
    assert.deepEqual(backend.liveCounts(), before);
  });
});
