import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Device, openDevice } from '../../../src/device/device';
import { fromHost } from '../../../src/tensor/create';
import { DTYPES, type DType, isFloat } from '../../../src/tensor/dtype';
import { bitsToFloat, floatToBits } from '../../../src/tensor/float-format';
import {
  CANONICAL_NAN,
  decodeByDefinition,
  encodeBySearch,
  interestingFloats,
  NARROW_FLOATS,
  type NarrowFloat,
  numCodes,
} from './float-reference';

/** Made with NumPy and ml_dtypes. */
const DIGESTS = JSON.parse(readFileSync(join(__dirname, '../../fixtures/tensor/casts.json'), 'utf8')) as Record<
  string,
  string
>;

const digest = (values: ArrayBufferView): string =>
  createHash('sha256')
    .update(values as Uint8Array)
    .digest('hex');
const wordsOf = (dtype: NarrowFloat, length: number): Codes =>
  numCodes(dtype) === 65536 ? new Uint16Array(length) : new Uint8Array(length);
const allCodes = (dtype: NarrowFloat): Codes => wordsOf(dtype, numCodes(dtype)).map((_, i) => i);

type Codes = Uint16Array | Uint8Array;

/** Index of the first code that differs, or −1; comparing half a million codes one by one with expect would take long. */
const firstDifference = (actual: Codes, expected: Codes): number =>
  actual.length === expected.length
    ? actual.findIndex((code, i) => code !== expected[i])
    : Math.min(actual.length, expected.length);

let device: Device;
beforeAll(async () => {
  device = await openDevice('cpu', { threads: 2 });
});
afterAll(() => device.dispose());

describe.each(NARROW_FLOATS)('%s', (dtype) => {
  const codes = allCodes(dtype);
  const floats = interestingFloats();
  const widened = Float32Array.from(codes, (bits) => decodeByDefinition(bits, dtype));
  const narrowed = wordsOf(dtype, floats.length).map((_, i) => encodeBySearch(floats[i], dtype));

  it('has the values that NumPy and ml_dtypes have', () => {
    expect(digest(widened)).toBe(DIGESTS[`${dtype} to float32`]);
    expect(digest(narrowed)).toBe(DIGESTS[`float32 to ${dtype}`]);
  });

  it('decodes every code on the host and on the device', async () => {
    expect(Float32Array.from(codes, (bits) => bitsToFloat(bits, dtype))).toEqual(widened);
    const tensor = fromHost(codes, { dtype, device });
    expect(await tensor.to('float32').data()).toEqual(widened);
    expect(await tensor.data()).toEqual(widened);
  });

  it('rounds to nearest even, keeps subnormals and handles overflow, on the host and on the device', async () => {
    const withoutNanSign = (bits: number, i: number): number =>
      Number.isNaN(floats[i]) ? bits % (numCodes(dtype) / 2) : bits;
    const onHost = wordsOf(dtype, floats.length).map((_, i) => withoutNanSign(floatToBits(floats[i], dtype), i));
    const onDevice = (await fromHost(floats, { device }).to(dtype).raw()) as Codes;
    expect(firstDifference(onHost, narrowed)).toBe(-1);
    expect(firstDifference(onDevice.map(withoutNanSign), narrowed)).toBe(-1);
  });

  it('survives the way to float32 and back', async () => {
    const back = (await fromHost(codes, { dtype, device }).to('float32').to(dtype).raw()) as Codes;
    const half = numCodes(dtype) / 2;
    const expected = codes.map((bits, i) =>
      Number.isNaN(widened[i]) ? CANONICAL_NAN[dtype] + (bits >= half ? half : 0) : bits,
    );
    expect(firstDifference(back, expected)).toBe(-1);
  });

  it('keeps the bits of NaNs where nothing is converted', async () => {
    const strided = fromHost(codes, { dtype, device, shape: [2, numCodes(dtype) / 2] })
      .transpose(0, 1)
      .contiguous()
      .transpose(0, 1);
    expect(firstDifference((await strided.raw()) as Codes, codes)).toBe(-1);
  });
});

describe('overflow', () => {
  it('becomes infinity, and the largest value in float8_e4m3fn, which has no infinity', async () => {
    const values = fromHost([1e30, -1e30, Infinity, -Infinity, NaN], { device });
    expect(await values.to('float16').array()).toEqual([Infinity, -Infinity, Infinity, -Infinity, NaN]);
    expect(await values.to('float8_e5m2').array()).toEqual([Infinity, -Infinity, Infinity, -Infinity, NaN]);
    expect(await values.to('float8_e4m3fn').array()).toEqual([448, -448, 448, -448, NaN]);
    expect(await fromHost([3.4e38], { device }).to('bfloat16').array()).toEqual([Infinity]);
    expect(await fromHost([464, 464.1, 479], { device }).to('float8_e4m3fn').array()).toEqual([448, 448, 448]);
  });
});

describe('integers and bool', () => {
  it('come from floats by truncation, saturated, 0 from NaN', async () => {
    const values = fromHost([1.9, -1.9, 300, -0.5, 3e9, -3e9, 1e30, -1e30, Infinity, -Infinity, NaN], { device });
    const [max, min] = [2147483647, -2147483648];
    expect(await values.to('int32').array()).toEqual([1, -1, 300, 0, max, min, max, min, max, min, 0]);
    expect(await values.to('uint8').array()).toEqual([1, 0, 255, 0, 255, 0, 255, 0, 255, 0, 0]);
    const [top, bottom] = [2n ** 63n - 1n, -(2n ** 63n)];
    expect(await values.to('int64').array()).toEqual([
      1n,
      -1n,
      300n,
      0n,
      3000000000n,
      -3000000000n,
      top,
      bottom,
      top,
      bottom,
      0n,
    ]);
    expect(await fromHost([0, -0, 1e-45, NaN, -2], { device }).to('bool').array()).toEqual([
      false,
      false,
      true,
      true,
      true,
    ]);
  });

  it('keep their low bits in narrower integers', async () => {
    const values = fromHost([2n ** 32n + 5n, -1n, 2n ** 31n, 256n, 0n], { device });
    expect(await values.to('int32').array()).toEqual([5, -1, -2147483648, 256, 0]);
    expect(await values.to('uint8').array()).toEqual([5, 255, 0, 0, 0]);
    expect(await values.to('bool').array()).toEqual([true, true, true, true, false]);
  });

  it('become floats by rounding to float32 first', async () => {
    const values = fromHost([16777217n, -16777219n, 2n ** 63n - 1n, 70000n], { device });
    expect(await values.to('float32').array()).toEqual([16777216, -16777220, 2 ** 63, 70000]);
    expect(await values.to('float16').array()).toEqual([Infinity, -Infinity, Infinity, Infinity]);
    expect(await values.to('bfloat16').array()).toEqual([16777216, -16777216, 2 ** 63, 70144]);
  });
});

describe('every pair of dtypes', () => {
  const small: Record<DType, (x: number) => number | bigint | boolean> = {
    float32: (x) => x,
    float16: (x) => x,
    bfloat16: (x) => x,
    float8_e4m3fn: (x) => x,
    float8_e5m2: (x) => x,
    int32: (x) => x,
    int64: (x) => BigInt(x),
    uint8: (x) => x,
    bool: (x) => x !== 0,
  };

  it.each(DTYPES.flatMap((from) => DTYPES.map((to) => [from, to] as const)))(
    '%s to %s keeps small integers',
    async (from, to) => {
      const values = from === 'bool' ? [0, 1, 1, 0, 1, 0] : [0, 1, 2, 3, 4, 6];
      const tensor = fromHost(values, { dtype: from, device, shape: [2, 3] });
      const expected = values.map((x) => small[to](x));
      expect((await tensor.to(to).array<unknown[]>()).flat()).toEqual(expected);
      // With gaps on both sides.
      const target = fromHost([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], { dtype: to, device, shape: [3, 4] });
      target.slice(1, 1, 3).copyFrom(tensor.transpose(0, 1));
      const zero = isFloat(to) ? 0 : small[to](0);
      const [a, b, c, d, e, f] = expected;
      expect(await target.array()).toEqual([
        [zero, a, d, zero],
        [zero, b, e, zero],
        [zero, c, f, zero],
      ]);
    },
  );
});
