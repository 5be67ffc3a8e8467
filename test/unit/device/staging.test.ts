import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { type Device, openDevice } from '../../../src/device/device';
import { StagingRing } from '../../../src/device/staging';
import { keepBusy } from '../../support/device-programs';

describe('StagingRing', () => {
  let device: Device;
  beforeAll(async () => {
    device = await openDevice('cpu', { threads: 2 });
  });
  afterAll(() => device.dispose());

  it('carries bytes to a buffer, slot after slot', async () => {
    const ring = new StagingRing(device, 10, 2);
    const buffer = device.allocate(16);
    buffer.fill(new Uint8Array([0]));
    for (let round = 0; round < 20; round++) {
      await ring.ready();
      const slot = ring.acquire();
      expect(slot.bytes).toHaveLength(10);
      slot.bytes.fill(round + 1);
      ring.submit(slot, 4, device.stream, buffer, 8);
      expect([...(await buffer.read())]).toEqual([0, 0, 0, 0, 0, 0, 0, 0, ...Array(4).fill(round + 1), 0, 0, 0, 0]);
    }
    ring.dispose();
    buffer.dispose();
  });

  it('throws PLAN_QUEUE_FULL while every slot is being read, until ready()', async () => {
    const ring = new StagingRing(device, 64, 3);
    const large = device.allocate(1 << 26);
    const buffer = device.allocate(64);
    keepBusy(device.stream, large, 10);
    for (let i = 0; i < 3; i++) ring.submit(ring.acquire(), 64, device.stream, buffer);
    keepBusy(device.stream, large, 40);
    expect(() => ring.acquire()).toThrow(
      expect.objectContaining({
        code: 'PLAN_QUEUE_FULL',
        message:
          'Got a plan while all 3 staging slots are still being read; wanted a free one. Await ready() first (of the plan or its wrapper), then plan again.',
      }),
    );
    await ring.ready();
    expect(device.stream.pending()).toBeGreaterThan(0);
    ring.release(ring.acquire());
    ring.dispose();
    large.dispose();
    buffer.dispose();
  });

  it('hands out the slot used last once its copy is known to have finished, and others while it has not', async () => {
    const ring = new StagingRing(device, 64, 4);
    const large = device.allocate(1 << 26);
    const buffer = device.allocate(64);
    const use = (): number => {
      const slot = ring.acquire();
      ring.submit(slot, 64, device.stream, buffer);
      return slot.index;
    };
    const first = use();
    await device.stream.synchronize();
    expect(use()).toBe(first);
    await device.stream.synchronize();
    keepBusy(device.stream, large, 10);
    expect(new Set([use(), use(), use(), use()]).size).toBe(4);
    expect(() => ring.acquire()).toThrow(expect.objectContaining({ code: 'PLAN_QUEUE_FULL' }));
    await device.stream.synchronize();
    ring.dispose();
    large.dispose();
    buffer.dispose();
  });

  it('records an event behind a copy only where fewer than half of the slots are known to be free', async () => {
    const ring = new StagingRing(device, 64, 8);
    const buffer = device.allocate(64);
    await device.synchronize();
    const record = vi.spyOn(device.state.backend, 'recordEvent');
    const recorded: number[] = [];
    for (let i = 0; i < 8; i++) {
      ring.submit(ring.acquire(), 64, device.stream, buffer);
      recorded.push(record.mock.calls.length);
    }
    expect(recorded).toEqual([0, 0, 0, 0, 1, 2, 3, 4]);
    record.mockRestore();
    await ring.ready();
    ring.release(ring.acquire());
    ring.dispose();
    buffer.dispose();
  });

  it('knows what a wait for the device or a read has told, and asks no more', async () => {
    const ring = new StagingRing(device, 64, 2);
    const buffer = device.allocate(64);
    const asked = vi.spyOn(device.state.backend, 'completed');
    for (const wait of [() => device.synchronize(), () => device.stream.synchronize(), () => buffer.read()]) {
      for (let i = 0; i < 2; i++) ring.submit(ring.acquire(), 64, device.stream, buffer);
      await wait();
    }
    ring.release(ring.acquire());
    expect(asked).not.toHaveBeenCalled();
    asked.mockRestore();
    ring.dispose();
    buffer.dispose();
  });

  it('waits for a copy without an event where the other slots were acquired since', async () => {
    const ring = new StagingRing(device, 64, 4);
    const buffer = device.allocate(64);
    const large = device.allocate(1 << 26);
    await device.synchronize();
    keepBusy(device.stream, large, 10);
    ring.submit(ring.acquire(), 64, device.stream, buffer);
    const others = [ring.acquire(), ring.acquire(), ring.acquire()];
    expect(ring.tryAcquire()).toBeUndefined();
    await ring.ready();
    ring.release(ring.acquire());
    for (const slot of others) ring.release(slot);
    ring.dispose();
    large.dispose();
    buffer.dispose();
  });

  it('finds a slot free after its stream was disposed', async () => {
    const ring = new StagingRing(device, 64, 1);
    const stream = device.createStream();
    const buffer = device.allocate(64);
    ring.submit(ring.acquire(), 64, stream, buffer);
    stream.dispose();
    await ring.ready();
    ring.release(ring.acquire());
    ring.dispose();
    buffer.dispose();
  });

  it('refuses slots that are not acquired, sizes that do not fit, and waiting for nothing', async () => {
    const ring = new StagingRing(device, 64, 1);
    const buffer = device.allocate(32, { label: 'target' });
    const slot = ring.acquire();
    expect(() => ring.submit(slot, 65, device.stream, buffer)).toThrow(
      'usedBytes is 65; wanted an integer from 0 to 64.',
    );
    expect(() => ring.submit(slot, 64, device.stream, buffer)).toThrow('of buffer');
    await expect(ring.ready()).rejects.toThrow('all acquired and none submitted');
    ring.submit(slot, 32, device.stream, buffer);
    expect(() => ring.submit(slot, 32, device.stream, buffer)).toThrow(
      'Got staging.submit() of a slot that is not acquired',
    );
    ring.dispose();
    expect(() => ring.acquire()).toThrow(expect.objectContaining({ code: 'DISPOSED' }));
    buffer.dispose();
  });

  it('empties its slots when it is disposed, and still finishes the copies', async () => {
    const ring = new StagingRing(device, 64, 1);
    const large = device.allocate(1 << 26);
    const buffer = device.allocate(64);
    keepBusy(device.stream, large, 4);
    const slot = ring.acquire();
    slot.bytes.fill(5);
    ring.submit(slot, 64, device.stream, buffer);
    ring.dispose();
    ring.dispose();
    expect(slot.bytes).toHaveLength(0);
    expect((await buffer.read()).every((byte) => byte === 5)).toBe(true);
    large.dispose();
    buffer.dispose();
  });
});
