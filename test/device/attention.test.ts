/** Tensors on a real GPU against the CPU device, and the time that planning takes. accuracy.test.ts has attention. */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { BatchDecode } from '../../src/attention/batch-decode';
import { openDevice } from '../../src/attention/open-device';
import type { Device } from '../../src/device/device';
import { relativeError } from '../../src/tensor/compare';
import { full } from '../../src/tensor/create';
import { normal, uniform } from '../../src/tensor/random';
import { randomCache } from '../support/attention';
import { FEATURE_BASE } from '../support/attention-features';

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

describe('planning', () => {
  it('plans without waiting', async () => {
    const batch = { ...FEATURE_BASE, kvLens: Array.from({ length: 128 }, (_, i) => 100 + i) };
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
