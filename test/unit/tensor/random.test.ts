import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Device, openDevice } from '../../../src/device/device';
import { randomBits } from '../../../src/tensor/draw';
import { normal, uniform } from '../../../src/tensor/random';
import { NARROW_FLOATS } from './float-reference';
import { leavesNoMemory } from './fresh-device';
import { normalReference, philox, uniformReference } from './philox-reference';

let device: Device;
beforeAll(async () => {
  device = await openDevice('cpu', { threads: 2 });
});
afterAll(() => device.dispose());

/** Distance in units in the last place of float32 at `expected`. */
const ulps = (actual: number, expected: number): number =>
  Math.abs(actual - expected) / 2 ** (Math.max(Math.floor(Math.log2(Math.abs(expected))), -126) - 23);

describe('philox', () => {
  // The vectors of the authors' own distribution (Random123, kat_vectors), least significant word first.
  const vectors: [counter: bigint, key: bigint, words: number[]][] = [
    [0n, 0n, [0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8]],
    [2n ** 128n - 1n, 2n ** 64n - 1n, [0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd]],
    [0x0370734413198a2e85a308d3243f6a88n, 0x299f31d0a4093822n, [0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1]],
  ];

  it.each(vectors)('gives the published words of counter %d and key %d', async (counter, seed, expected) => {
    const drawn = await randomBits([4], { seed, counter, device }).data();
    expect([...new Uint32Array(drawn.buffer, drawn.byteOffset, 4)]).toEqual(expected);
    expect(philox(counter, seed)).toEqual(expected);
  });

  it('carries from the low to the high half of the counter', async () => {
    const counter = 2n ** 64n - 2n;
    const drawn = await randomBits([16], { seed: 5n, counter, device }).data();
    const expected = [0n, 1n, 2n, 3n].flatMap((i) => philox(counter + i, 5n));
    expect([...new Uint32Array(drawn.buffer, drawn.byteOffset, 16)]).toEqual(expected);
  });
});

describe('uniform', () => {
  it.each([
    [0n, 0, 1, 1 - 2 ** -24],
    [2n ** 64n - 1n, -3, 5, Math.fround(5 - 2 ** -21)],
    [123456789n, 1, 2, 2 - 2 ** -23],
    [7n, -1, 0, -(2 ** -149)],
  ])("has the reference's bits for seed %d in [%d, %d)", async (seed, low, high, below) => {
    const drawn = await uniform([4099], { seed, low, high, device }).data();
    expect(drawn).toEqual(uniformReference(4099, seed, low, high, below));
    expect(Math.min(...drawn)).toBeGreaterThanOrEqual(low);
    expect(Math.max(...drawn)).toBeLessThan(high);
  });

  it('does not reach the open end where rounding would', async () => {
    // From 2^24 on, the unit in the last place is 2: all above the middle would round up to high.
    const drawn = await uniform([1000], { seed: 1, low: 2 ** 24, high: 2 ** 24 + 2, device }).data();
    expect(new Set(drawn)).toEqual(new Set([2 ** 24]));
  });

  it('is constant where low is high', async () => {
    expect(await uniform([3], { seed: 1, low: 0.5, high: 0.5, device }).array()).toEqual([0.5, 0.5, 0.5]);
  });
});

describe('normal', () => {
  it('is within 2 ulp of the formula in float64', async () => {
    const drawn = await normal([50_001], { seed: 42, device }).data();
    const expected = normalReference(50_001, 42n);
    const worst = drawn.reduce((most, z, i) => Math.max(most, ulps(z, expected[i])), 0);
    // One rounding, so half a unit; the rest is what Math.log, Math.sin and Math.cos may be off.
    expect(worst).toBeLessThanOrEqual(0.501);
  });

  it('scales and shifts in float32', async () => {
    const z = await normal([1000], { seed: 3, device }).data();
    const expected = z.map((x) => Math.fround(0.1) + Math.fround(Math.fround(2.5) * x));
    expect(await normal([1000], { seed: 3, mean: 0.1, std: 2.5, device }).data()).toEqual(expected);
  });

  it('has the moments of a normal distribution', async () => {
    const z = await normal([400, 500], { seed: 9, device }).data();
    const moment = (power: number): number => z.reduce((sum, x) => sum + x ** power, 0) / z.length;
    expect(Math.abs(moment(1))).toBeLessThan(0.01);
    expect(Math.abs(moment(2) - 1)).toBeLessThan(0.02);
    expect(Math.abs(moment(3))).toBeLessThan(0.04);
    expect(Math.abs(moment(4) - 3)).toBeLessThan(0.1);
    expect(z.every((x) => Math.abs(x) < 6)).toBe(true);
  });
});

describe('a draw', () => {
  it('does not depend on the number of threads', async () => {
    const draw = async (threads: number): Promise<Float32Array[]> => {
      const other = await openDevice('cpu', { threads });
      try {
        const options = { seed: 11n, device: other };
        return [await uniform([13, 4097], options).data(), await normal([13, 4097], options).data()];
      } finally {
        other.dispose();
      }
    };
    const one = await draw(1);
    expect(await draw(2)).toEqual(one);
    expect(await draw(7)).toEqual(one);
  });

  it('begins as a longer one does, and has the same elements in any shape', async () => {
    const long = await normal([10, 1000], { seed: 4, device }).data();
    expect(await normal([7], { seed: 4, device }).data()).toEqual(long.slice(0, 7));
    expect(await normal([1000, 2, 5], { seed: 4, device }).data()).toEqual(long);
  });

  it.each(NARROW_FLOATS)('of %s is the float32 draw, rounded', async (dtype) => {
    for (const draw of [uniform, normal]) {
      const narrow = draw([1003], { seed: 8, dtype, device });
      const wide = draw([1003], { seed: 8, device });
      expect(await narrow.raw()).toEqual(await wide.to(dtype).raw());
    }
  });

  it('differs from seed to seed', async () => {
    const first = await uniform([8], { seed: 1, device }).data();
    expect(await uniform([8], { seed: 2, device }).data()).not.toEqual(first);
    expect(await uniform([8], { seed: 2n ** 32n + 1n, device }).data()).not.toEqual(first);
  });

  it('may be empty', async () => {
    expect(await uniform([0, 4], { seed: 1, device }).array()).toEqual([]);
  });
});

describe('bad arguments', () => {
  it.each([
    [
      (device: Device) => uniform([1], { seed: -1, device }),
      'seed is -1; wanted an integer from 0 to 2^53 − 1, or a bigint up to 2^64 − 1.',
    ],
    [(device: Device) => uniform([1], { seed: 0.5, device }), /^seed is 0.5;/],
    [(device: Device) => uniform([1], { seed: 2n ** 64n, device }), /^seed is 18446744073709551616;/],
    [
      (device: Device) => uniform([1], { seed: 1, low: 2, high: 1, device }),
      'low is 2 and high is 1; wanted low <= high.',
    ],
    [
      (device: Device) => uniform([1], { seed: 1, low: -3e38, high: 3e38, device }),
      /^high - low is Infinity; wanted a finite float32\./,
    ],
    [(device: Device) => normal([1], { seed: 1, std: -1, device }), 'std is -1; wanted at least 0.'],
    [(device: Device) => normal([1], { seed: 1, mean: NaN, device }), /^mean is NaN;/],
    [
      (device: Device) => normal([1], { seed: 1, dtype: 'int32' as 'float32', device }),
      'dtype is int32; wanted a float dtype for random draws.',
    ],
  ])('%#', async (call, message) => {
    await leavesNoMemory((fresh) =>
      expect(() => call(fresh)).toThrow(
        expect.objectContaining({
          code: 'INVALID_ARGUMENT',
          message: typeof message === 'string' ? message : expect.stringMatching(message),
        }),
      ),
    );
  });
});
