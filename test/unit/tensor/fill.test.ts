/** Fills and increments in place: of any view, and in graphs. */
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Device, openDevice } from '../../../src/device/device';
import { capture } from '../../../src/graph/capture';
import { arange, fromHost, zeros } from '../../../src/tensor/create';
import { DTYPES } from '../../../src/tensor/dtype';
import { Tensor } from '../../../src/tensor/tensor';

let device: Device;
beforeAll(async () => {
  device = await openDevice('cpu', { threads: 3 });
});
afterAll(() => device.dispose());

/** Sizes, and how many elements of each dimension are passed over. */
const viewArbitrary = fc.array(
  fc.record({ size: fc.integer({ min: 0, max: 70 }), gap: fc.integer({ min: 0, max: 2 }) }),
  {
    minLength: 1,
    maxLength: 3,
  },
);

describe('fill', () => {
  for (const dtype of DTYPES) {
    it(`reaches every element of a ${dtype} view and no other`, async () => {
      await fc.assert(
        fc.asyncProperty(viewArbitrary, async (dims) => {
          const whole = zeros(
            dims.map(({ size, gap }) => size + gap),
            { dtype, device },
          );
          let view: Tensor = whole;
          dims.forEach(({ size }, d) => {
            view = view.slice(d, 0, size);
          });
          const transposed = dims.length > 1 ? view.transpose(0, 1) : view;
          transposed.fill(1);
          expect(Array.from(await view.data(), Number)).toEqual(Array(view.numel).fill(1));
          const all = Array.from(await whole.data(), Number);
          expect(all.reduce((sum, x) => sum + x, 0)).toBe(view.numel);
          whole.dispose();
        }),
        { numRuns: 30 },
      );
    });
  }

  it('of a view with gaps may be captured', async () => {
    const matrix = zeros([3, 4], { device });
    const exec = capture(device, () => matrix.slice(1, 1, 3).fill(5)).instantiate();
    matrix.fill(2);
    exec.replay();
    expect(await matrix.array()).toEqual(Array(3).fill([2, 5, 5, 2]));
  });
});

describe('increment', () => {
  it('adds in place, on views and at each replay', async () => {
    const counts = arange(12, { device }).reshape(3, 4);
    counts.increment();
    counts.select(1, 2).increment(-10);
    const exec = capture(device, () => counts.slice(0, 1, 2).increment(100)).instantiate();
    for (let i = 0; i < 3; i++) exec.replay();
    expect(await counts.array()).toEqual([
      [1, 2, -7, 4],
      [305, 306, 297, 308],
      [9, 10, 1, 12],
    ]);
  });

  it('takes all of int64, and wraps around', async () => {
    const [top32, top64] = [2 ** 31 - 1, 2n ** 63n - 1n];
    const ints = fromHost(Int32Array.of(0, top32), { device });
    ints.increment(top32);
    expect(await ints.array()).toEqual([top32, -2]);
    const longs = fromHost(BigInt64Array.of(1n - 2n ** 63n, 5n), { device });
    longs.increment(top64);
    longs.increment(-(2n ** 40n));
    expect(await longs.array()).toEqual([-(2n ** 40n), 2n ** 63n + 4n - 2n ** 40n]);
    const none = zeros([0], { dtype: 'int32', device });
    none.increment();
  });

  it('refuses other dtypes, other numbers, and elements that share memory', () => {
    expect(() => zeros([2], { device, label: 'lengths' }).increment()).toThrow(
      expect.objectContaining({
        code: 'DTYPE_MISMATCH',
        message: "Got increment of float32 tensor 'lengths'; wanted int32 or int64.",
      }),
    );
    const ints = zeros([2], { dtype: 'int32', device });
    for (const by of [0.5, 2 ** 31, 2n ** 40n]) {
      expect(() => ints.increment(by)).toThrow(expect.objectContaining({ code: 'INVALID_ARGUMENT' }));
    }
    const same = Tensor.over(ints.buffer, { dtype: 'int32', shape: [3], strides: [0] });
    expect(() => same.increment()).toThrow('elements share memory');
  });
});
