import { afterEach, describe, expect, it, vi } from 'vitest';
import { type Device, openDevice } from '../../../src/device/device';
import { arange, failing, noop, words } from '../../support/device-programs';

describe('memory', () => {
  afterEach(() => vi.unstubAllEnvs());

  it('reports limit, use, peak and owners', async () => {
    const device = await openDevice('cpu', { threads: 1, memoryLimitBytes: 1000 });
    const [a, b] = [device.allocate(300, { label: 'cache' }), device.allocate(200, { label: 'cache' })];
    const c = device.allocate(100);
    b.dispose();
    expect(device.memory()).toEqual({
      limitBytes: 1000,
      usedBytes: 400,
      peakBytes: 600,
      liveBuffers: 2,
      collectedBuffers: 0,
      owners: [
        { label: 'cache', bytes: 300, buffers: 1 },
        { label: 'unlabelled', bytes: 100, buffers: 1 },
      ],
    });
    a.dispose();
    c.dispose();
    expect(device.memory()).toMatchObject({ usedBytes: 0, owners: [] });
    device.dispose();
    expect(device.leaks).toEqual([]);
  });

  it('throws OUT_OF_MEMORY naming asked, free, limit and the largest owners', async () => {
    const device = await openDevice('cpu', { threads: 1, memoryLimitBytes: 4096, name: 'small' });
    const cache = device.allocate(3072, { label: 'kv cache' });
    expect(() => device.allocate(2048, { label: 'output' })).toThrow(
      "Got an allocation of 2.00 KiB for 'output' on device 'small'; wanted at most 1.00 KiB, which is free of a limit of " +
        "4.00 KiB. Largest owners: 'kv cache' 3.00 KiB in 1. Dispose buffers, or open the device with a larger memoryLimitBytes.",
    );
    cache.dispose();
    expect(device.allocate(4096).byteLength).toBe(4096);
    device.dispose();
  });

  it('has four fifths of the host by default', async () => {
    const device = await openDevice('cpu', { threads: 1 });
    expect(device.memory().limitBytes).toBe(Math.floor(device.description.totalMemoryBytes * 0.8));
    device.dispose();
  });

  it('tells what was left over when the device is disposed, with sites on request', async () => {
    const device = await openDevice('cpu', { threads: 1 });
    device.allocate(10, { label: 'plain' });
    vi.stubEnv('WARPBOOK_TRACE_ALLOCATIONS', '1');
    device.allocate(20, { label: 'traced' });
    device.dispose();
    expect(device.leaks).toEqual([
      { label: 'plain', byteLength: 10 },
      { label: 'traced', byteLength: 20, site: expect.stringMatching(/^at .*device\.test\.ts/) },
    ]);
  });

  it('comes back to the bytes it began with after 10,000 rounds', async () => {
    const device = await openDevice('cpu', { threads: 1 });
    const before = device.memory().usedBytes;
    for (let round = 0; round < 10_000; round++) {
      const buffer = device.allocate(64 + (round % 7) * 4096);
      device.stream.launch(arange(buffer, round, 1, 16));
      buffer.dispose();
      if (round % 1000 === 999) await device.stream.synchronize();
    }
    expect(device.memory().usedBytes).toBe(before);
    expect(device.memory().liveBuffers).toBe(0);
    device.dispose();
  });
});

describe('openDevice', () => {
  it('describes the device', async () => {
    const device = await openDevice('cpu', { threads: 3 });
    expect(device.name).toMatch(/^cpu(:\d+)?$/);
    expect(device.description).toMatchObject({ kind: 'cpu', numProcessors: 3 });
    expect(['avx512', 'avx2', 'portable']).toContain(device.description.instructionSet);
    const another = await openDevice('cpu', { threads: 1 });
    expect(another.name).not.toBe(device.name);
    another.dispose();
    device.dispose();
  });

  it('refuses options out of range', async () => {
    await expect(openDevice('cpu', { threads: 0 })).rejects.toThrow('threads is 0; wanted an integer from 1 to 1024.');
    await expect(openDevice('cpu', { memoryLimitBytes: -1 })).rejects.toThrow('memoryLimitBytes is -1');
    await expect(openDevice('tpu' as 'cpu')).rejects.toMatchObject({ code: 'UNSUPPORTED' });
  });

  it('throws DISPOSED after dispose(), which finishes pending work', async () => {
    const device = await openDevice('cpu', { threads: 1, name: 'gone' });
    const buffer = device.allocate(16);
    device.stream.launch(arange(buffer, 1));
    const read = words(buffer);
    device.dispose();
    device.dispose();
    expect(await read).toEqual([1, 2, 3, 4]);
    expect(() => device.allocate(1)).toThrow("Device 'gone' has been disposed; open another one.");
    expect(() => device.stream.launch(noop())).toThrow(expect.objectContaining({ code: 'DISPOSED' }));
    await expect(buffer.read()).rejects.toMatchObject({ code: 'DISPOSED' });
    buffer.dispose();
  });
});

describe('a failing program', () => {
  async function fail(): Promise<{ device: Device; lost: Promise<void> }> {
    const device = await openDevice('cpu', { threads: 2 });
    const buffer = device.allocate(16);
    device.stream.launch(noop());
    device.stream.launch(failing(buffer));
    return { device, lost: device.stream.synchronize() };
  }

  it('rejects the next wait with DEVICE_LOST naming the call that failed first', async () => {
    const { device, lost } = await fail();
    await expect(lost).rejects.toMatchObject({
      code: 'DEVICE_LOST',
      message: expect.stringMatching(
        /^The CPU device failed in launch of 'tensor_arange' with grid 1 x 1 x 1 on stream '1': unknown dtype code 99\./,
      ),
    });
    device.dispose();
  });

  it('makes later calls throw at once, and every other wait reject', async () => {
    const device = await openDevice('cpu', { threads: 2 });
    const other = device.createStream();
    const buffer = device.allocate(16);
    device.stream.launch(failing(buffer));
    const event = device.stream.record();
    other.wait(event);
    const waits = [device.stream.synchronize(), other.synchronize(), event.synchronize(), buffer.read()];
    for (const result of await Promise.allSettled(waits)) {
      expect(result).toMatchObject({ status: 'rejected', reason: { code: 'DEVICE_LOST' } });
    }
    for (const call of [() => device.allocate(1), () => device.stream.launch(noop()), () => other.record()]) {
      expect(call).toThrow(expect.objectContaining({ code: 'DEVICE_LOST' }));
    }
    expect(other.disposed).toBe(false);
    buffer.dispose();
    device.dispose();
  });

  it('leaves other devices alone', async () => {
    const { device, lost } = await fail();
    await expect(lost).rejects.toThrow();
    const next = await openDevice('cpu', { threads: 1 });
    await next.stream.synchronize();
    next.dispose();
    device.dispose();
  });
});
