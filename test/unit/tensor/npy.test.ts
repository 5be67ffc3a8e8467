import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Device, openDevice } from '../../../src/device/device';
import { arange, fromHost, zeros } from '../../../src/tensor/create';
import type { DType } from '../../../src/tensor/dtype';
import { loadNpy, saveNpy } from '../../../src/tensor/npy';
import { leavesNoMemory } from './fresh-device';

const FIXTURES = join(__dirname, '../../fixtures/tensor');
const fixture = (name: string): string => join(FIXTURES, `${name}.npy`);

let device: Device;
let folder: string;
beforeAll(async () => {
  device = await openDevice('cpu', { threads: 1 });
  folder = mkdtempSync(join(tmpdir(), 'warpbook-npy-'));
});
afterAll(() => {
  device.dispose();
  rmSync(folder, { recursive: true });
});

const coded = (code: string, message: string | RegExp): unknown =>
  expect.objectContaining({ code, message: typeof message === 'string' ? message : expect.stringMatching(message) });

/** A broken copy of a fixture. */
function broken(name: string, change: (bytes: Buffer) => Uint8Array): string {
  const path = join(folder, `broken-${Math.random().toString(36).slice(2)}.npy`);
  writeFileSync(path, change(readFileSync(fixture(name))));
  return path;
}

/** Files that NumPy and ml_dtypes wrote, and what is in them. */
const FILES: [name: DType, values: unknown][] = [
  [
    'float32',
    [
      [0, -1.5, 3.25],
      [Infinity, NaN, Math.fround(1e-40)],
    ],
  ],
  ['float16', [0.0999755859375, -65504, 2 ** -24]],
  ['bfloat16', [0.10009765625, -(2 ** 127) * (1 + 98 / 128), 2 ** -133]],
  ['float8_e4m3fn', [[0.1015625], [448], [-(2 ** -9)]]],
  ['float8_e5m2', [0.09375, 57344, -(2 ** -16)]],
  ['int32', [-2147483648, 2147483647, 0]],
  ['int64', [[-(2n ** 63n), 2n ** 63n - 1n]]],
  ['uint8', [0, 255]],
  [
    'bool',
    [
      [true, false],
      [false, true],
    ],
  ],
];
const UNTYPED: readonly DType[] = ['bfloat16', 'float8_e4m3fn'];

describe.each(FILES)('%s', (dtype, values) => {
  it('is read as NumPy wrote it', async () => {
    const tensor = await loadNpy(fixture(dtype), UNTYPED.includes(dtype) ? { device, dtype } : { device });
    expect([tensor.dtype, tensor.label]).toEqual([dtype, fixture(dtype)]);
    expect(await tensor.array()).toEqual(values);
  });

  it('is written with the bytes that NumPy writes', async () => {
    const path = join(folder, `${dtype}.npy`);
    await saveNpy(path, await loadNpy(fixture(dtype), { device, dtype }));
    expect(readFileSync(path)).toEqual(readFileSync(fixture(dtype)));
  });
});

describe('loadNpy', () => {
  it('reads scalars, empty arrays and every version', async () => {
    const scalar = await loadNpy(fixture('scalar'), { device });
    expect([scalar.shape, await scalar.item()]).toEqual([[], 2.5]);
    expect((await loadNpy(fixture('empty'), { device })).shape).toEqual([0, 3]);
    expect(await (await loadNpy(fixture('version2'), { device })).array()).toEqual([1, 2]);
    expect(await (await loadNpy(fixture('version3'), { device })).array()).toEqual([1, 2]);
    expect(await (await loadNpy(fixture('big-endian'), { device })).array()).toEqual([1, 2, -3]);
  });

  it('keeps Fortran order as strides', async () => {
    const tensor = await loadNpy(fixture('fortran'), { device });
    expect([tensor.shape, tensor.strides, await tensor.array()]).toEqual([
      [2, 3],
      [1, 2],
      [
        [0, 1, 2],
        [3, 4, 5],
      ],
    ]);
  });

  it('converts on the host where a dtype is asked for', async () => {
    const doubles = await loadNpy(fixture('float64'), { device, dtype: 'float16' });
    expect(await doubles.array()).toEqual([0.0999755859375, 2.5]);
    expect(await (await loadNpy(fixture('int16'), { device, dtype: 'int32' })).array()).toEqual([-300, 7]);
    expect(await (await loadNpy(fixture('float16'), { device, dtype: 'float32' })).array()).toEqual([
      0.0999755859375,
      -65504,
      2 ** -24,
    ]);
    expect(await (await loadNpy(fixture('bool'), { device, dtype: 'uint8' })).array()).toEqual([
      [1, 0],
      [0, 1],
    ]);
    expect(await (await loadNpy(fixture('bfloat16'), { device, dtype: 'float16' })).raw()).toEqual(
      Uint16Array.of(0x3dcd, 0xff62, 0x0001),
    );
    await expect(loadNpy(fixture('int16'), { device, dtype: 'uint8' })).rejects.toEqual(
      coded('INVALID_ARGUMENT', /^value -300 at index 0 is no uint8/),
    );
    await expect(loadNpy(fixture('bool'), { device, dtype: 'float64' as 'float32' })).rejects.toEqual(
      coded('INVALID_ARGUMENT', /^dtype is float64/),
    );
  });

  it('says what to do about items that have no dtype', async () => {
    const path = fixture('bfloat16');
    const known = 'f4, f2, f1, i4, i8, u1, b1';
    await expect(loadNpy(path, { device })).rejects.toEqual(
      coded(
        'FILE_FORMAT',
        `${path}: got items of type 'V2'; wanted one of ${known}. Pass { dtype: 'bfloat16' } if that is what it holds.`,
      ),
    );
    await expect(loadNpy(path, { device, dtype: 'float32' })).rejects.toEqual(
      coded('FILE_FORMAT', /items of type 'V2'/),
    );
    await expect(loadNpy(fixture('float8_e4m3fn'), { device })).rejects.toEqual(
      coded('FILE_FORMAT', /Pass \{ dtype: 'float8_e4m3fn' \}/),
    );
    await expect(loadNpy(fixture('float64'), { device })).rejects.toEqual(
      coded(
        'FILE_FORMAT',
        `${fixture('float64')}: got items of type 'f8'; wanted one of ${known}. Pass ` +
          "{ dtype: 'float32' } or another to convert it.",
      ),
    );
    await expect(loadNpy(fixture('complex'), { device, dtype: 'float32' })).rejects.toEqual(
      coded('FILE_FORMAT', /items of type 'c16'; wanted numbers or booleans/),
    );
    await expect(loadNpy(fixture('structured'), { device })).rejects.toEqual(
      coded('FILE_FORMAT', /Structured arrays have to be saved field by field\.$/),
    );
  });

  it('says what is wrong with a broken file', async () => {
    const cut = broken('float32', (bytes) => bytes.subarray(0, -4));
    await expect(loadNpy(cut, { device })).rejects.toEqual(
      coded(
        'FILE_FORMAT',
        `${cut}: got 20 bytes of data; wanted 24 for shape [2, 3]. It was cut short, or holds more than one array.`,
      ),
    );
    const headless = broken('float32', (bytes) => bytes.subarray(0, 40));
    await expect(loadNpy(headless, { device })).rejects.toEqual(
      coded(
        'FILE_FORMAT',
        `${headless}: got a file that ends after 40 bytes; wanted at least 128. It was cut short; ` +
          'write or download it again.',
      ),
    );
    const other = broken('float32', () => Buffer.from('PK\x03\x04 an archive'));
    await expect(loadNpy(other, { device })).rejects.toEqual(
      coded(
        'FILE_FORMAT',
        `${other}: got no .npy signature; wanted a file that numpy.save wrote. An .npz archive has to be unpacked first.`,
      ),
    );
    await expect(
      loadNpy(
        broken('float32', () => new Uint8Array()),
        { device },
      ),
    ).rejects.toEqual(coded('FILE_FORMAT', /no \.npy signature/));
    const future = broken('float32', (bytes) =>
      Buffer.concat([bytes.subarray(0, 6), Uint8Array.of(9), bytes.subarray(7)]),
    );
    await expect(loadNpy(future, { device })).rejects.toEqual(
      coded('FILE_FORMAT', /got \.npy version 9; wanted version 1, 2 or 3/),
    );
    const unordered = broken('float32', (bytes) =>
      Buffer.from(bytes.toString('latin1').replace('fortran_order', 'fortran_odder'), 'latin1'),
    );
    await expect(loadNpy(unordered, { device })).rejects.toEqual(coded('FILE_FORMAT', /wanted fortran_order\./));
    const huge = broken('version2', (bytes) =>
      Buffer.concat([bytes.subarray(0, 8), Uint8Array.of(0, 0, 0, 255), bytes.subarray(12)]),
    );
    await expect(loadNpy(huge, { device })).rejects.toEqual(
      coded('FILE_FORMAT', /got a header of 4278190080 bytes; wanted at most 1048576/),
    );
  });

  it('says where a missing file was looked for', async () => {
    await expect(loadNpy('no-such.npy', { device })).rejects.toEqual(
      coded(
        'FILE_NOT_FOUND',
        `Got no file at no-such.npy; wanted one that exists. Check the path; a relative one starts at ${process.cwd()}.`,
      ),
    );
    await expect(loadNpy(folder, { device })).rejects.toEqual(
      coded('FILE_NOT_FOUND', /Something else has that name, such as a folder\.$/),
    );
  });

  it('leaves no memory behind when it fails', async () => {
    await leavesNoMemory(async (fresh) => {
      await expect(loadNpy(fixture('float64'), { device: fresh })).rejects.toThrow('items of type');
      await expect(loadNpy(fixture('int16'), { device: fresh, dtype: 'uint8' })).rejects.toThrow('no uint8');
    });
  });
});

describe('saveNpy', () => {
  it('writes views row-major, and every shape', async () => {
    const path = join(folder, 'view.npy');
    await saveNpy(path, arange(6, { device }).reshape(2, 3).transpose(0, 1));
    expect(await (await loadNpy(path, { device })).array()).toEqual([
      [0, 3],
      [1, 4],
      [2, 5],
    ]);
    for (const shape of [[], [0], [1], [3, 0, 2], [1, 2, 1, 2, 1, 2, 1, 2]]) {
      await saveNpy(path, zeros(shape, { dtype: 'bool', device }));
      expect((await loadNpy(path, { device })).shape).toEqual(shape);
      expect(readFileSync(path).length % 64).toBe(shape.reduce((product, n) => product * n, 1) % 64);
    }
  });

  it('replaces the file only when it is complete', async () => {
    const path = join(folder, 'kept.npy');
    await saveNpy(path, fromHost([1], { device }));
    const gone = fromHost([2], { device });
    gone.dispose();
    await expect(saveNpy(path, gone)).rejects.toEqual(coded('DISPOSED', /^Got raw/));
    expect(await (await loadNpy(path, { device })).array()).toEqual([1]);
    expect(readdirSync(folder).filter((name) => name.endsWith('.tmp'))).toEqual([]);
    await expect(saveNpy(join(folder, 'none', 'x.npy'), fromHost([1], { device }))).rejects.toEqual(
      coded('FILE_NOT_FOUND', /Its directory must exist/),
    );
  });
});
