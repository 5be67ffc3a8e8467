/** Planning on a real GPU: the planner's lists against the host's, deltas of page tables, and a loop without the host. */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { BatchDecode } from '../../src/attention/batch-decode';
import { openDevice } from '../../src/attention/open-device';
import { PagedKvCache } from '../../src/attention/paged-kv';
import type { DevicePlan } from '../../src/attention/plan';
import type { Device } from '../../src/device/device';
import { policies } from '../../src/schedule/policies/known';
import type { Policy } from '../../src/schedule/schedule';
import { fromHost, full } from '../../src/tensor/create';
import { normal } from '../../src/tensor/random';
import type { Tensor } from '../../src/tensor/tensor';
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

describe('plans that native code writes on the host', () => {
  it('are followed as those of the policy are, while the device is steps behind', async () => {
    const cache = new PagedKvCache({ ...heads, device, numPages: 8192, dtype: 'bfloat16' });
    for (const pool of [cache.k, cache.v]) {
      const values = normal([...pool.shape], { seed: 1, dtype: 'bfloat16', device });
      pool.copyFrom(values);
      values.dispose();
    }
    const longest = Array.from({ length: 32 }, (_, r) => 1 + ((r * 997) % 4000));
    const table = cache.pageTable(longest.map((length) => cache.allocate(length)));
    const wrapper = { ...heads, device, capacity: { maxBatch: 32, maxPages: 8192 } };
    const [native, byPolicy] = [await BatchDecode.create(wrapper), await BatchDecode.create(wrapper)];
    for (const decode of [native, byPolicy]) decode.plan(table);
    const q = normal([32, heads.numQoHeads, heads.headDim], { seed: 3, dtype: 'bfloat16', device });
    const outputs = (): { out: Tensor; lse: Tensor } => ({
      out: full([32, heads.numQoHeads, heads.headDim], Number.NaN, { dtype: 'bfloat16', device }),
      lse: full([32, heads.numQoHeads], Number.NaN, { device }),
    });
    for (const name of ['headGroups', 'binarySearch', 'noSplit'] as const) {
      const policy: Policy = (problem, machine) => policies[name](problem, machine);
      const steps = Array.from({ length: 24 }, (_, step) =>
        Int32Array.from(longest, (most, r) => (step * 613 + r * 89) % (most + 1)),
      );
      const [got, wanted] = [steps.map(outputs), steps.map(outputs)];
      for (const [step, kvLens] of steps.entries()) {
        await native.ready();
        native.plan(kvLens, { policy: policies[name] });
        native.run(q, cache, got[step]);
      }
      for (const [step, kvLens] of steps.entries()) {
        await byPolicy.ready();
        byPolicy.plan(kvLens, { policy });
        byPolicy.run(q, cache, wanted[step]);
      }
      for (const step of steps.keys()) {
        for (const key of ['out', 'lse'] as const) {
          assert.deepEqual(await got[step][key].raw(), await wanted[step][key].raw(), `${name}, step ${step}, ${key}`);
        }
      }
      for (const { out, lse } of [...got, ...wanted]) {
        out.dispose();
        lse.dispose();
      }
    }
    for (const resource of [native, byPolicy, cache, q]) resource.dispose();
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
