import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Device, defaultDevice, openDevice } from '../../../src/device/device';
import { arange, empty, fromHost, full, ones, zeros } from '../../../src/tensor/create';
import { DTYPES } from '../../../src/tensor/dtype';
import { leavesNoMemory } from './fresh-device';

let device: Device;
beforeAll(async () => {
  device = await openDevice('cpu', { threads: 2 });
});
afterAll(() => device.dispose());

const coded = (code: string, message: string | RegExp): unknown =>
  expect.objectContaining({ code, message: typeof message === 'string' ? message : expect.stringMatching(message) });

describe('filled tensors', () => {
  it.each(DTYPES)('zeros, ones and full of %s', async (dtype) => {
    expect((await zeros([3], { dtype, device }).array<number[]>()).map(Number)).toEqual([0, 0, 0]);
    expect((await ones([1, 2], { dtype, device }).array<number[][]>()).flat().map(Number)).toEqual([1, 1]);
    const value = dtype === 'bool' ? 1 : 3;
    const tensor = full([2, 2], value, { dtype, device });
    expect((await tensor.array<number[][]>()).flat().map(Number)).toEqual([value, value, value, value]);
    // With gaps.
    tensor.select(1, 1).fill(0);
    expect((await tensor.array<number[][]>()).flat().map(Number)).toEqual([value, 0, value, 0]);
  });

  it('are float32 on the default device where nothing else is said', async () => {
    const tensor = ones([2]);
    expect([tensor.dtype, tensor.device]).toEqual(['float32', defaultDevice()]);
    expect(await tensor.array()).toEqual([1, 1]);
    tensor.dispose();
  });

  it('round the value once, from float64', async () => {
    // Half-way to float32's next number and a bit: through float32 it would become a tie of float16 and round down.
    const value = 1 + 2 ** -11 + 2 ** -40;
    expect(await full([1], value, { dtype: 'float16', device }).item()).toBe(1 + 2 ** -10);
    expect(await full([], -0, { device }).item()).toBe(-0);
    expect(await full([1], NaN, { dtype: 'bfloat16', device }).item()).toBeNaN();
    expect(await full([1], 2n ** 62n, { dtype: 'int64', device }).item()).toBe(2n ** 62n);
  });

  it('refuse values that the dtype does not have', () => {
    expect(() => full([2], 0.5, { dtype: 'int32', device })).toThrow(
      coded(
        'INVALID_ARGUMENT',
        'value 0.5 at index 0 is no int32; wanted an integer from -2147483648 to 2147483647. Round or ' +
          'choose another dtype.',
      ),
    );
    expect(() => full([2], -1, { dtype: 'uint8', device })).toThrow(
      coded('INVALID_ARGUMENT', /wanted an integer from 0 to 255/),
    );
    expect(() => full([2], 2, { dtype: 'bool', device })).toThrow(
      coded('INVALID_ARGUMENT', /wanted true, false, 0 or 1/),
    );
  });

  it('leave no memory behind where a value is refused', async () => {
    await leavesNoMemory((fresh) =>
      expect(() => full([2], 0.5, { dtype: 'int32', device: fresh })).toThrow('no int32'),
    );
  });

  it('refuse shapes and dtypes that there are not', () => {
    expect(() => empty([-1], { device })).toThrow(
      coded('INVALID_ARGUMENT', 'shape[0] is -1; wanted an integer of at least 0.'),
    );
    expect(() => empty([1, 2.5], { device })).toThrow(coded('INVALID_ARGUMENT', /^shape\[1\] is 2.5/));
    expect(() => empty(3 as unknown as number[], { device })).toThrow(
      coded('INVALID_ARGUMENT', 'shape is 3; wanted an array of sizes, such as [2, 3].'),
    );
    expect(() => empty([1, 1, 1, 1, 1, 1, 1, 1, 1], { device })).toThrow(
      coded('INVALID_ARGUMENT', /has 9 dimensions; wanted at most 8\.$/),
    );
    expect(() => empty([2 ** 30, 2 ** 30], { device })).toThrow(coded('INVALID_ARGUMENT', /has too many elements/));
    expect(() => empty([1], { dtype: 'float64' as 'float32', device })).toThrow(
      coded(
        'INVALID_ARGUMENT',
        'dtype is float64; wanted one of float32, float16, bfloat16, float8_e4m3fn, float8_e5m2, int32, int64, ' +
          'uint8, bool.',
      ),
    );
  });
});

describe('arange', () => {
  it('counts', async () => {
    expect(await arange(3, { device }).array()).toEqual([0, 1, 2]);
    expect(arange(3, { device }).dtype).toBe('int32');
    expect(await arange(-4, { start: 2, step: -3, device }).array()).toEqual([2, -1]);
    expect(await arange(0, { device }).array()).toEqual([]);
    expect(await arange(6, { start: 4, dtype: 'int64', device }).array()).toEqual([4n, 5n]);
    expect(await arange(256, { start: 254, dtype: 'uint8', device }).array()).toEqual([254, 255]);
    const long = await arange(10_001, { device }).data();
    expect(long.every((value, i) => value === i)).toBe(true);
  });

  it('counts in fractions, in float64', async () => {
    const tenths = arange(1000, { step: 0.1, device });
    expect(tenths.dtype).toBe('float32');
    expect(await tenths.data()).toEqual(Float32Array.from({ length: 10_000 }, (_, i) => i * 0.1));
    expect(await arange(1, { step: 0.25, dtype: 'bfloat16', device }).array()).toEqual([0, 0.25, 0.5, 0.75]);
  });

  it('refuses steps that lead nowhere and values that do not fit', () => {
    expect(() => arange(3, { step: 0, device })).toThrow(
      coded(
        'INVALID_ARGUMENT',
        'Got arange from 0 to 3 in steps of 0; wanted finite numbers and a step that leads from start to end.',
      ),
    );
    expect(() => arange(3, { step: -1, device })).toThrow(coded('INVALID_ARGUMENT', /steps of -1/));
    expect(() => arange(NaN, { device })).toThrow(coded('INVALID_ARGUMENT', /to NaN/));
    expect(() => arange(1, { step: 0.5, dtype: 'int32', device })).toThrow(
      coded('INVALID_ARGUMENT', /wanted integers, or a float dtype\.$/),
    );
    expect(() => arange(257, { dtype: 'uint8', device })).toThrow(
      coded('INVALID_ARGUMENT', /^value 256 at index 1 is no uint8/),
    );
  });
});

describe('fromHost', () => {
  it('keeps the type of typed arrays, and copies them at once', async () => {
    const data = Float32Array.of(1, 2, 3);
    const tensor = fromHost(data, { device });
    data.fill(0);
    expect([tensor.dtype, await tensor.array()]).toEqual(['float32', [1, 2, 3]]);
    expect(fromHost(new Float64Array(1), { device }).dtype).toBe('float32');
    expect(fromHost(new Int32Array(1), { device }).dtype).toBe('int32');
    expect(fromHost(new BigInt64Array(1), { device }).dtype).toBe('int64');
    expect(fromHost(new Uint8Array(1), { device }).dtype).toBe('uint8');
    expect(fromHost(Buffer.from([1]), { device }).dtype).toBe('uint8');
    expect(await fromHost(Int32Array.of(1, 2, 3, 4).subarray(1, 3), { device }).array()).toEqual([2, 3]);
    expect(() => fromHost(new Uint16Array(1), { device })).toThrow(
      coded(
        'INVALID_ARGUMENT',
        "Got a Uint16Array without a dtype; wanted options.dtype, such as 'float16' or 'int32'.",
      ),
    );
    expect(await fromHost(Uint16Array.of(7), { dtype: 'int32', device }).array()).toEqual([7]);
    expect(await fromHost(Uint16Array.of(0x3f80), { dtype: 'bfloat16', device }).array()).toEqual([1]);
    expect(await fromHost(Uint8Array.of(0x38), { dtype: 'float8_e4m3fn', device }).array()).toEqual([1]);
  });

  it.runIf('Float16Array' in globalThis)('takes a Float16Array where there is one', async () => {
    const Float16 = (globalThis as unknown as { Float16Array: new (values: number[]) => Float32Array }).Float16Array;
    const tensor = fromHost(new Float16([0.1, 2]), { device });
    expect([tensor.dtype as string, await tensor.data()]).toEqual(['float16', Float32Array.of(0.0999755859375, 2)]);
  });

  it('takes nested arrays of numbers, booleans and bigints', async () => {
    const nested = fromHost(
      [
        [[1], [2]],
        [[3], [4.5]],
      ],
      { device },
    );
    expect([nested.dtype, nested.shape, await nested.array()]).toEqual([
      'float32',
      [2, 2, 1],
      [
        [[1], [2]],
        [[3], [4.5]],
      ],
    ]);
    expect(fromHost([[true], [false]], { device }).dtype).toBe('bool');
    expect(fromHost([1n], { device }).dtype).toBe('int64');
    expect(fromHost([[], []], { device }).shape).toEqual([2, 0]);
    expect(fromHost(7, { device }).shape).toEqual([]);
    expect(await fromHost([1, 2, 3, 4], { shape: [2, 2], dtype: 'int32', device }).array()).toEqual([
      [1, 2],
      [3, 4],
    ]);
  });

  it('refuses ragged, mixed and missing values', () => {
    expect(() => fromHost([[1, 2], [3]], { device })).toThrow(
      coded('SHAPE_MISMATCH', 'element [1] has length 1; wanted length 2, as its neighbours have.'),
    );
    expect(() => fromHost([[1], 2], { device })).toThrow(
      coded('SHAPE_MISMATCH', 'element [1] has no length; wanted length 1, as its neighbours have.'),
    );
    expect(() => fromHost([1, [2]], { device })).toThrow(
      coded('SHAPE_MISMATCH', 'element [1] has length 1; wanted a single value, as its neighbours have.'),
    );
    expect(() => fromHost([1, true], { device })).toThrow(
      coded(
        'INVALID_ARGUMENT',
        'Got host data with values of type number and boolean; wanted numbers, bigints or booleans, of one type.',
      ),
    );
    expect(() => fromHost(['1'] as unknown as number[], { device })).toThrow(
      coded('INVALID_ARGUMENT', /of type string;/),
    );
    expect(() => fromHost([1, 2, 3], { shape: [2], device })).toThrow(
      coded('SHAPE_MISMATCH', 'Got 3 values for shape [2]; wanted 2.'),
    );
    expect(() => fromHost([1, 300], { dtype: 'uint8', device })).toThrow(
      coded('INVALID_ARGUMENT', /^value 300 at index 1 is no uint8/),
    );
  });
});
