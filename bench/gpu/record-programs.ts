/**
 * Records launches of the tensor and append programs on the CPU device: `record-programs.ts OUT_FOLDER`. For each launch,
 * its parameters and what every buffer held before and after; check_programs.py plays them on a GPU, where the same must
 * come out.
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { PagedKvCache } from '../../src/attention/paged-kv';
import { openDevice } from '../../src/device/device';
import type { Launch } from '../../src/device/stream';
import { compare } from '../../src/tensor/compare';
import { arange, fromHost } from '../../src/tensor/create';
import { randomBits } from '../../src/tensor/draw';
import { normal, uniform } from '../../src/tensor/random';

const folder = process.argv[2];
mkdirSync(folder, { recursive: true });

async function main(): Promise<void> {
  const device = await openDevice('cpu', { threads: 2 });
  const stream = device.stream;
  const launch = stream.launch.bind(stream);
  const records: Promise<object>[] = [];
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
          files.push({ handle: String(buffer.handle), name: `${index}-${i}` });
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
    compare(matrix, many.to(from === 'bool' ? 'uint8' : 'float16'));
  }
  bits.to('uint8');
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
  }
  writeFileSync(join(folder, 'records.json'), JSON.stringify(await Promise.all(records)));
  process.stdout.write(`${records.length} launches\n`);
  device.dispose();
}

main().catch((error) => {
  process.stderr.write(`${error.stack}\n`);
  process.exitCode = 1;
});
