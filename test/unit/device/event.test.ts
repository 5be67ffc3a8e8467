import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Device, openDevice } from '../../../src/device/device';
import { keepBusy, noop } from '../../support/device-programs';

describe('Event', () => {
  let device: Device;
  beforeAll(async () => {
    device = await openDevice('cpu', { threads: 2 });
  });
  afterAll(() => device.dispose());

  it('measures the time between two records', async () => {
    const large = device.allocate(1 << 26);
    const begin = process.hrtime.bigint();
    const start = device.stream.record();
    keepBusy(device.stream, large, 10);
    const middle = device.stream.record();
    // Two records in a row, several times: a busy machine may stop the stream's thread between any two.
    const ends = Array.from({ length: 8 }, () => device.stream.record());
    const work = await middle.elapsedSinceNs(start);
    const pauses: number[] = [];
    for (let i = 1; i < ends.length; i++) pauses.push(await ends[i].elapsedSinceNs(ends[i - 1]));
    const nothing = Math.min(...pauses);
    const wall = Number(process.hrtime.bigint() - begin);
    expect(work).toBeGreaterThan(1e6);
    expect(work).toBeLessThan(wall);
    expect(nothing).toBeGreaterThanOrEqual(0);
    expect(nothing).toBeLessThan(work);
    expect(await start.elapsedSinceNs(middle)).toBe(-work);
    large.dispose();
  });

  it('resolves when its record is reached, before later work', async () => {
    const large = device.allocate(1 << 26);
    const event = device.createEvent();
    device.stream.launch(noop());
    expect(device.stream.record(event)).toBe(event);
    keepBusy(device.stream, large);
    await event.synchronize();
    expect(device.stream.pending()).toBeGreaterThan(0);
    large.dispose();
  });

  it('refuses questions to an event that was never recorded, and to a disposed one', async () => {
    const event = device.createEvent();
    await expect(event.synchronize()).rejects.toThrow('Got event.synchronize() of an event that was never recorded');
    await expect(event.elapsedSinceNs(device.stream.record())).rejects.toThrow('never recorded');
    event.dispose();
    event.dispose();
    expect(() => device.stream.record(event)).toThrow(expect.objectContaining({ code: 'DISPOSED' }));
  });

  it('is no wait when it was never recorded', async () => {
    device.stream.wait(device.createEvent());
    await device.stream.synchronize();
    expect(device.stream.pending()).toBe(0);
  });

  it('is measured against events of its own device only', async () => {
    const other = await openDevice('cpu', { threads: 1, name: 'other' });
    await expect(device.stream.record().elapsedSinceNs(other.stream.record())).rejects.toThrow(
      "between events of devices 'other' and 'cpu'",
    );
    other.dispose();
  });

  it('is refused by a stream of another device', async () => {
    const other = await openDevice('cpu', { threads: 1, name: 'other' });
    expect(() => other.stream.wait(device.stream.record())).toThrow(
      "Got wait for device 'cpu' on stream 'default' of device 'other'",
    );
    other.dispose();
  });
});
