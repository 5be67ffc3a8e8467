import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import { Buffer as DeviceBuffer } from '../../../src/device/buffer';
import { type Device, openDevice } from '../../../src/device/device';
import { arange, fromHost, zeros } from '../../../src/tensor/create';
import type { DType } from '../../../src/tensor/dtype';
import { Tensor } from '../../../src/tensor/tensor';
import { leavesNoMemory } from './fresh-device';

interface Case {
  dtype: DType;
  shape: number[];
  text: string;
}

/** What NumPy 2.4.6 printed. */
const CASES = JSON.parse(readFileSync(join(__dirname, '../../fixtures/tensor/numpy-text.json'), 'utf8')) as {
  small: (Case & { bytes: string })[];
  large: Case[];
};

let device: Device;
beforeAll(async () => {
  device = await openDevice('cpu', { threads: 2 });
});
afterAll(() => device.dispose());
afterEach(() => {
  vi.restoreAllMocks();
});

function tensorOfBytes({ dtype, shape, bytes }: Case & { bytes: string }): Tensor {
  const tensor = Tensor.allocate(device, { dtype, shape }, 'case');
  tensor.buffer.write(Buffer.from(bytes, 'base64'));
  return tensor;
}

/** The element rule of the large fixtures; see make_fixtures.py. */
function largeTensor({ dtype, shape }: Case): Tensor {
  const count = shape.reduce((product, size) => product * size, 1);
  const values = Array.from({ length: count }, (_, i) => (((i * 7919) % 1009) - 500) / 64);
  if (dtype === 'bool')
    return fromHost(
      values.map((x) => x > 0),
      { device, shape },
    );
  if (dtype === 'uint8')
    return fromHost(
      values.map((x) => Math.trunc(Math.abs(x))),
      { dtype, device, shape },
    );
  if (dtype === 'int32' || dtype === 'int64') return fromHost(values.map(Math.trunc), { dtype, device, shape });
  return fromHost(values, { dtype, device, shape });
}

function countBytesRead(): { count: number } {
  const read = { count: 0 };
  const original = DeviceBuffer.prototype.read;
  vi.spyOn(DeviceBuffer.prototype, 'read').mockImplementation(async function (this: DeviceBuffer, options) {
    const bytes = await original.call(this, options);
    read.count += bytes.byteLength;
    return bytes;
  });
  return read;
}

describe('print', () => {
  it.each(CASES.small.map((c, i) => [i, c.dtype, c.shape, c] as const))(
    "NumPy's text, small %d: %s [%s]",
    async (_i, _dtype, _shape, c) => {
      expect(await tensorOfBytes(c).print()).toBe(c.text);
    },
  );

  it.each(CASES.large.map((c) => [c.dtype, c.shape, c] as const))(
    "NumPy's text, large: %s [%s]",
    async (_dtype, _shape, c) => {
      expect(await largeTensor(c).print()).toBe(c.text);
    },
  );

  it('fetches the visible corners and nothing else', async () => {
    const large = arange(1_000_000, { device }).reshape(100, 100, 100);
    const read = countBytesRead();
    const text = await large.print();
    expect(read.count).toBe(6 * 6 * 6 * 4);
    expect(text.split('\n')[0]).toBe('[[[     0      1      2 ...     97     98     99]');
    expect(text.split('\n').at(-1)).toBe('  [999900 999901 999902 ... 999997 999998 999999]]]');
  });

  it('fetches whole short dimensions of a large tensor', async () => {
    const read = countBytesRead();
    await zeros([5, 2000, 4], { dtype: 'float16', device }).print();
    expect(read.count).toBe(5 * 6 * 4 * 2);
  });

  it('shows views as they are', async () => {
    const view = arange(2000, { device }).reshape(40, 50).transpose(0, 1).slice(0, 1, 3);
    expect(await view.print({ threshold: 10, edgeItems: 1 })).toBe('[[   1 ... 1951]\n [   2 ... 1952]]');
  });

  it('leaves no memory behind', async () => {
    await leavesNoMemory(async (fresh) => {
      const tensor = zeros([3000], { device: fresh });
      await tensor.print();
      tensor.dispose();
    });
  });

  it('shows the dtypes that NumPy does not have as float32 numbers', async () => {
    expect(await fromHost([0.1, 2, 44], { dtype: 'float8_e4m3fn', device }).print()).toBe(
      '[ 0.1015625  2.        44.       ]',
    );
    expect(await fromHost([448, -416], { dtype: 'float8_e4m3fn', device }).print()).toBe('[ 448. -416.]');
    expect(await fromHost([0.1, -1.5, 30], { dtype: 'bfloat16', device }).print()).toBe(
      '[ 0.10009766 -1.5        30.        ]',
    );
    expect(await fromHost(0.1, { dtype: 'bfloat16', device }).print()).toBe('0.100097656');
    expect(await fromHost([Infinity, NaN], { dtype: 'float8_e5m2', device }).print()).toBe('[inf nan]');
  });

  it("takes NumPy's options", async () => {
    const tensor = fromHost([1 / 3, 2 / 3, 10], { device });
    expect(await tensor.print({ precision: 3 })).toBe('[ 0.333  0.667 10.   ]');
    expect(await arange(30, { device }).print({ lineWidth: 20 })).toBe(
      '[ 0  1  2  3  4  5\n  6  7  8  9 10 11\n 12 13 14 15 16 17\n 18 19 20 21 22 23\n 24 25 26 27 28 29]',
    );
    await expect(tensor.print({ edgeItems: 0 })).rejects.toThrow('edgeItems is 0; wanted an integer of at least 1.');
  });
});

describe('toString', () => {
  it('names dtype, shape, owner and device without fetching', () => {
    const tensor = zeros([2, 3], { dtype: 'float16', device, label: 'queries' });
    expect(String(tensor)).toBe("Tensor float16 [2, 3] 'queries' on cpu");
    tensor.dispose();
    expect(String(tensor)).toBe("Tensor float16 [2, 3] 'queries' on cpu (disposed)");
  });
});
