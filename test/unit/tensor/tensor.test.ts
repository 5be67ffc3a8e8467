import { inspect } from 'node:util';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Device, openDevice } from '../../../src/device/device';
import { scope } from '../../../src/device/scope';
import { capture } from '../../../src/graph/capture';
import { arange, empty, fromHost, full, zeros } from '../../../src/tensor/create';
import { Tensor } from '../../../src/tensor/tensor';
import { leavesNoMemory } from './fresh-device';

let device: Device;
let other: Device;
beforeAll(async () => {
  device = await openDevice('cpu', { threads: 3, name: 'one' });
  other = await openDevice('cpu', { threads: 1, name: 'two' });
});
afterAll(() => {
  device.dispose();
  other.dispose();
});

const coded = (code: string, message: string | RegExp): unknown =>
  expect.objectContaining({ code, message: typeof message === 'string' ? message : expect.stringMatching(message) });

describe('views', () => {
  it('share the memory of their owner', async () => {
    const base = arange(24, { device }).reshape(2, 3, 4);
    expect([base.shape, base.strides, base.numel, base.ndim, base.nbytes]).toEqual([[2, 3, 4], [12, 4, 1], 24, 3, 96]);
    const middle = base.select(1, 1);
    expect([middle.shape, middle.strides, middle.byteOffset, middle.isContiguous]).toEqual([
      [2, 4],
      [12, 1],
      16,
      false,
    ]);
    middle.fill(-1);
    expect(await base.array()).toEqual([
      [
        [0, 1, 2, 3],
        [-1, -1, -1, -1],
        [8, 9, 10, 11],
      ],
      [
        [12, 13, 14, 15],
        [-1, -1, -1, -1],
        [20, 21, 22, 23],
      ],
    ]);
    expect(base.buffer).toBe(middle.buffer);
  });

  it('count from the end', async () => {
    const base = arange(12, { device }).reshape(3, -1);
    expect(await base.select(-1, -1).array()).toEqual([3, 7, 11]);
    expect(await base.slice(0, -2).array()).toEqual([
      [4, 5, 6, 7],
      [8, 9, 10, 11],
    ]);
    expect(await base.slice(-1, 1, -1).array()).toEqual([
      [1, 2],
      [5, 6],
      [9, 10],
    ]);
    expect(await base.transpose(-1, 0).array()).toEqual([
      [0, 4, 8],
      [1, 5, 9],
      [2, 6, 10],
      [3, 7, 11],
    ]);
  });

  it('may be empty or scalar', async () => {
    const base = arange(6, { device }).reshape([2, 3]);
    expect(await base.slice(1, 3).array()).toEqual([[], []]);
    expect(await base.slice(0, 1, 1).contiguous().array()).toEqual([]);
    expect(await base.select(0, 1).select(0, 2).item()).toBe(5);
    expect(base.select(0, 1).select(0, 2).reshape(1, 1).shape).toEqual([1, 1]);
  });

  it('are reshaped where no copy is needed, and only there', async () => {
    const base = arange(24, { device }).reshape(2, 3, 4);
    const heads = base.slice(2, 0, 2).reshape(2, 3, 1, 2);
    expect(await heads.array()).toEqual(
      (await base.slice(2, 0, 2).array<number[][][]>()).map((a) => a.map((b) => [b])),
    );
    expect(await base.slice(1, 1, 3).reshape(2, 8).array()).toEqual([
      [4, 5, 6, 7, 8, 9, 10, 11],
      [16, 17, 18, 19, 20, 21, 22, 23],
    ]);
    const transposed = base.transpose(0, 1);
    expect(() => transposed.reshape(6, 4)).toThrow(
      coded(
        'SHAPE_MISMATCH',
        'Got reshape to [6, 4] of a tensor of shape [3, 2, 4] with strides [4, 12, 1], which would need a copy; ' +
          'wanted contiguous elements. Use .contiguous().reshape(…).',
      ),
    );
    expect(await transposed.contiguous().reshape(6, 4).select(0, 1).array()).toEqual([12, 13, 14, 15]);
    expect(() => base.reshape(5, -1)).toThrow(
      coded('SHAPE_MISMATCH', 'shape [5, -1] cannot hold 24 elements; wanted sizes whose product is 24.'),
    );
  });

  it('agree with plain arrays under any chain of operations', async () => {
    const operation = fc.tuple(
      fc.constantFrom('transpose', 'slice', 'select', 'reshape'),
      fc.nat(),
      fc.nat(),
      fc.nat(),
    );
    const shapes = fc.array(fc.integer({ min: 1, max: 5 }), { minLength: 1, maxLength: 4 });
    await fc.assert(
      fc.asyncProperty(shapes, fc.array(operation, { maxLength: 5 }), async (shape, operations) => {
        const count = shape.reduce((product, size) => product * size, 1);
        const base = arange(count, { device });
        let view: Tensor = base.reshape(shape) as Tensor;
        let expected: number[] = Array.from({ length: count }, (_, i) => i);
        const at = (indices: readonly number[], sizes: readonly number[]): number =>
          expected[indices.reduce((offset, index, d) => offset * sizes[d] + index, 0)];
        const rebuild = (sizes: readonly number[], source: (indices: readonly number[]) => number): number[] => {
          const all = sizes.reduce((product, size) => product * size, 1);
          return Array.from({ length: all }, (_, flat) => {
            const indices: number[] = [];
            for (let d = sizes.length - 1, rest = flat; d >= 0; d--) {
              indices.unshift(rest % sizes[d]);
              rest = Math.floor(rest / sizes[d]);
            }
            return source(indices);
          });
        };
        for (const [kind, x, y, z] of operations) {
          const before = view.shape;
          if (before.length === 0) break;
          const d = x % before.length;
          if (kind === 'transpose') {
            const e = y % before.length;
            const swap = (values: readonly number[]): number[] =>
              values.map((v, i) => (i === d ? values[e] : i === e ? values[d] : v));
            view = view.transpose(d, e);
            expected = rebuild(view.shape, (indices) => at(swap(indices), before));
          } else if (kind === 'slice') {
            const start = y % before[d];
            const end = start + 1 + (z % (before[d] - start));
            view = view.slice(d, start, end);
            expected = rebuild(view.shape, (indices) =>
              at(
                indices.map((v, i) => (i === d ? v + start : v)),
                before,
              ),
            );
          } else if (kind === 'select') {
            const index = y % before[d];
            view = view.select(d, index);
            expected = rebuild(view.shape, (indices) =>
              at([...indices.slice(0, d), index, ...indices.slice(d)], before),
            );
          } else if (view.isContiguous) {
            view = view.reshape(-1);
          }
        }
        expect([...(await view.data())]).toEqual(expected);
        expect([...(await view.contiguous().to('float32').data())]).toEqual(expected);
        const copy = zeros(view.shape, { dtype: 'int64', device });
        copy.copyFrom(view);
        expect([...(await copy.data())].map(Number)).toEqual(expected);
        base.dispose();
      }),
      { numRuns: 150 },
    );
  });

  it('refuse what lies outside of the tensor', () => {
    const base = arange(6, { device }).reshape(2, 3);
    expect(() => base.select(0, 2)).toThrow(
      coded('INVALID_ARGUMENT', 'Got index 2 of dimension 0 of shape [2, 3]; wanted one from -2 to 1.'),
    );
    expect(() => base.select(2, 0)).toThrow(coded('INVALID_ARGUMENT', 'dim is 2; wanted an integer from -2 to 1.'));
    expect(() => base.slice(1, 2, 4)).toThrow(
      coded('INVALID_ARGUMENT', 'Got slice [2, 4) of dimension 1 of shape [2, 3]; wanted 0 <= start <= end <= 3.'),
    );
    expect(() => base.slice(1, 2, 1)).toThrow(coded('INVALID_ARGUMENT', /^Got slice \[2, 1\)/));
    expect(() => base.select(0, 0).select(0, 0).select(0, 0)).toThrow(
      coded('INVALID_ARGUMENT', 'dim is 0; a scalar has no dimensions.'),
    );
    expect(() => base.transpose(0, 2)).toThrow(coded('INVALID_ARGUMENT', 'b is 2; wanted an integer from -2 to 1.'));
  });
});

describe('ownership', () => {
  it('views throw after their owner was disposed, and free nothing themselves', async () => {
    await leavesNoMemory(async (fresh) => {
      const base = zeros([4, 4], { device: fresh, label: 'base' });
      const view = base.slice(0, 0, 2);
      const viewOfView = view.reshape(8);
      view.dispose();
      expect(() => view.select(0, 0)).toThrow(
        coded('DISPOSED', "Got select of float32 tensor 'base' of shape [2, 4] after its dispose(); create it again."),
      );
      viewOfView.fill(1);
      expect(await base.select(1, 0).array()).toEqual([1, 1, 0, 0]);
      base.dispose();
      base.dispose();
      expect([base.disposed, viewOfView.disposed]).toEqual([true, true]);
      expect(() => viewOfView.fill(0)).toThrow(
        coded(
          'DISPOSED',
          "Got fill of float32 tensor 'base' of shape [8] after the dispose() of the tensor, buffer or device that it is " +
            'a view of; create it again.',
        ),
      );
      await expect(viewOfView.data()).rejects.toEqual(coded('DISPOSED', /^Got data of float32 tensor 'base'/));
      expect(() => base.address()).toThrow(coded('DISPOSED', /^Got address/));
      expect(() => base.to('int32')).toThrow(coded('DISPOSED', /^Got to/));
      await expect(base.to(other)).rejects.toEqual(coded('DISPOSED', /^Got to/));
    });
  });

  it('is dropped by Symbol.dispose, and a foreign buffer is left alone', () => {
    const buffer = device.allocate(64);
    const tensor = Tensor.over(buffer, { dtype: 'float32', shape: [2, 3], strides: [4, 1], byteOffset: 16 });
    expect(tensor.address()).toEqual({ handle: buffer.handle, byteOffset: 16 });
    tensor[Symbol.dispose]();
    expect([tensor.disposed, buffer.disposed]).toEqual([true, false]);
    expect(() => Tensor.over(buffer, { dtype: 'float32', shape: [3, 6] })).toThrow(
      coded(
        'INVALID_ARGUMENT',
        "Got a float32 tensor of shape [3, 6] in bytes [0, 72) of buffer 'unlabelled'; wanted a range " +
          'within its 64 bytes that begins at a multiple of 4.',
      ),
    );
    expect(() => Tensor.over(buffer, { dtype: 'float32', shape: [2], byteOffset: 2 })).toThrow(
      coded('INVALID_ARGUMENT', /in bytes \[2, 10\)/),
    );
    buffer.dispose();
    expect(() => Tensor.over(buffer, { dtype: 'uint8', shape: [1] }).fill(1)).toThrow(coded('DISPOSED', /^Got fill/));
  });

  it('passes out of a scope with the tensor that is returned, and with no other', async () => {
    await leavesNoMemory(async (fresh) => {
      const { kept } = await scope(async () => {
        const a = full([10], 2, { device: fresh });
        await a.data();
        const b = a.to('float16');
        return { kept: b };
      });
      expect(fresh.memory().usedBytes).toBe(20);
      expect(await kept.slice(0, 0, 2).array()).toEqual([2, 2]);
      kept.dispose();
    });
  });

  it('names the label in the memory report, and in out-of-memory errors', async () => {
    const small = await openDevice('cpu', { threads: 1, memoryLimitBytes: 1000 });
    const tensor = zeros([200], { device: small, label: 'KV cache' });
    expect(small.memory().owners).toEqual([{ label: 'KV cache', bytes: 800, buffers: 1 }]);
    expect(() => tensor.to('float32')).toThrow(coded('OUT_OF_MEMORY', /'KV cache' 800 B in 1/));
    expect(small.memory().usedBytes).toBe(800);
    small.dispose();
    expect(tensor.disposed).toBe(true);
  });
});

describe('copies', () => {
  it('to() always makes a tensor of its own', async () => {
    const a = arange(4, { device });
    const same = a.to('int32');
    same.fill(9);
    expect([await a.array(), await same.array()]).toEqual([
      [0, 1, 2, 3],
      [9, 9, 9, 9],
    ]);
    const there = await a.slice(0, 1, 3).to(other);
    expect([there.device, await there.array()]).toEqual([other, [1, 2]]);
    const here = await a.to(device);
    expect([here.device, here.buffer === a.buffer]).toEqual([device, false]);
  });

  it('copyFrom refuses other shapes, other devices and overlaps', async () => {
    const a = arange(10, { device, label: 'a' });
    expect(() => a.copyFrom(a.slice(0, 0, 5))).toThrow(
      coded('SHAPE_MISMATCH', 'Got a source of shape [5] for a target of shape [10]; wanted equal shapes.'),
    );
    expect(() => a.copyFrom(arange(10, { device: other, label: 'b' }))).toThrow(
      coded(
        'DEVICE_MISMATCH',
        "Got tensor 'b' of device 'two' in copyFrom on device 'one'; wanted a tensor of " +
          'that device. Copy it with await tensor.to(device).',
      ),
    );
    expect(() => a.slice(0, 0, 6).copyFrom(a.slice(0, 4))).toThrow(
      coded(
        'INVALID_ARGUMENT',
        "Got a copy within buffer 'a' from bytes [16, 40) to bytes [0, 24), which overlap; wanted " +
          'ranges apart. Read from source.contiguous() instead.',
      ),
    );
    a.slice(0, 0, 6).copyFrom(a.slice(0, 4).contiguous());
    expect(await a.array()).toEqual([4, 5, 6, 7, 8, 9, 6, 7, 8, 9]);
  });

  it('copyFrom takes interleaved parts of one tensor', async () => {
    const kv = arange(24, { device }).reshape(3, 2, 2, 2);
    kv.select(1, 0).copyFrom(kv.select(1, 1));
    expect(await kv.reshape(3, 8).array()).toEqual(
      [0, 1, 2].map((i) => [4, 5, 6, 7, 4, 5, 6, 7].map((x) => x + 8 * i)),
    );
    const square = arange(16, { device }).reshape(4, 4);
    square.slice(1, 0, 2).copyFrom(square.slice(1, 2, 4));
    expect(await square.select(0, 3).array()).toEqual([14, 15, 14, 15]);
    expect(() => square.slice(1, 0, 2).copyFrom(square.slice(1, 1, 3))).toThrow(coded('INVALID_ARGUMENT', /overlap/));
    expect(() =>
      square
        .slice(0, 0, 2)
        .slice(1, 2, 4)
        .copyFrom(square.slice(0, 1, 3).slice(1, 1, 3)),
    ).toThrow(coded('INVALID_ARGUMENT', /overlap/));
    expect(() => square.copyFrom(square.transpose(0, 1))).toThrow(coded('INVALID_ARGUMENT', /overlap/));
  });

  it('never takes an overlap for interleaved parts', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.nat(7),
        fc.nat(7),
        fc.nat(7),
        fc.nat(7),
        fc.integer({ min: 1, max: 5 }),
        fc.integer({ min: 1, max: 5 }),
        async (a, b, c, d, rows, columns) => {
          const square = arange(144, { device }).reshape(12, 12);
          const target = square.slice(0, a, a + rows).slice(1, b, b + columns);
          const source = square.slice(0, c, c + rows).slice(1, d, d + columns);
          const touched = Math.abs(a - c) < rows && Math.abs(b - d) < columns;
          const expected = await source.array();
          try {
            target.copyFrom(source);
            expect(touched).toBe(false);
            expect(await target.array()).toEqual(expected);
          } catch (error) {
            expect(error).toEqual(coded('INVALID_ARGUMENT', /overlap/));
          }
          square.dispose();
        },
      ),
      { numRuns: 200 },
    );
  });

  it('handle eight dimensions and large transposes', async () => {
    const deep = arange(256, { device }).reshape(2, 2, 2, 2, 2, 2, 2, 2);
    const swapped = deep.transpose(0, 7).transpose(1, 6).transpose(2, 5).transpose(3, 4);
    const reversed = (i: number): number =>
      Number.parseInt(i.toString(2).padStart(8, '0').split('').reverse().join(''), 2);
    expect([...(await swapped.data())]).toEqual(Array.from({ length: 256 }, (_, i) => reversed(i)));
    const [rows, columns] = [301, 257];
    const wide = arange(rows * columns, { device })
      .reshape(rows, columns)
      .transpose(0, 1)
      .to('float32');
    expect(await wide.data()).toEqual(
      Float32Array.from({ length: rows * columns }, (_, i) => (i % rows) * columns + Math.floor(i / rows)),
    );
  });

  it('run on the stream that is named', async () => {
    const stream = device.createStream('side');
    const a = zeros([5], { device });
    await a.data();
    a.fill(3, { stream });
    const b = a.to('int64', { stream });
    expect(await b.array({ stream })).toEqual([3n, 3n, 3n, 3n, 3n]);
    stream.dispose();
  });

  it('can be captured in a graph', async () => {
    const source = arange(6, { device }).reshape(2, 3);
    const target = zeros([3, 2], { dtype: 'float16', device });
    const graph = capture(device, () => {
      target.copyFrom(source.transpose(0, 1));
      expect(() => source.to('float32')).toThrow(coded('CAPTURE_FORBIDDEN', /device\.allocate/));
    });
    const exec = graph.instantiate();
    expect(await target.array()).toEqual([
      [0, 0],
      [0, 0],
      [0, 0],
    ]);
    source.fill(7);
    exec.replay();
    expect(await target.array()).toEqual([
      [7, 7],
      [7, 7],
      [7, 7],
    ]);
    exec.dispose();
    graph.dispose();
  });
});

describe('reading', () => {
  it('gives values, bits, nested arrays and single items', async () => {
    const half = fromHost(
      [
        [1, -2],
        [0.5, 65504],
      ],
      { dtype: 'float16', device },
    );
    expect(await half.data()).toEqual(Float32Array.of(1, -2, 0.5, 65504));
    expect(await half.raw()).toEqual(Uint16Array.of(0x3c00, 0xc000, 0x3800, 0x7bff));
    expect(await half.array()).toEqual([
      [1, -2],
      [0.5, 65504],
    ]);
    expect(await half.transpose(0, 1).raw()).toEqual(Uint16Array.of(0x3c00, 0x3800, 0xc000, 0x7bff));
    expect(await fromHost([3n], { device }).item()).toBe(3n);
    expect(await fromHost([[true]], { device }).item()).toBe(true);
    expect(await fromHost(2.5, { device }).item()).toBe(2.5);
    await expect(half.item()).rejects.toEqual(
      coded(
        'SHAPE_MISMATCH',
        'Got item() of a tensor of shape [2, 2]; wanted one element. Select one, or use array().',
      ),
    );
  });

  it('shows up in console.log as one line', () => {
    const tensor = empty([2], { device });
    expect(inspect({ tensor })).toBe("{ tensor: Tensor float32 [2] 'tensor' on one }");
  });
});
