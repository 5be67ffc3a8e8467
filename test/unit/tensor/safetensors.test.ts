import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Device, openDevice } from '../../../src/device/device';
import { arange, fromHost } from '../../../src/tensor/create';
import { loadSafetensors, readSafetensorsHeader, saveSafetensors } from '../../../src/tensor/safetensors';
import { leavesNoMemory } from './fresh-device';

/** Written by the safetensors library. */
const FIXTURE = join(__dirname, '../../fixtures/tensor/tensors.safetensors');
const FLOAT64 = join(__dirname, '../../fixtures/tensor/float64.safetensors');

let device: Device;
let folder: string;
beforeAll(async () => {
  device = await openDevice('cpu', { threads: 1 });
  folder = mkdtempSync(join(tmpdir(), 'warpbook-safetensors-'));
});
afterAll(() => {
  device.dispose();
  rmSync(folder, { recursive: true });
});

const coded = (code: string, message: string | RegExp): unknown =>
  expect.objectContaining({ code, message: typeof message === 'string' ? message : expect.stringMatching(message) });

/** A file with the given header and so many bytes of data. */
function file(header: unknown, dataBytes: number): string {
  const json = Buffer.from(typeof header === 'string' ? header : JSON.stringify(header));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(json.length));
  const path = join(folder, `${Math.random().toString(36).slice(2)}.safetensors`);
  writeFileSync(path, Buffer.concat([length, json, Buffer.alloc(dataBytes)]));
  return path;
}

describe('loadSafetensors', () => {
  it('reads what the library wrote', async () => {
    const tensors = await loadSafetensors(FIXTURE, { device });
    const values: Record<string, unknown> = {};
    for (const [name, tensor] of Object.entries(tensors)) values[name] = [tensor.dtype, await tensor.array()];
    expect(values).toEqual({
      weight: [
        'float32',
        [
          [Math.fround(0.1), -2, 3],
          [4, 5, 6],
        ],
      ],
      half: ['float16', [0.0999755859375, -65504]],
      brain: ['bfloat16', [0.10009765625, -(2 ** 127) * (1 + 98 / 128)]],
      fp8: ['float8_e4m3fn', [0.1015625, 448]],
      fp8_e5m2: ['float8_e5m2', [0.09375, 57344]],
      index: ['int32', [[1], [-2]]],
      long: ['int64', [2n ** 62n, -1n]],
      byte: ['uint8', [1, 255, 3]],
      mask: ['bool', [true, false, true]],
      nothing: ['float32', []],
      alpha: ['int32', 7],
    });
    expect(tensors.nothing.shape).toEqual([0, 4]);
    expect(tensors.brain.label).toBe('brain');
  });

  it('reads only the tensors that are named, and the header alone', async () => {
    expect(Object.keys(await loadSafetensors(FIXTURE, { device, names: ['mask', 'half'] }))).toEqual(['mask', 'half']);
    const { tensors, metadata } = await readSafetensorsHeader(FIXTURE);
    expect(metadata).toEqual({ format: 'np' });
    expect(tensors.index).toEqual({ dtype: 'I32', shape: [2, 1], dataOffsets: [44, 52] });
    await expect(loadSafetensors(FLOAT64, { device, names: ['c'] })).rejects.toEqual(
      coded('INVALID_ARGUMENT', `Got tensor name 'c'; wanted one that ${FLOAT64} has: a, b.`),
    );
    await expect(loadSafetensors(FIXTURE, { device, names: ['toString'] })).rejects.toEqual(
      coded('INVALID_ARGUMENT', /^Got tensor name 'toString'/),
    );
  });

  it("leaves out a dtype that tensors don't have, when asked", async () => {
    await expect(loadSafetensors(FLOAT64, { device })).rejects.toEqual(
      coded(
        'UNSUPPORTED',
        `${FLOAT64}: got dtype F64 for tensor 'a'; wanted one of I64, F32, I32, BF16, F16, F8_E4M3, F8_E5M2, U8, BOOL. ` +
          'Leave it out with the names option, or convert it first.',
      ),
    );
    await leavesNoMemory((fresh) =>
      expect(loadSafetensors(FLOAT64, { device: fresh, names: ['b', 'a'] })).rejects.toThrow('F64'),
    );
    const { b } = await loadSafetensors(FLOAT64, { device, names: ['b'] });
    expect(await b.array()).toEqual([1]);
  });

  it('takes any name for a name', async () => {
    const path = file('{"__proto__": {"dtype": "U8", "shape": [1], "data_offsets": [0, 1]}}', 1);
    const tensors = await loadSafetensors(path, { device });
    expect(Object.keys(tensors)).toEqual(['__proto__']);
    expect(Object.getPrototypeOf(tensors)).toBe(Object.prototype);
  });

  it.each([
    [
      'data that is cut short',
      { a: { dtype: 'F32', shape: [2], data_offsets: [0, 8] } },
      4,
      /got 4 bytes of data; wanted 8\. It was cut short/,
    ],
    [
      'bytes that nobody owns',
      { a: { dtype: 'F32', shape: [2], data_offsets: [4, 12] } },
      12,
      /got bytes \[4, 12\) for tensor 'a' of F32 \[2\]; wanted \[0, 8\)/,
    ],
    ['a shape that does not fit', { a: { dtype: 'F32', shape: [3], data_offsets: [0, 8] } }, 8, /wanted \[0, 12\)/],
    [
      'overlapping tensors',
      { a: { dtype: 'U8', shape: [4], data_offsets: [0, 4] }, b: { dtype: 'U8', shape: [4], data_offsets: [2, 6] } },
      6,
      /for tensor 'b'/,
    ],
    [
      'a missing field',
      { a: { dtype: 'F32', shape: [2] } },
      8,
      /got \{"dtype":"F32","shape":\[2\]\} for tensor 'a'; wanted dtype, shape and data_offsets/,
    ],
    [
      'negative sizes',
      { a: { dtype: 'F32', shape: [-2], data_offsets: [0, 8] } },
      8,
      /for tensor 'a'; wanted dtype, shape and data_offsets/,
    ],
    [
      'metadata that is no text',
      { __metadata__: { a: 1 } },
      0,
      /got __metadata__ that isn't text by name; wanted only strings/,
    ],
    ['a header that is no JSON', '{"a": ', 0, /got a header that isn't JSON/],
    ['a header that is no object', [1], 0, /got a header that is no JSON object/],
  ])('names the file and the fault: %s', async (_what, header, dataBytes, message) => {
    const path = file(header, dataBytes);
    await expect(loadSafetensors(path, { device })).rejects.toEqual(coded('FILE_FORMAT', message));
    await expect(loadSafetensors(path, { device })).rejects.toThrow(path);
  });

  it('names a file that is no safetensors file, and one that is missing', async () => {
    const path = join(folder, 'text.safetensors');
    writeFileSync(path, 'not a safetensors file');
    await expect(loadSafetensors(path, { device })).rejects.toEqual(
      coded('FILE_FORMAT', /got a header of \d+ bytes in a file of 22; wanted a header within the file/),
    );
    writeFileSync(path, 'short');
    await expect(loadSafetensors(path, { device })).rejects.toEqual(
      coded('FILE_FORMAT', /got a file that ends after 5 bytes; wanted at least 8/),
    );
    await expect(loadSafetensors(join(folder, 'none'), { device })).rejects.toEqual(
      coded('FILE_NOT_FOUND', /^Got no file at/),
    );
  });
});

describe('saveSafetensors', () => {
  it('writes the bytes that the library writes', async () => {
    const path = join(folder, 'same.safetensors');
    await saveSafetensors(path, await loadSafetensors(FIXTURE, { device }), { metadata: { format: 'np' } });
    expect(readFileSync(path)).toEqual(readFileSync(FIXTURE));
  });

  it('writes views, names of any kind, and nothing at all', async () => {
    const path = join(folder, 'names.safetensors');
    const tensors = {
      10: arange(6, { device }).reshape(2, 3).transpose(0, 1),
      'ä "quoted"': fromHost([1], { device }),
      2: fromHost([2], { device }),
    };
    await saveSafetensors(path, tensors);
    const loaded = await loadSafetensors(path, { device });
    expect(await loaded['10'].array()).toEqual([
      [0, 3],
      [1, 4],
      [2, 5],
    ]);
    expect(await loaded['ä "quoted"'].array()).toEqual([1]);
    expect(await loaded['2'].array()).toEqual([2]);
    await saveSafetensors(path, {});
    expect(await loadSafetensors(path, { device })).toEqual({});
  });

  it('leaves nothing behind when it fails', async () => {
    const path = join(folder, 'failed.safetensors');
    const gone = fromHost([1], { device });
    gone.dispose();
    await expect(saveSafetensors(path, { gone })).rejects.toEqual(coded('DISPOSED', /^Got raw/));
    await expect(saveSafetensors(path, { __metadata__: fromHost([1], { device }) })).rejects.toEqual(
      coded('INVALID_ARGUMENT', /__metadata__/),
    );
    expect(readdirSync(folder).filter((name) => name.startsWith('failed'))).toEqual([]);
  });
});
