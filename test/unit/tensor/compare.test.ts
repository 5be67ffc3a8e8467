import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Device, openDevice } from '../../../src/device/device';
import { allClose, compareTensors, relativeError } from '../../../src/tensor/compare';
import { arange, fromHost, zeros } from '../../../src/tensor/create';
import { normal } from '../../../src/tensor/random';
import { leavesNoMemory } from './fresh-device';

let device: Device;
beforeAll(async () => {
  device = await openDevice('cpu', { threads: 3 });
});
afterAll(() => device.dispose());

describe('allClose', () => {
  it('follows |a − b| <= atol + rtol · |b|', async () => {
    const b = fromHost([1, 100], { device });
    expect(await allClose(fromHost([1.0625, 100], { device }), b, { rtol: 0, atol: 0.0625 })).toBe(true);
    expect(await allClose(fromHost([1.0625, 100], { device }), b, { rtol: 0, atol: 0.0624 })).toBe(false);
    expect(await allClose(fromHost([1, 106.25], { device }), b, { rtol: 0.0625, atol: 0 })).toBe(true);
    // The tolerance is relative to the second operand.
    expect(await allClose(b, fromHost([1, 94.0], { device }), { rtol: 0.0625, atol: 0 })).toBe(false);
    expect(await allClose(b, b)).toBe(true);
    expect(await allClose(fromHost([1 + 1e-4, 100], { device }), b)).toBe(false);
  });

  it('matches equal infinities and no NaN', async () => {
    const a = fromHost([Infinity, -Infinity, 1], { device });
    expect(await allClose(a, a)).toBe(true);
    expect(await allClose(a, fromHost([Infinity, Infinity, 1], { device }))).toBe(false);
    expect(await allClose(a, fromHost([1e30, -Infinity, 1], { device }), { rtol: 1e9 })).toBe(false);
    const nan = fromHost([NaN], { device });
    expect(await allClose(nan, nan)).toBe(false);
  });

  it('tells large integers apart', async () => {
    const a = fromHost([2n ** 62n, -(2n ** 63n)], { device });
    expect(await allClose(a, fromHost([2n ** 62n + 1n, -(2n ** 63n)], { device }), { rtol: 0, atol: 0 })).toBe(false);
    expect(await allClose(a, fromHost([2n ** 62n, -(2n ** 63n)], { device }), { rtol: 0, atol: 0 })).toBe(true);
    expect(
      (await compareTensors(fromHost([2n ** 63n - 1n], { device }), fromHost([-(2n ** 63n)], { device }))).maxAbsError,
    ).toBe(2 ** 64);
  });

  it('compares views and other dtypes', async () => {
    const a = arange(12, { device }).reshape(3, 4);
    const b = fromHost(
      [
        [0, 4, 8],
        [1, 5, 9],
        [2, 6, 10],
        [3, 7, 11],
      ],
      { dtype: 'float8_e4m3fn', device },
    );
    expect(await allClose(a.transpose(0, 1), b)).toBe(true);
    expect(await allClose(a.slice(1, 1, 3), a.slice(1, 2, 4))).toBe(false);
  });

  it('is true of nothing', async () => {
    expect(await allClose(zeros([0, 3], { device }), zeros([0, 3], { device }))).toBe(true);
  });
});

describe('relativeError', () => {
  it('is the ratio of norms', async () => {
    expect(await relativeError(fromHost([3, 5], { device }), fromHost([3, 4], { device }))).toBe(0.2);
    expect(await relativeError(zeros([4], { device }), zeros([4], { device }))).toBe(0);
    expect(await relativeError(fromHost([1], { device }), zeros([1], { device }))).toBe(Infinity);
    expect(await relativeError(fromHost([NaN, 1], { device }), fromHost([NaN, 1], { device }))).toBeNaN();
    expect(await relativeError(fromHost([-Infinity, 1], { device }), fromHost([-Infinity, 1], { device }))).toBe(0);
    expect(await relativeError(fromHost([-Infinity, 1], { device }), fromHost([0, 1], { device }))).toBe(Infinity);
  });

  it('sums in float64', async () => {
    // In float32 the sum of squares would stop growing at 2^24.
    const count = 2 ** 24 + 2 ** 12;
    const ones = zeros([count], { dtype: 'float8_e5m2', device });
    ones.fill(1);
    const twos = zeros([count], { dtype: 'float8_e5m2', device });
    twos.fill(2);
    const { relativeError: error, maxAbsError, numMismatches } = await compareTensors(twos, ones);
    expect([error, maxAbsError, numMismatches]).toEqual([1, 1, count]);
    ones.dispose();
    twos.dispose();
  });

  it('is near what float64 on the host gives, whatever the number of threads', async () => {
    const run = async (threads: number): Promise<number> => {
      const other = await openDevice('cpu', { threads });
      try {
        const b = normal([50_001], { seed: 1, device: other });
        const a = b.to('bfloat16');
        const [x, y] = [await a.data(), await b.data()];
        const norm = (f: (i: number) => number): number => Math.sqrt(y.reduce((sum, _, i) => sum + f(i) ** 2, 0));
        const error = await relativeError(a, b);
        const expected = norm((i) => x[i] - y[i]) / norm((i) => y[i]);
        expect(Math.abs(error / expected - 1)).toBeLessThan(1e-12);
        return error;
      } finally {
        other.dispose();
      }
    };
    expect(await run(1)).toBe(await run(5));
  });

  it('compares what a stream has made of its tensors', async () => {
    const stream = device.createStream('side');
    const large = zeros([1 << 22], { device });
    const [a, b] = [zeros([1000], { device }), zeros([1000], { device })];
    await device.synchronize();
    for (let i = 0; i < 20; i++) large.fill(i, { stream });
    a.fill(3, { stream });
    b.fill(4, { stream });
    expect(await relativeError(a, b, { stream })).toBe(0.25);
    expect(await allClose(a, b, { atol: 1, stream })).toBe(true);
    stream.dispose();
  });

  it('refuses other shapes and other devices, and leaves no memory behind', async () => {
    const a = zeros([2, 3], { device });
    await expect(relativeError(a, zeros([3, 2], { device }))).rejects.toEqual(
      expect.objectContaining({
        code: 'SHAPE_MISMATCH',
        message: 'Got tensors of shapes [2, 3] and [3, 2] to compare; wanted equal shapes.',
      }),
    );
    const other = await openDevice('cpu', { threads: 1 });
    await expect(relativeError(a, zeros([2, 3], { device: other }))).rejects.toEqual(
      expect.objectContaining({ code: 'DEVICE_MISMATCH' }),
    );
    other.dispose();
    await leavesNoMemory(async (fresh) => {
      const tensor = zeros([2, 3], { device: fresh });
      await relativeError(tensor, tensor);
      tensor.dispose();
    });
  });
});
