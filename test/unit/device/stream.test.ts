import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Device, defaultDevice, openDevice } from '../../../src/device/device';
import type { Launch } from '../../../src/device/stream';
import { arange, keepBusy, noop, words } from '../../support/device-programs';

describe('Stream', () => {
  let device: Device;
  beforeAll(async () => {
    device = await openDevice('cpu', { threads: 2 });
  });
  afterAll(() => device.dispose());

  it('runs its operations in order', async () => {
    const [a, b] = [device.allocate(64), device.allocate(64)];
    for (let round = 0; round < 200; round++) {
      device.stream.launch(arange(a, round));
      b.copyFrom(a);
      a.fill(new Uint8Array([255]));
      b.write(new Uint8Array([round]), { byteOffset: 60 });
      const got = await words(b);
      expect(got.slice(0, 15)).toEqual(Array.from({ length: 15 }, (_, i) => round + i));
    }
    a.dispose();
    b.dispose();
  });

  it('runs beside JavaScript', async () => {
    const large = device.allocate(1 << 26);
    keepBusy(device.stream, large);
    const atOnce = device.stream.pending();
    let done = false;
    const finished = device.stream.synchronize().then(() => {
      done = true;
    });
    let turns = 0;
    while (!done) {
      turns++;
      await new Promise((resolve) => setImmediate(resolve));
    }
    await finished;
    expect(atOnce).toBeGreaterThan(20);
    expect(turns).toBeGreaterThan(10);
    expect(device.stream.pending()).toBe(0);
    large.dispose();
  });

  it('shares the threads with other streams without deadlock', async () => {
    const streams = Array.from({ length: 6 }, (_, i) => device.createStream(`s${i}`));
    const buffers = streams.map(() => device.allocate(4 * 40_000));
    for (let round = 0; round < 50; round++) {
      for (const [i, stream] of streams.entries()) stream.launch(arange(buffers[i], round * 10 + i));
    }
    const results = await Promise.all(streams.map((stream, i) => words(buffers[i], stream)));
    for (const [i, result] of results.entries()) {
      expect(result[0]).toBe(490 + i);
      expect(result[39_999]).toBe(490 + i + 39_999);
    }
    for (const stream of streams) stream.dispose();
    for (const buffer of buffers) buffer.dispose();
  });

  it('waits for events of other streams', async () => {
    const [producer, consumer] = [device.createStream('producer'), device.createStream('consumer')];
    const large = device.allocate(1 << 26);
    const [a, b] = [device.allocate(16), device.allocate(16)];
    for (let round = 1; round <= 10; round++) {
      keepBusy(producer, large, 2);
      producer.launch(arange(a, round));
      consumer.wait(producer.record());
      b.copyFrom(a, { stream: consumer });
      producer.wait(consumer.record());
      expect(await words(b, consumer)).toEqual([round, round + 1, round + 2, round + 3]);
    }
    producer.dispose();
    consumer.dispose();
    for (const buffer of [large, a, b]) buffer.dispose();
  });

  it('keeps waiting for the record that was the latest when wait() was called', async () => {
    const [producer, consumer] = [device.createStream(), device.createStream()];
    const large = device.allocate(1 << 26);
    const [a, b] = [device.allocate(16), device.allocate(16)];
    producer.launch(arange(a, 7));
    const event = producer.record();
    consumer.wait(event);
    b.copyFrom(a, { stream: consumer });
    keepBusy(producer, large);
    producer.record(event);
    expect(await words(b, consumer)).toEqual([7, 8, 9, 10]);
    expect(producer.pending()).toBeGreaterThan(0);
    await device.synchronize();
    expect(producer.pending()).toBe(0);
    producer.dispose();
    consumer.dispose();
    for (const buffer of [large, a, b]) buffer.dispose();
  });

  it('takes parameters as they are when launch() is called', async () => {
    const large = device.allocate(1 << 26);
    const buffer = device.allocate(16);
    keepBusy(device.stream, large, 4);
    const launch = arange(buffer, 5);
    device.stream.launch(launch);
    launch.params.params.fill(0);
    expect(await words(buffer)).toEqual([5, 6, 7, 8]);
    large.dispose();
    buffer.dispose();
  });

  it('finishes what is enqueued when it is disposed', async () => {
    const stream = device.createStream('short-lived');
    const large = device.allocate(1 << 26);
    const buffer = device.allocate(16);
    keepBusy(stream, large, 4);
    stream.launch(arange(buffer, 3));
    const event = stream.record();
    stream.dispose();
    stream.dispose();
    await event.synchronize();
    expect(await words(buffer)).toEqual([3, 4, 5, 6]);
    expect(() => stream.launch(noop())).toThrow("Got launch on stream 'short-lived' after its dispose()");
    expect(() => device.stream.dispose()).toThrow('default stream');
    large.dispose();
    buffer.dispose();
  });

  it('refuses launches that it cannot check', async () => {
    const buffer = device.allocate(16, { label: 'listed' });
    const unlisted: Launch = { ...arange(buffer, 0), buffers: [] };
    expect(() => device.stream.launch(unlisted)).toThrow(
      "Got a launch of 'tensor_arange' whose parameter at offset 0 points to a buffer that is not listed",
    );
    expect(() => device.stream.launch({ ...noop(), program: 'nope' })).toThrow(
      /Got a launch of program 'nope'; wanted one that the CPU device has: noop, /,
    );
    expect(() => device.stream.launch({ ...noop(), grid: [1, -1, 1] })).toThrow(
      expect.objectContaining({ code: 'NATIVE' }),
    );
    expect(() => device.stream.launch({ ...arange(buffer, 0), program: 'noop' })).toThrow("program 'noop'; wanted 0");
    buffer.dispose();
    expect(() => device.stream.launch({ ...noop(), buffers: [buffer] })).toThrow(
      "Got a launch of 'noop' of buffer 'listed' after its dispose()",
    );
    const other = await openDevice('cpu', { threads: 1 });
    const foreign = other.allocate(4);
    expect(() => device.stream.launch({ ...noop(), buffers: [foreign] })).toThrow(
      expect.objectContaining({ code: 'DEVICE_MISMATCH' }),
    );
    expect(device.stream.pending()).toBe(0);
    other.dispose();
  });

  it('sleeps when there is nothing to do', async () => {
    const buffer = device.allocate(4 << 20);
    device.stream.launch(arange(buffer, 0));
    await device.stream.synchronize();
    const before = process.cpuUsage();
    await new Promise((resolve) => setTimeout(resolve, 400));
    const { user, system } = process.cpuUsage(before);
    expect(user + system).toBeLessThan(200_000);
    buffer.dispose();
  });

  it('enqueues tens of thousands of operations', async () => {
    const launch = noop();
    for (let i = 0; i < 50_000; i++) device.stream.launch(launch);
    await device.stream.synchronize();
    expect(device.stream.pending()).toBe(0);
  });
});

describe('defaultDevice', () => {
  it('is one device, made on first use and again after it was disposed', () => {
    const first = defaultDevice();
    expect(defaultDevice()).toBe(first);
    first.dispose();
    expect(defaultDevice()).not.toBe(first);
    defaultDevice().dispose();
  });
});
