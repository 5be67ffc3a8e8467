/**
 * Records launches of the tensor, append and merge programs on the CPU device: `record-programs.ts OUT_FOLDER`. For each
 * launch, its parameters and what every buffer held before and after; check_programs.py plays them on a GPU, where the same
 * must come out. params.json has the layouts of the parameter blocks, for time_ops.py.
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { appendParams } from '../../src/attention/append-params';
import { mergeStatesParams } from '../../src/attention/merge-params';
import { mergeStateInPlace, mergeStates } from '../../src/attention/merge-states';
import { PagedKvCache } from '../../src/attention/paged-kv';
import { openDevice } from '../../src/device/device';
import type { Launch } from '../../src/device/stream';
import { compareTensors } from '../../src/tensor/compare';
import { arange, fromHost, zeros } from '../../src/tensor/create';
import { randomBits } from '../../src/tensor/draw';
import { tensorCopyParams } from '../../src/tensor/programs';
import { normal, uniform } from '../../src/tensor/random';
import { Tensor } from '../../src/tensor/tensor';

const folder = process.argv[2];
mkdirSync(folder, { recursive: true });

async function main(): Promise<void> {
  const device = await openDevice('cpu', { threads: 2 });
  const stream = device.stream;
  const launch = stream.launch.bind(stream);
  const records: Promise<object>[] = [];
  /** Dtypes of results that may differ by rounding, by buffer. */
  const rounded = new Map<string, string>();
  stream.launch = (what: Launch): void => {
    const index = records.length;
    const buffers = [...new Set(what.buffers)];
    const before = buffers.map((buffer) => buffer.read());
    launch(what);
    const after = buffers.map((buffer) => buffer.read());
    records.push(
      (async () => {
        const files = [];
        for (const [i, buffer] of buffers.entries()) {
          writeFileSync(join(folder, `${index}-${i}.before`), await before[i]);
          writeFileSync(join(folder, `${index}-${i}.after`), await after[i]);
          const handle = String(buffer.handle);
          files.push({ handle, name: `${index}-${i}`, rounded: rounded.get(handle) });
        }
        const { params, relocations } = what.params;
        return {
          program: what.program,
          grid: what.grid,
          params: Buffer.from(params).toString('hex'),
          relocations: relocations.map((r) => ({ ...r, buffer: String(r.buffer) })),
          files,
        };
      })(),
    );
  };

  const dtypes = [
    'float32',
    'float16',
    'bfloat16',
    'float8_e4m3fn',
    'float8_e5m2',
    'int32',
    'int64',
    'uint8',
    'bool',
  ] as const;
  const special = [
    0, -0, 1, -1, 0.1, 448, 449, 464, 465, 480, 1e-8, 6e-8, -2e-3, 65504, 65520, 7e4, 3e38, -3e38, 1e10, -1e10, 255.7,
    300,
  ];
  const bits = randomBits([4096], { seed: 5n, counter: 0n, device });
  const wide = fromHost(Float32Array.from([...special, Number.NaN, Infinity, -Infinity]), { device });
  const many = normal([64, 33], { seed: 3n, device, std: 100 });
  for (const from of dtypes) {
    const source = wide.to(from);
    const matrix = many.to(from);
    for (const to of dtypes) {
      source.to(to);
      matrix.transpose(0, 1).slice(0, 1, 30).to(to);
    }
    if (from !== 'uint8' && from !== 'bool')
      arange(3000, { dtype: from, start: -20, step: from.includes('float') ? 0.3 : 3, device });
    compareTensors(matrix, many.to(from === 'bool' ? 'uint8' : 'float16'));
  }
  bits.to('uint8');
  // Any bits, so every exponent, both signs of NaN, and the ends of every type's range.
  for (const from of ['float32', 'float16', 'bfloat16', 'float8_e4m3fn', 'float8_e5m2'] as const) {
    const any = Tensor.over(bits.buffer, { dtype: from, shape: [4093] });
    for (const to of dtypes) any.to(to);
    const ends = [
      57344, 61439, 61439.996, 61440, 61441, -61440, 65504, 65519.99, 65520, 3.3895314e38, 3.3961775e38, 448, 464,
    ];
    const edges = fromHost(Float32Array.from([...ends, ...ends.map((x) => -x)]), { device }).to(from);
    for (const to of dtypes) edges.to(to);
  }
  for (const dtype of ['float32', 'float16', 'bfloat16', 'float8_e4m3fn', 'float8_e5m2'] as const) {
    uniform([5, 1001], { seed: 11n, low: -2, high: 3, dtype, device });
    normal([9999], { seed: 2n ** 63n + 7n, mean: 0.5, std: 2, dtype, device });
  }
  for (const layout of ['NHD', 'HND'] as const) {
    for (const dtype of ['float16', 'bfloat16', 'float8_e4m3fn', 'float8_e5m2'] as const) {
      const cache = new PagedKvCache({
        numPages: 9,
        pageSize: 5,
        numKvHeads: 3,
        headDim: 64,
        dtype,
        layout,
        kScale: 0.3,
        device,
      });
      const slots = fromHost(BigInt64Array.from([0n, 44n, -1n, 45n, 7n, 12n, 13n, 1000n]), { device });
      const k = normal([8, 3, 64], { seed: 21n, device });
      cache.appendToSlots(slots, k, normal([8, 3, 64], { seed: 22n, device }));
    }
    // The pool's own type: rows that can be copied in pieces, and rows that can't.
    for (const dtype of ['float32', 'float16', 'bfloat16'] as const) {
      const cache = new PagedKvCache({ numPages: 9, pageSize: 5, numKvHeads: 3, headDim: 64, dtype, layout, device });
      const wide = normal([10, 3, 70], { seed: 23n, dtype, device });
      const ints = (...values: number[]) => fromHost(Int32Array.from(values), { device });
      const pages = { pagedKvIndptr: ints(0, 2, 2, 5), pagedKvIndices: ints(8, 1, 0, 9, 4) };
      const batchIndices = ints(0, 2, 2, 2, 1, 3, -1, 0, 0, 2);
      const positions = ints(7, 0, 5, 14, 0, 0, 0, 10, -1, 12);
      for (const start of [0, 3]) {
        const k = wide.slice(2, start, start + 64);
        cache.appendAt({ ...pages, batchIndices, positions }, k, k);
        cache.appendAt({ ...pages, batchIndices, positions }, k.contiguous(), k.contiguous());
      }
    }
  }
  for (const dtype of dtypes) {
    const view = zeros([7, 40, 9], { dtype, device }).slice(1, 3, 38).transpose(0, 2);
    view.fill(1);
    if (dtype === 'int32' || dtype === 'int64') {
      view.slice(0, 2, 5).increment(-7);
      zeros([5000], { dtype, device }).increment(3);
    }
  }
  for (const dtype of ['float32', 'float16', 'bfloat16'] as const) {
    for (const [numStates, headDim] of [
      [1, 64],
      [2, 128],
      [5, 256],
      [37, 72],
      [3, 6],
    ]) {
      const output = normal([11, numStates, 3, headDim], { seed: 31n, dtype, device });
      const lse = normal([11, numStates, 3], { seed: 32n, std: 8, device });
      output.select(0, 4).fill(Number.NaN);
      lse.select(0, 4).fill(Number.NEGATIVE_INFINITY);
      const sinks = fromHost(Float32Array.of(-2, Number.NEGATIVE_INFINITY, 9), { device });
      for (const outDtype of [dtype, 'float32'] as const) {
        const result = {
          out: zeros([11, 3, headDim], { dtype: outDtype, device }),
          lse: zeros([11, 3], { device }),
        };
        rounded.set(String(result.out.buffer.handle), outDtype);
        rounded.set(String(result.lse.buffer.handle), 'float32');
        mergeStates({ output, lse }, result);
        mergeStates({ output, lse }, { ...result, sinks });
        const second = { output: output.select(1, 0).contiguous(), lse: lse.select(1, 0).contiguous() };
        if (outDtype === dtype) mergeStateInPlace({ output: result.out, lse: result.lse }, second);
      }
    }
  }
  const layouts = { append_kv: appendParams, merge_states: mergeStatesParams, tensor_copy: tensorCopyParams };
  const described = Object.entries(layouts).map(([name, { byteLength, fields }]) => [name, { byteLength, fields }]);
  writeFileSync(join(folder, 'params.json'), JSON.stringify(Object.fromEntries(described)));
  writeFileSync(join(folder, 'records.json'), JSON.stringify(await Promise.all(records)));
  process.stdout.write(`${records.length} launches\n`);
  device.dispose();
}

main().catch((error) => {
  process.stderr.write(`${error.stack}\n`);
  process.exitCode = 1;
});
