/** Wrappers that plan on the device: runs, graphs, what is told about their plans, and loops without the host. */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { BatchDecode } from '../../../src/attention/batch-decode';
import { BatchPrefill } from '../../../src/attention/batch-prefill';
import { PagedKvCache } from '../../../src/attention/paged-kv';
import { DevicePlan } from '../../../src/attention/plan';
import { type Device, openDevice } from '../../../src/device/device';
import { capture } from '../../../src/graph/capture';
import { machines } from '../../../src/schedule/machine';
import { policies } from '../../../src/schedule/policies/known';
import { empty, fromHost, full } from '../../../src/tensor/create';
import { normal } from '../../../src/tensor/random';
import type { Tensor } from '../../../src/tensor/tensor';
import { deviceLoop } from '../../support/device-loop';

const heads = { numQoHeads: 8, numKvHeads: 2, headDim: 64 };
let device: Device;
let garbage: { dispose(): void }[];
beforeAll(async () => {
  device = await openDevice('cpu');
});
afterAll(() => device.dispose());
beforeEach(() => {
  garbage = [];
});
afterEach(() => {
  for (const resource of garbage) resource.dispose();
});
const keep = <T extends { dispose(): void }>(resource: T): T => {
  garbage.push(resource);
  return resource;
};

function filledCache(numPages: number): PagedKvCache {
  const cache = keep(new PagedKvCache({ ...heads, device, numPages, dtype: 'float32' }));
  for (const [pool, seed] of [
    [cache.k, 1],
    [cache.v, 2],
  ] as const) {
    const values = normal([...pool.shape], { seed, device });
    pool.copyFrom(values);
    values.dispose();
  }
  return cache;
}
const makeDecode = async (options: object = {}): Promise<BatchDecode> =>
  keep(
    await BatchDecode.create({
      ...heads,
      device,
      dtype: 'float32',
      machine: machines.h100,
      capacity: { maxBatch: 4, maxQoTokens: 16 },
      ...options,
    }),
  );
const queries = (tokens: number): Tensor =>
  keep(normal([tokens, heads.numQoHeads, heads.headDim], { seed: 3, device }));
const lengthsOf = (values: readonly number[]): Tensor =>
  keep(fromHost(Int32Array.from(values), { dtype: 'int32', device }));
const raw = async (...tensors: Tensor[]) => Promise.all(tensors.map((tensor) => tensor.raw()));

describe('planOnDevice', () => {
  test('a run behind it has the bits of the host policy', async () => {
    const cache = filledCache(700);
    const [host, decode] = [await makeDecode(), await makeDecode()];
    const table = cache.pageTable([5000, 70, 0].map((length) => cache.allocate(length)));
    const q = queries(3);
    decode.plan(table);
    for (const policy of ['adaptive', 'headGroups', 'binarySearch', 'noSplit'] as const) {
      for (const kvLens of [
        [5000, 70, 0],
        [17, 64, 0],
      ]) {
        host.plan(table.withLengths(kvLens), { policy: policies[policy] });
        const wanted = host.run(q, cache);
        const plan = decode.planOnDevice(lengthsOf(kvLens), { policy });
        const got = decode.run(q, cache);
        for (const tensor of [wanted.output, wanted.lse, got.output, got.lse]) keep(tensor);
        expect(await raw(got.output, got.lse)).toEqual(await raw(wanted.output, wanted.lse));
        expect((await plan.readSchedule()).tables).toEqual((await host.currentPlan?.readSchedule())?.tables);
        expect(decode.currentPlan).toBe(plan);
      }
    }
  });

  test('captured: each replay plans for the lengths, and the batch, of its moment', async () => {
    const cache = filledCache(700);
    const [host, decode] = [await makeDecode(), await makeDecode({ trace: true })];
    const table = cache.pageTable([5000, 4000].map((length) => cache.allocate(length)));
    const q = queries(2);
    const out = keep(empty([2, heads.numQoHeads, heads.headDim], { device }));
    const lse = keep(empty([2, heads.numQoHeads], { device }));
    const kvLens = lengthsOf([16, 16]);
    const batchSize = lengthsOf([2]);
    const before = decode.plan(table);
    const graph = keep(
      capture(device, () => {
        const plan = decode.planOnDevice(kvLens, { batchSize });
        expect(plan.numQoTokens).toBe(2);
        decode.run(q, cache, { out, lse });
      }),
    );
    // Nothing has been planned yet.
    expect(decode.currentPlan).toBe(before);
    const exec = keep(graph.instantiate());
    for (const lengths of [[5000, 3000], [1, 0], [4000]]) {
      kvLens.copyFrom(lengthsOf([lengths[0], lengths[1] ?? 77]));
      batchSize.copyFrom(lengthsOf([lengths.length]));
      out.fill(Number.NaN);
      lse.fill(Number.NaN);
      exec.replay();
      const pages = cache.pageTable([0, 1].slice(0, lengths.length)).withLengths(lengths);
      host.plan(pages, { policy: policies.adaptive });
      const wanted = host.run(q, cache, {
        out: keep(full(out.shape, Number.NaN, { device })),
        lse: keep(full(lse.shape, Number.NaN, { device })),
      });
      expect(await raw(out, lse)).toEqual(await raw(wanted.output, wanted.lse));

      const plan = decode.currentPlan as DevicePlan;
      expect(plan).toBeInstanceOf(DevicePlan);
      const schedule = await plan.readSchedule();
      expect(Array.from(schedule.problem.kvLens)).toEqual(lengths);
      const timeline = await decode.timeline();
      expect(timeline.cta.length).toBe(schedule.numTiles + schedule.numMergeGroups);
    }
    expect(await decode.status()).toEqual({ skippedPages: 0, badLengths: 0, unsplitPlans: 0 });
    expect(String(decode.currentPlan)).toBe('DevicePlan(adaptive: up to 2 requests of 1 query tokens)');

    // The host may plan in between; and a shorter page table can't serve the graph any more.
    decode.plan(table.withLengths([9, 9]));
    exec.replay();
    decode.plan(cache.pageTable([0]));
    expect(() => exec.replay()).toThrow('lengths of 2 requests, but the page table that was planned last has 1');
  });

  test('several query tokens a request, causal, in a prefill wrapper', async () => {
    const cache = filledCache(200);
    const options = {
      ...heads,
      device,
      dtype: 'float32',
      capacity: { maxBatch: 2, maxQoTokens: 80 },
      causal: true,
    } as const;
    const [host, prefill] = [keep(await BatchPrefill.create(options)), keep(await BatchPrefill.create(options))];
    const table = cache.pageTable([900, 300].map((length) => cache.allocate(length)));
    const q = queries(80);
    prefill.plan([40, 40], table);
    host.plan([40, 40], table, { policy: policies.headGroups });
    prefill.planOnDevice(lengthsOf([900, 300]), { qoLen: 40 });
    const [got, wanted] = [prefill.run(q, cache), host.run(q, cache)];
    for (const tensor of [wanted.output, wanted.lse, got.output, got.lse]) keep(tensor);
    expect(await raw(got.output, got.lse)).toEqual(await raw(wanted.output, wanted.lse));
  });

  test('counts lengths beyond their pages, and attends to what the pages hold', async () => {
    const cache = filledCache(20);
    const decode = await makeDecode();
    decode.plan(cache.pageTable([cache.allocate(100)]));
    decode.planOnDevice(lengthsOf([5000]));
    const { output, lse } = decode.run(queries(1), cache);
    keep(output);
    keep(lse);
    expect(await decode.status()).toEqual({ skippedPages: 0, badLengths: 1, unsplitPlans: 0 });
    expect(((await lse.data()) as Float32Array).every(Number.isFinite)).toBe(true);
  });

  test('refuses what it can not plan, and says so', async () => {
    const cache = filledCache(20);
    const decode = await makeDecode();
    const caught = (fn: () => unknown): unknown => {
      try {
        fn();
      } catch (error) {
        return error;
      }
      return undefined;
    };
    const refused = (code: string, message: string) =>
      expect.objectContaining({ code, message: expect.stringContaining(message) });
    expect(caught(() => decode.planOnDevice(lengthsOf([1])))).toEqual(
      refused('INVALID_PAGE_TABLE', 'the page table that was planned last has 0; plan() their table first'),
    );
    const plan = decode.plan(cache.pageTable([cache.allocate(40)]));
    expect(caught(() => decode.planOnDevice(lengthsOf([1, 2, 3, 4, 5])))).toEqual(
      refused('CAPACITY_EXCEEDED', 'planOnDevice: the batch needs maxBatch = 5, BatchDecode was made for 4'),
    );
    expect(caught(() => decode.planOnDevice(lengthsOf([1]), { qoLen: 17 }))).toEqual(
      refused('CAPACITY_EXCEEDED', 'maxQoTokens = 17'),
    );
    expect(caught(() => decode.planOnDevice(lengthsOf([1]), { qoLen: 0 }))).toEqual(
      refused('INVALID_ARGUMENT', 'planOnDevice: qoLen is 0'),
    );
    expect(caught(() => decode.planOnDevice(queries(1)))).toEqual(refused('DTYPE_MISMATCH', 'kvLens is float32'));
    expect(caught(() => decode.planOnDevice(lengthsOf([])))).toEqual(refused('SHAPE_MISMATCH', 'kvLens is empty'));
    expect(caught(() => decode.planOnDevice(lengthsOf([1]), { batchSize: lengthsOf([1, 2]) }))).toEqual(
      refused('SHAPE_MISMATCH', 'wanted int32 [1]'),
    );
    const elsewhere = await openDevice('cpu', { name: 'another' });
    const foreign = fromHost(Int32Array.of(3), { dtype: 'int32', device: elsewhere });
    expect(caught(() => decode.planOnDevice(foreign))).toEqual(refused('DEVICE_MISMATCH', 'use kvLens.to(device)'));
    elsewhere.dispose();
    const ragged = keep(
      await BatchPrefill.create({ ...heads, device, dtype: 'float32', kv: 'ragged', capacity: { maxBatch: 1 } }),
    );
    expect(caught(() => ragged.planOnDevice(lengthsOf([1])))).toEqual(refused('UNSUPPORTED', 'keys are ragged'));
    expect(decode.currentPlan).toBe(plan);
    const own = decode.planOnDevice(lengthsOf([7]));
    decode.plan([40]);
    await expect(own.readSchedule()).rejects.toEqual(
      refused('INVALID_ARGUMENT', `readSchedule() of plan ${own.id} while the workspace holds plan ${own.id + 1}`),
    );
  });
});

describe('a loop without the host', () => {
  for (const policy of ['headGroups', 'binarySearch'] as const) {
    test(`appends, grows, plans (${policy}) and attends by replays alone: the bits of runs that the host plans`, async () => {
      const steps = 60;
      const loop = await deviceLoop(device, {
        ...heads,
        dtype: 'float32',
        kvLens: [500, 3, 0, 1200, 31],
        steps,
        policy,
      });
      keep(loop);
      for (let step = 1; step <= steps; step++) {
        loop.exec.replay();
        if (step % 12 !== 0 && step > 1) continue;
        const { looped, eager } = await loop.compare(step);
        expect(looped).toEqual(eager);
      }
      expect(await loop.decode.status()).toEqual({ skippedPages: 0, badLengths: 0, unsplitPlans: 0 });
      // One step more than there are pages for: 500 + 60 tokens fill 35 pages exactly.
      loop.exec.replay();
      expect((await loop.decode.status()).badLengths).toBeGreaterThan(0);
    });

    test(`does so while a branch plans (${policy}) the next step`, async () => {
      const steps = 60;
      const loop = await deviceLoop(device, {
        ...heads,
        dtype: 'float32',
        kvLens: [500, 3, 0, 1200, 31],
        steps: steps + 1,
        policy,
        ahead: true,
      });
      keep(loop);
      for (let step = 2; step <= steps; step += loop.stepsPerReplay) {
        loop.exec.replay();
        if (step % 12 !== 0 && step > 2) continue;
        const { looped, eager } = await loop.compare(step);
        expect(looped).toEqual(eager);
      }
      expect(await loop.decode.status()).toEqual({ skippedPages: 0, badLengths: 0, unsplitPlans: 0 });
    });
  }
});
