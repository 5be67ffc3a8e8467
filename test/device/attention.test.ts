/** Tensors and attention on a real GPU: against the CPU device and the float64 reference. */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { BatchDecode } from '../../src/attention/batch-decode';
import { openDevice } from '../../src/attention/open-device';
import type { Device } from '../../src/device/device';
import { capture } from '../../src/graph/capture';
import { policies } from '../../src/schedule/policies/known';
import { relativeError } from '../../src/tensor/compare';
import { full, zeros } from '../../src/tensor/create';
import { normal, uniform } from '../../src/tensor/random';
import { type AttentionCase, lseError, outputError, randomCache, randomQueries, runCase } from '../support/attention';

let device: Device;
let cpu: Device;
before(async () => {
  [device, cpu] = [await openDevice('cuda'), await openDevice('cpu')];
});
after(() => {
  device.dispose();
  cpu.dispose();
});

describe('tensors', () => {
  for (const dtype of ['float32', 'float16', 'bfloat16'] as const) {
    it(`draw the same ${dtype} numbers as on the CPU`, async () => {
      for (const draw of [normal, uniform]) {
        const [here, there] = [device, cpu].map((on) => draw([5, 1001], { seed: 7, dtype, device: on }));
        const [got, wanted] = [(await here.data()) as Float32Array, (await there.data()) as Float32Array];
        const largest = wanted.reduce((worst, value, i) => Math.max(worst, Math.abs(value - got[i])), 0);
        assert.ok(largest <= (dtype === 'float32' ? 1e-6 : 1e-2), `${draw.name}: ${largest}`);
      }
    });
  }

  it('copy, convert, fill and compare', async () => {
    const x = normal([33, 65], { seed: 3, device });
    const half = x.to('float16');
    const back = half.transpose(0, 1).contiguous().to('float32').transpose(0, 1);
    const error = await relativeError(back, x);
    assert.ok(error > 0 && error < 1e-3, String(error));
    const some = full([4, 6], 2.5, { device });
    some.slice(1, 2, 4).fill(-1);
    assert.deepEqual([...((await some.data()) as Float32Array)].slice(0, 6), [2.5, 2.5, -1, -1, 2.5, 2.5]);
    for (const tensor of [x, half, back, some]) tensor.dispose();
  });
});

/** Lengths around block and page ends, an empty request, and one that is split. */
const RAGGED = [0, 1, 15, 16, 17, 63, 64, 65, 300, 2500];
const BASE: AttentionCase = {
  kvLens: RAGGED,
  numQoHeads: 32,
  numKvHeads: 8,
  headDim: 128,
  pageSize: 16,
  dtype: 'bfloat16',
  policy: policies.binarySearch,
  seed: 11,
};
const TOLERANCE = { float16: 1e-3, bfloat16: 4e-3 };

const CASES: readonly [name: string, overrides: Partial<AttentionCase>][] = [
  ['bf16', {}],
  ['fp16', { dtype: 'float16' }],
  ['bf16, HND', { layout: 'HND' }],
  ['e4m3 KV with scales', { kvDtype: 'float8_e4m3fn', kScale: 0.5, vScale: 1.75 }],
  ['e5m2 KV', { kvDtype: 'float8_e5m2', dtype: 'float16' }],
  ['head dim 64', { headDim: 64 }],
  ['head dim 256', { headDim: 256, numQoHeads: 8, numKvHeads: 2 }],
  ['page 1', { pageSize: 1 }],
  ['page 8', { pageSize: 8 }],
  ['page 64', { pageSize: 64 }],
  ['one KV head for 32', { numKvHeads: 1 }],
  ['as many KV heads', { numQoHeads: 4, numKvHeads: 4 }],
  ['64 query heads', { numQoHeads: 64 }],
  ['a window and a soft cap', { windowLeft: 40, logitsSoftCap: 30 }],
  ['no split', { policy: policies.noSplit }],
  ['splits of 64 tokens', { policy: policies.fixedSplitSize(64) }],
  ['padded rows', { padding: 3 }],
  ['4 query tokens, causal', { qoLens: RAGGED.map((length) => Math.min(length, 4)), causal: true }],
  ['prefill, causal', { qoLens: [1, 1, 7, 16, 3, 40, 64, 0, 130, 5], causal: true }],
];

describe('attention', () => {
  for (const [name, overrides] of CASES) {
    it(`is right: ${name}`, async () => {
      const wanted = { ...BASE, ...overrides };
      const outcome = await runCase(device, wanted);
      const [error, lse] = [outputError(outcome), lseError(outcome)];
      console.log(`${name}: output ${error.toExponential(1)}, LSE ${lse.toExponential(1)}`);
      assert.ok(error <= TOLERANCE[wanted.dtype as keyof typeof TOLERANCE], `output ${error}`);
      assert.ok(lse <= 1e-5, `LSE ${lse}`);
    });
  }

  it('captured at one page, follows any later plan with the same bits as eager', async () => {
    const long: AttentionCase = { ...BASE, kvLens: [4000, 4000, 4000, 4000] };
    const { cache, requests } = randomCache(device, long);
    const q = randomQueries(device, long);
    const [out, lse] = [zeros([4, 32, 128], { dtype: 'bfloat16', device }), zeros([4, 32], { device })];
    const options = { numQoHeads: 32, numKvHeads: 8, headDim: 128, device };
    const capacity = { maxBatch: 4, maxPages: cache.numPages };
    const decode = await BatchDecode.create({ ...options, capacity });
    const table = cache.pageTable(requests);
    const plan = (kvLens: readonly number[]): void => {
      decode.plan(kvLens.length === 4 ? table : cache.pageTable(requests.slice(0, kvLens.length)));
      decode.plan(Int32Array.from(kvLens));
    };
    plan([16, 16, 16, 16]);
    const exec = capture(device, () => decode.run(q, cache, { out, lse })).instantiate();
    for (const kvLens of [[16, 16, 16, 16], [48, 1, 32, 17], [4000, 4000, 4000, 4000], [0, 4000, 1], [3000]]) {
      plan(kvLens);
      const rows = kvLens.length * 32 * 128;
      out.fill(Number.NaN);
      decode.run(q, cache, { out, lse });
      const eager = ((await out.data()) as Float32Array).slice(0, rows);
      for (let round = 0; round < 20; round++) {
        out.fill(Number.NaN);
        exec.replay();
        assert.deepEqual(((await out.data()) as Float32Array).slice(0, rows), eager);
      }
      assert.ok(eager.every((value) => Number.isFinite(value)));
    }
    for (const thing of [exec, decode, q, out, lse, cache]) thing.dispose();
  });

  it('plans without waiting', async () => {
    const batch = { ...BASE, kvLens: Array.from({ length: 128 }, (_, i) => 100 + i) };
    const { cache, requests } = randomCache(device, batch);
    const capacity = { maxBatch: 128, maxPages: cache.numPages };
    const decode = await BatchDecode.create({ numQoHeads: 32, numKvHeads: 8, headDim: 128, device, capacity });
    const plan = decode.plan(cache.pageTable(requests));
    const times: number[] = [];
    for (let i = 0; i < 300; i++) {
      if (i % 4 === 0) await device.synchronize();
      const lengths = Int32Array.from(batch.kvLens, (length) => length - (i % 50));
      const began = process.hrtime.bigint();
      decode.plan(lengths);
      times.push(Number(process.hrtime.bigint() - began) / 1000);
    }
    times.sort((a, b) => a - b);
    console.log(
      `plan of 128 requests, upload enqueued: median ${times[150].toFixed(1)} µs, least ${times[0].toFixed(1)}`,
    );
    assert.equal(plan.schedule.problem.batchSize, 128);
    for (const thing of [decode, cache]) thing.dispose();
  });
});
