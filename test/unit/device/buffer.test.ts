import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { CpuBackend } from '../../../src/device/cpu';
import { type Device, openDevice } from '../../../src/device/device';
import { keepBusy } from '../../support/device-programs';

describe('Buffer', () => {
  let device: Device;
  beforeAll(async () => {
    device = await openDevice('cpu', { threads: 2 });
  });
  afterAll(() => device.dispose());

  it('reads what was written, at offsets', async () => {
    const buffer = device.allocate(8, { label: 'bytes' });
    buffer.write(new Uint8Array([1, 2, 3, 4, 5, 6, 7, 8]));
    buffer.write(new Uint8Array([20, 30]), { byteOffset: 1 });
    expect([...(await buffer.read())]).toEqual([1, 20, 30, 4, 5, 6, 7, 8]);
    expect([...(await buffer.read({ byteOffset: 6 }))]).toEqual([7, 8]);
    expect([...(await buffer.read({ byteOffset: 2, byteLength: 0 }))]).toEqual([]);
    buffer.dispose();
  });

  it('takes the bytes of a write at once', async () => {
    const large = device.allocate(1 << 26);
    const buffer = device.allocate(4);
    keepBusy(device.stream, large, 4);
    const bytes = new Uint8Array([1, 2, 3, 4]);
    buffer.write(bytes);
    bytes.fill(9);
    expect([...(await buffer.read())]).toEqual([1, 2, 3, 4]);
    large.dispose();
    buffer.dispose();
  });

  it('reads large contents', async () => {
    const numBytes = (1 << 20) + 3;
    const buffer = device.allocate(numBytes);
    const bytes = Uint8Array.from({ length: numBytes }, (_, i) => i * 7);
    buffer.write(bytes);
    expect(Buffer.compare(await buffer.read(), bytes)).toBe(0);
    buffer.dispose();
  });

  it.each([1, 2, 4, 8])('fills with patterns of %i bytes, across the parts that threads take', async (patternBytes) => {
    const numBytes = (3 << 20) + 8 * 5;
    const buffer = device.allocate(numBytes + 16);
    const pattern = Uint8Array.from({ length: patternBytes }, (_, i) => i + 1);
    buffer.fill(new Uint8Array([255]));
    buffer.fill(pattern, { byteOffset: 8, byteLength: numBytes });
    const wanted = new Uint8Array(numBytes + 16).fill(255);
    for (let i = 0; i < numBytes; i++) wanted[8 + i] = pattern[i % patternBytes];
    expect(Buffer.compare(await buffer.read(), wanted)).toBe(0);
    buffer.dispose();
  });

  it('copies between buffers and within one, overlapping', async () => {
    const source = device.allocate(8);
    const target = device.allocate(8);
    source.write(new Uint8Array([1, 2, 3, 4, 5, 6, 7, 8]));
    target.fill(new Uint8Array([0]));
    target.copyFrom(source, { byteOffset: 2, sourceOffset: 4, byteLength: 3 });
    expect([...(await target.read())]).toEqual([0, 0, 5, 6, 7, 0, 0, 0]);
    source.copyFrom(source, { byteOffset: 2, byteLength: 6 });
    expect([...(await source.read())]).toEqual([1, 2, 1, 2, 3, 4, 5, 6]);
    source.dispose();
    target.dispose();
  });

  it('may be empty', async () => {
    const buffer = device.allocate(0);
    buffer.write(new Uint8Array(0));
    buffer.fill(new Uint8Array([1]));
    expect(buffer.address()).toEqual({ handle: buffer.handle, byteOffset: 0 });
    expect(await buffer.read()).toHaveLength(0);
    buffer.dispose();
  });

  it('frees behind the work that uses it', async () => {
    const large = device.allocate(1 << 26);
    const other = device.createStream('other');
    const target = device.allocate(1 << 20);
    keepBusy(other, large, 8);
    large.fill(new Uint8Array([42]), { stream: other });
    target.copyFrom(large, { byteLength: 1 << 20, stream: other });
    const read = target.read({ stream: other });
    large.dispose();
    target.dispose();
    expect((await read).every((byte) => byte === 42)).toBe(true);
    other.dispose();
  });

  it('refuses ranges outside, naming range and size', () => {
    const buffer = device.allocate(16, { label: 'small' });
    const message = "Got write of bytes [12, 20) of buffer 'small'; wanted a range within its 16 bytes.";
    expect(() => buffer.write(new Uint8Array(8), { byteOffset: 12 })).toThrow(message);
    expect(() => buffer.address(17)).toThrow('[17, 17)');
    expect(buffer.address(16).byteOffset).toBe(16);
    expect(() => buffer.write(new Uint8Array(1), { byteOffset: -1 })).toThrow(
      'byteOffset is -1; wanted an integer of at',
    );
    expect(() => buffer.fill(new Uint8Array(3))).toThrow('a pattern of 3 bytes; wanted a pattern of 1, 2, 4 or 8');
    expect(() => buffer.fill(new Uint8Array(4), { byteLength: 6 })).toThrow('that divides the length');
    buffer.dispose();
  });

  it('rejects a read outside', async () => {
    const buffer = device.allocate(16);
    await expect(buffer.read({ byteLength: 17 })).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' });
    buffer.dispose();
  });

  it('throws DISPOSED naming the label after dispose(), which is idempotent', async () => {
    const buffer = device.allocate(16, { label: 'kv cache' });
    buffer.dispose();
    buffer.dispose();
    expect(buffer.disposed).toBe(true);
    const uses = [
      () => buffer.write(new Uint8Array(1)),
      () => buffer.fill(new Uint8Array(1)),
      () => buffer.copyFrom(buffer),
      () => buffer.address(),
    ];
    for (const use of uses) expect(use).toThrow(expect.objectContaining({ code: 'DISPOSED' }));
    await expect(buffer.read()).rejects.toThrow("Got read of buffer 'kv cache' after its dispose()");
  });

  it('refuses a buffer or a stream of another device', async () => {
    const other = await openDevice('cpu', { threads: 1, name: 'other' });
    const here = device.allocate(4);
    const there = other.allocate(4, { label: 'there' });
    expect(() => here.copyFrom(there)).toThrow("Got buffer 'there' of device 'other' in copyFrom on device 'cpu'");
    expect(() => here.write(new Uint8Array(4), { stream: other.stream })).toThrow(
      expect.objectContaining({ code: 'DEVICE_MISMATCH' }),
    );
    other.dispose();
    here.dispose();
  });

  it('leaves no buffer behind the seam', () => {
    const { backend } = device.state as unknown as { backend: CpuBackend };
    expect(backend.liveCounts()).toMatchObject({ buffers: 0, buffer_bytes: 0 });
  });
});
