/** Planning on a real GPU: the planner's lists against the host's, deltas of page tables, and a loop without the host. */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { BatchDecode } from '../../src/attention/batch-decode';
import { openDevice } from '../../src/attention/open-device';
import { PagedKvCache } from '../../src/attention/paged-kv';
import type { DevicePlan } from '../../src/attention/plan';
import type { Device } from '../../src/device/device';
import { policies } from '../../src/schedule/policies/known';
import { fromHost } from '../../src/tensor/create';
import { deviceLoop } from '../support/device-loop';

let device: Device;
before(async () => {
  device = await openDevice('cuda');
});
after(() => device.dispose());

const heads = { numQoHeads: 32, numKvHeads: 8, headDim: 128 };
const BATCHES: readonly [name: string, kvLens: readonly number[]][] = [
  ['one token', [1]],
  ['ragged', [0, 1, 15, 16, 17, 127, 128, 129, 1000, 4097, 20_000, 3]],
  ['skewed', [30_000, ...Array<number>(31).fill(512)]],
  ['uniform', Array<number>(40).fill(1024)],
  ['128 requests', Array.from({ length: 128 }, (_, r) => (r * 7919) % 2000)],
];

describe('the planner on the device', () => {
  for (const policy of ['adaptive', 'headGroups', 'binarySearch', 'noSplit'] as const) {
    it(`writes the list of ${policy}`, async () => {
      for (const [name, kvLens] of BATCHES) {
        const cache = new PagedKvCache({ ...heads, headDim: 128, device, numPages: 8192, dtype: 'bfloat16' });
        const wrapper = { ...heads, device, capacity: { maxBatch: kvLens.length, maxPages: 8192 } };
        const [host, decode] = [await BatchDecode.create(wrapper), await BatchDecode.create(wrapper)];
        const table = cache.pageTable(kvLens.map((length) => cache.allocate(length)));
        const wanted = host.plan(table, { policy: policies[policy] }).schedule;
        decode.plan(table);
        const lengths = fromHost(Int32Array.from(kvLens), { dtype: 'int32', device });
        const plan: DevicePlan = decode.planOnDevice(lengths, { policy });
        assert.deepEqual((await plan.readSchedule()).tables, wanted.tables, name);
        assert.deepEqual(await decode.status(), { skippedPages: 0, badLengths: 0, unsplitPlans: 0 });
        for (const resource of [host, decode, cache, lengths]) resource.dispose();
      }
    });
  }

  it('appends, grows, plans and attends for a thousand steps by replays alone', async () => {
    const steps = 1000;
    const loop = await deviceLoop(device, {
      ...heads,
      dtype: 'bfloat16',
      kvLens: Array.from({ length: 32 }, (_, r) => (r * 97) % 1500),
      steps,
      policy: 'headGroups',
    });
    for (let step = 1; step <= steps; step++) {
      loop.exec.replay();
      if (step % 200 !== 0 && step > 3) continue;
      const { looped, eager } = await loop.compare(step);
      assert.deepEqual(looped, eager, `step ${step}`);
    }
    assert.deepEqual(await loop.decode.status(), { skippedPages: 0, badLengths: 0, unsplitPlans: 0 });
    assert.ok((await loop.decode.timeline()).cta.length > 0);
    loop.dispose();
  });
});

describe('planning a step ahead', () => {
  it('appends, grows and attends, while a branch plans the next step, for a thousand steps by replays alone', async () => {
    const steps = 1000;
    const loop = await deviceLoop(device, {
      ...heads,
      dtype: 'bfloat16',
      kvLens: Array.from({ length: 32 }, (_, r) => (r * 97) % 1500),
      steps: steps + 1,
      policy: 'headGroups',
      ahead: true,
    });
    for (let step = 2; step <= steps; step += 2) {
      loop.exec.replay();
      if (step % 200 !== 0 && step > 4) continue;
      const { looped, eager } = await loop.compare(step);
      assert.deepEqual(looped, eager, `step ${step}`);
    }
    assert.deepEqual(await loop.decode.status(), { skippedPages: 0, badLengths: 0, unsplitPlans: 0 });
    loop.dispose();
  });
});

describe('page tables', () => {
  it('that grow by a page for each request are sent as pairs, and attended to', async () => {
    const cache = new PagedKvCache({ ...heads, device, numPages: 16384, dtype: 'bfloat16' });
    const decode = await BatchDecode.create({ ...heads, device, capacity: { maxBatch: 128, maxPages: 16384 } });
    const requests = Array.from({ length: 128 }, () => cache.allocate(1024));
    const image = decode.plan(cache.pageTable(requests)).cost.uploadedBytes;
    for (const request of requests) cache.grow(request, 1);
    const table = cache.pageTable(requests);
    const grown = decode.plan(table).cost.uploadedBytes;
    assert.ok(grown < image);
    assert.equal(grown - decode.plan(table).cost.uploadedBytes, 128 * 2 * 8);
    decode.dispose();
    cache.dispose();
  });
});
