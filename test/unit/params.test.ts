import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { PARAM_HEADERS } from '../../scripts/generate-headers';
import { defineParams } from '../../src/device/params';

const layout = defineParams('TestParams', {
  first: ['i32', ''],
  pointer: ['address', ''],
  count: ['u32', ''],
  wide: ['i64', ''],
  scale: ['f32', ''],
});

describe('defineParams', () => {
  it('aligns fields as C does and pads the block to 16 bytes', () => {
    expect(layout.fields.map((field) => [field.name, field.offset])).toEqual([
      ['first', 0],
      ['pointer', 8],
      ['count', 16],
      ['wide', 24],
      ['scale', 32],
    ]);
    expect(layout.byteLength).toBe(48);
    expect(layout.structName).toBe('TestParams');
  });

  it('packs numbers in little-endian order and addresses as relocations', () => {
    const pointer = { handle: 7, byteOffset: 256 };
    const { params, relocations } = layout.pack({
      first: -2,
      pointer,
      count: 2 ** 32 - 1,
      wide: 2n ** 40n,
      scale: 0.5,
    });
    const view = new DataView(params.buffer);
    expect(params).toHaveLength(48);
    expect(view.getInt32(0, true)).toBe(-2);
    expect(view.getBigUint64(8, true)).toBe(0n);
    expect(view.getUint32(16, true)).toBe(2 ** 32 - 1);
    expect(view.getBigInt64(24, true)).toBe(2n ** 40n);
    expect(view.getFloat32(32, true)).toBe(0.5);
    expect(relocations).toEqual([{ offset: 8, buffer: 7, byteOffset: 256 }]);
  });

  it('leaves a null address zero, without a relocation', () => {
    expect(layout.pack({ first: 0, pointer: null, count: 0, wide: 3, scale: 0 }).relocations).toEqual([]);
  });

  it('refuses what is no number', () => {
    const values = { first: 0, pointer: null, count: 0, wide: 0, scale: 0 };
    expect(() => layout.pack({ ...values, scale: Number.NaN })).toThrow('TestParams.scale is NaN; wanted a number.');
    expect(() => layout.pack({ ...values, first: undefined as never })).toThrow('TestParams.first is undefined');
    expect(() => layout.pack({ ...values, wide: null as never })).toThrow(
      expect.objectContaining({ code: 'INVALID_ARGUMENT', message: 'TestParams.wide is null; wanted a number.' }),
    );
  });
});

it.each(Object.entries(PARAM_HEADERS))(
  'the C++ compiler places the fields of %s where TypeScript writes them',
  (header, layouts) => {
    const asserts = layouts.flatMap(({ structName, byteLength, fields }) => [
      `static_assert(sizeof(${structName}) == ${byteLength}, "size of ${structName}");`,
      ...fields.map(
        (f) => `static_assert(offsetof(${structName}, ${f.name}) == ${f.offset}, "${structName}.${f.name}");`,
      ),
    ]);
    expect(asserts.length).toBeGreaterThan(5);
    const source = `#include <cstddef>\n#include "${header}"\nusing namespace warpbook;\n${asserts.join('\n')}\n`;
    const kernels = join(__dirname, '../../native/kernels');
    const compiler = process.env.CXX ?? 'c++';
    const result = spawnSync(compiler, ['-std=c++17', '-fsyntax-only', '-I', kernels, '-x', 'c++', '-'], {
      input: source,
      encoding: 'utf8',
    });
    expect(result.error, `${compiler} runs`).toBeUndefined();
    expect(result.stderr).toBe('');
    expect(result.status).toBe(0);
  },
);
