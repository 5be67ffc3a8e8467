/**
 * `warpbook bench plan`: what a step costs the host: a plan with its upload enqueued, on its own and in steps of plan, replay and
 * wait; a run, a replay, an append and a bare launch enqueued; and what a plan on the device adds to a step, before it or ahead of it. Batches come from the trace: their lengths change from plan to plan, the
 * page table stays.
 */
import { BatchDecode } from '../../attention/batch-decode';
import type { DevicePolicy } from '../../attention/device-plan';
import { PageTable } from '../../attention/page-table';
import { PagedKvCache } from '../../attention/paged-kv';
import { PLAN_POLICY } from '../../attention/plan-params';
import { capture } from '../../graph/capture';
import { compare, type Verdict } from '../../measure/compare';
import { measure } from '../../measure/measure';
import { arange, fromHost, full } from '../../tensor/create';
import { normal } from '../../tensor/random';
import { ceilDiv } from '../../units';
import { loadTrace } from '../../workload/load-trace';
import { snapshots } from '../../workload/snapshot';
import { type BenchCase, policyByName } from './cases';
import type { BenchContext } from './context';
import { round, shapeOf, timesOf } from './decode';
import type { ResultRow } from './result-file';

/** Batches of lengths that plans take in turn. */
const NUM_BATCHES = 16;
const NO_PARAMS = { params: new Uint8Array(0), relocations: [] };

/** Rows for one batch size and policy. */
export async function benchPlan(context: BenchContext, bench: BenchCase, policyName: string): Promise<ResultRow[]> {
  const { device, maxSeconds } = context;
  const { pageSize, numKvHeads, numQoHeads, headDim, dtype, kvDtype, layout } = bench;
  const batch = bench.kvLens.length;
  const policy = policyByName(policyName);
  const { lengths, trace } = await batchesOf(batch);
  const pagesEach = ceilDiv(Math.max(...lengths.map((of) => Math.max(...of))), pageSize);

  // All requests share one request's pages: what a plan costs doesn't depend on which ones they are.
  const cache = new PagedKvCache({
    numPages: pagesEach,
    pageSize,
    numKvHeads,
    headDim,
    dtype: kvDtype,
    layout,
    device,
  });
  const table = new PageTable({
    pagedKvIndptr: Int32Array.from({ length: batch + 1 }, (_, r) => r * pagesEach),
    pagedKvIndices: Int32Array.from({ length: batch * pagesEach }, (_, i) => i % pagesEach),
    kvLens: lengths[0],
    pageSize,
    numPages: pagesEach,
  });
  const q = normal([batch, numQoHeads, headDim], { seed: 1, dtype, device });
  const out = full([batch, numQoHeads, headDim], Number.NaN, { dtype, device });
  const lse = full([batch, numQoHeads], Number.NaN, { device });
  const k = normal([batch, numKvHeads, headDim], { seed: 2, dtype, device });
  const slots = arange(batch, { dtype: 'int64', device });
  const capacity = { maxBatch: batch, maxPages: batch * pagesEach };
  const wrapper = { numQoHeads, numKvHeads, headDim, dtype, kvDtype, pageSize, capacity, device };
  const [decode, other] = [await BatchDecode.create(wrapper), await BatchDecode.create(wrapper)];
  try {
    for (const tensor of [cache.k, cache.v]) tensor.buffer.fill(Uint8Array.of(0, 0, 0x80, 0x3f));
    const { uploadedBytes } = decode.plan(table, { policy }).cost;
    other.plan(table, { policy });
    const run = (): void => void decode.run(q, cache, { out, lse });
    run();
    const host = { device, mode: 'host', maxSeconds, maxSamples: 4000, precisionPct: 0.5 } as const;
    const plan = (i: number): void => void decode.plan(lengths[i], { policy });
    const { uploadedBytes: uploadBytes } = decode.plan(lengths[0], { policy }).cost;
    const planned = await measure(plan, { ...host, what: 'plan, upload enqueued', rotate: lengths.length });
    const launched = await measure(run, { ...host, what: 'run enqueued' });
    const graph = capture(device, run);
    const exec = graph.instantiate();
    const replay = (): void => exec.replay();
    const replayed = await measure(replay, { ...host, what: 'replay enqueued' });
    // As a serving loop has them: the step of before has just been waited for, and the caches have seen other things.
    const step = { ...host, rotate: lengths.length, afterCall: replay };
    const waited = await measure(plan, { ...step, callsPerWait: 1, what: 'plan of a step: plan, replay, wait' });
    const ahead = await measure(plan, {
      ...step,
      callsPerWait: 4,
      what: 'plan of a step: plan, replay, a wait in four',
    });
    exec.dispose();
    graph.dispose();
    const append = (): void => cache.appendToSlots(slots, k, k);
    append();
    const appended = await measure(append, { ...host, what: 'append enqueued' });
    const launch = { program: 'noop', grid: [1, 1, 1], params: NO_PARAMS, buffers: [] } as const;
    const bare = await measure(() => device.stream.launch(launch), { ...host, what: 'bare launch enqueued' });
    const onDevice = isDevicePolicy(policyName)
      ? [
          await planOnDevice(context, decode, run, lengths[0], policyName),
          await planAhead(context, [decode, other], (now) => now.run(q, cache, { out, lse }), lengths[0], policyName),
        ]
      : [];
    const hostRows = [planned, waited, ahead, launched, replayed, appended, bare].map((measured) => ({
      ...shapeOf({ ...bench, what: measured.what, kvLens: Array.from(lengths[0]) }),
      policy: policyName,
      trace,
      firstUploadBytes: uploadedBytes,
      uploadBytes,
      ...timesOf(measured),
      floorUs: null,
      peers: {},
    }));
    const shape = shapeOf({ ...bench, kvLens: Array.from(lengths[0]) });
    return [...hostRows, ...onDevice.map((row) => ({ ...shape, policy: policyName, trace, ...row }))];
  } finally {
    for (const resource of [decode, other, cache, q, out, lse, k, slots]) resource.dispose();
  }
}

const isDevicePolicy = (name: string): name is DevicePolicy => Object.hasOwn(PLAN_POLICY, name);

/** What the planner on the device adds to a step in a graph: both steps in turns, on warm keys, which shows it best. */
async function planOnDevice(
  { device }: BenchContext,
  decode: BatchDecode,
  run: () => void,
  lengths: Int32Array,
  policy: DevicePolicy,
): Promise<DeviceRow> {
  const kvLens = fromHost(lengths, { dtype: 'int32', device });
  try {
    const both = (): void => {
      decode.planOnDevice(kvLens, { policy });
      run();
    };
    return besideRun(
      'plan on the device and run',
      await compare(both, run, { device, names: ['plan and run', 'run'] }),
    );
  } finally {
    kvLens.dispose();
  }
}

/** The same where two wrappers take turns: while one's step runs, a branch of the graph plans the other's. */
async function planAhead(
  { device }: BenchContext,
  wrappers: readonly [BatchDecode, BatchDecode],
  run: (wrapper: BatchDecode) => void,
  lengths: Int32Array,
  policy: DevicePolicy,
): Promise<DeviceRow> {
  const kvLens = fromHost(lengths, { dtype: 'int32', device });
  const [stream, branch] = [device.stream, device.createStream()];
  const [forked, joined] = [device.createEvent(), device.createEvent()];
  try {
    for (const wrapper of wrappers) wrapper.planOnDevice(kvLens, { policy });
    const both = (i: number): void => {
      branch.wait(stream.record(forked));
      wrappers[1 - i].planOnDevice(kvLens, { policy, stream: branch });
      run(wrappers[i]);
      stream.wait(branch.record(joined));
    };
    const names = ['plan ahead and run', 'run'] as const;
    const verdict = await compare(both, (i) => run(wrappers[i]), { device, names, rotate: 2 });
    return besideRun('plan a step ahead and run', verdict);
  } finally {
    for (const resource of [kvLens, forked, joined, branch]) resource.dispose();
  }
}

type DeviceRow = Pick<ResultRow, 'what' | 'medianUs' | 'minUs' | 'spreadPct' | 'floorUs' | 'peers'>;

function besideRun(what: string, { a, b }: Verdict): DeviceRow {
  return {
    what,
    medianUs: round(a.median / 1e3),
    minUs: round(a.min / 1e3),
    spreadPct: round(a.spreadPct),
    floorUs: null,
    peers: { 'run alone': round(b.median / 1e3) },
  };
}

/** Batches of exactly this many requests. */
async function batchesOf(batch: number): Promise<{ lengths: Int32Array[]; trace: string }> {
  const trace = await loadTrace();
  const drawn = snapshots(trace, { concurrency: batch, count: 4 * NUM_BATCHES, seed: 1 });
  const full = drawn.map(({ kvLens }) => Int32Array.from(kvLens)).filter(({ length }) => length === batch);
  return { lengths: full.slice(0, NUM_BATCHES), trace: trace.name };
}
