/**
 * Plan and replay, over and over, with lengths drawn from a request trace: bytes, handles and memory of the process must
 * not drift, and what comes out must stay right. Shared by the device tests and the unit tests.
 */
import assert from 'node:assert/strict';
import { getHeapStatistics, setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { BatchDecode } from '../../src/attention/batch-decode';
import { PagedKvCache } from '../../src/attention/paged-kv';
import type { reference } from '../../src/attention/reference';
import type { QueryDType } from '../../src/attention/variant';
import type { Device } from '../../src/device/device';
import { capture } from '../../src/graph/capture';
import type { NativeLiveCounts } from '../../src/native/addon';
import type { Machine } from '../../src/schedule/machine';
import { policies } from '../../src/schedule/policies/known';
import { empty } from '../../src/tensor/create';
import { drawInto } from '../../src/tensor/draw';
import { RANDOM_DISTRIBUTION } from '../../src/tensor/programs';
import { normal } from '../../src/tensor/random';
import { ceilDiv } from '../../src/units';
import { loadTrace } from '../../src/workload/load-trace';
import { snapshots } from '../../src/workload/snapshot';
import { lseError, outputError } from './attention';

export interface SoakOptions {
  /** Cycles of plan and replay, a multiple of 10. */
  readonly cycles: number;
  /** The output is compared with the reference this often, in cycles. */
  readonly checkEvery: number;
  readonly dtype: QueryDType;
  /** Relative L2 error that an output may have. */
  readonly bound: number;
  /** Machine to plan for; default: the device's. */
  readonly machine?: Machine;
  /** Longer requests of the trace are cut to this; default: no limit. */
  readonly maxKvLen?: number;
}

export interface SoakReport {
  readonly cycles: number;
  readonly checked: number;
  readonly seconds: number;
  /** Median of plan(), policy and packing included. */
  readonly planUs: number;
  /** Memory of the process after each tenth, without what JavaScript's heap has taken from the system. */
  readonly nativeBytes: readonly number[];
  /** What JavaScript's heap has taken from the system after each tenth, free or not. */
  readonly committedBytes: readonly number[];
  /** What is in use in JavaScript's heap after each tenth. */
  readonly heapBytes: readonly number[];
  readonly worst: number;
}

const HEADS = { numQoHeads: 8, numKvHeads: 2, headDim: 64 };
const CONCURRENCY = 8;
const PAGE_SIZE = 16;
/**
 * What native memory, and what is in use in JavaScript's heap, may grow by from the middle tenths to the last three, when pools of
 * allocators and compiled code have settled: at 100,000 cycles some 200 bytes a cycle. How much of its heap V8 keeps from the system,
 * in use or not, is V8's affair and comes in steps of megabytes: it is told, not bounded.
 */
const GROWTH_BOUND = 8 * 2 ** 20;
/** How often requests leave and others come: the pages of the batch change, not only its lengths. */
const REBATCH_EVERY = 97;
/** Parts of the run after which memory is looked at. */
const TENTHS = 10;

const POLICIES = [policies.binarySearch, policies.headGroups, policies.noSplit, policies.fixedSplitCount(6)];

/** @throws AssertionError at the first drift or wrong output */
export async function soak(device: Device, options: SoakOptions, referenceOf: typeof reference): Promise<SoakReport> {
  const { cycles, dtype, machine, maxKvLen = Number.POSITIVE_INFINITY } = options;
  const trace = await loadTrace();
  const batches = snapshots(trace, { concurrency: CONCURRENCY, count: 4096, seed: 5 }).map(({ kvLens }) =>
    kvLens.map((kvLen) => Math.min(kvLen, maxKvLen)),
  );
  const longest = batches.reduce((most, kvLens) => Math.max(most, ...kvLens), 0);
  const pagesEach = ceilDiv(longest, PAGE_SIZE);
  const numPages = CONCURRENCY * pagesEach;
  const cache = new PagedKvCache({ ...HEADS, device, dtype, pageSize: PAGE_SIZE, numPages });
  const draw = { distribution: RANDOM_DISTRIBUTION.normal, offset: 0, scale: 1, ceiling: 0 };
  drawInto(cache.k, 1, draw);
  drawInto(cache.v, 2, draw);
  const requests = Array.from({ length: CONCURRENCY }, () => cache.allocate(longest));
  const capacity = { maxBatch: CONCURRENCY, maxPages: numPages };
  const decode = await BatchDecode.create({ ...HEADS, device, dtype, machine, capacity });
  const shape = [CONCURRENCY, HEADS.numQoHeads, HEADS.headDim];
  const q = normal(shape, { seed: 3, dtype, device });
  const out = empty(shape, { dtype, device });
  const lse = empty([CONCURRENCY, HEADS.numQoHeads], { device });
  const resources: { dispose(): void }[] = [cache, decode, q, out, lse];

  let table = cache.pageTable(requests);
  decode.plan(table);
  const graph = capture(device, () => void decode.run(q, cache, { out, lse }));
  const exec = graph.instantiate();
  resources.push(graph, exec);

  const planUs: number[] = [];
  let [worst, checked] = [0, 0];
  const footprints: Footprint[] = [];
  const began = process.hrtime.bigint();
  for (let cycle = 0; cycle < cycles; cycle++) {
    // Now and then another batch, of another size, which begins with a request that the one before had elsewhere: its
    // pages move in the list.
    const round = Math.floor(cycle / REBATCH_EVERY);
    const kvLens = batches[cycle % batches.length].slice(0, CONCURRENCY - (round % 3));
    const isNew = cycle % REBATCH_EVERY === 0 || kvLens.length !== table.batchSize;
    if (isNew) {
      const first = round % CONCURRENCY;
      table = cache.pageTable([...requests.slice(first), ...requests.slice(0, first)].slice(0, kvLens.length));
    }
    table = table.withLengths(kvLens);
    const policy = POLICIES[cycle % POLICIES.length];
    await decode.ready();
    const start = process.hrtime.bigint();
    decode.plan(isNew ? table : kvLens, { policy });
    if (planUs.length < 10_000) planUs.push(Number(process.hrtime.bigint() - start) / 1000);
    const check = cycle % options.checkEvery === options.checkEvery - 1;
    if (check) {
      out.fill(Number.NaN);
      lse.fill(Number.NaN);
    }
    exec.replay();
    if (check) {
      const [output, logs] = (await Promise.all([out.data(), lse.data()])) as Float32Array[];
      const expected = await referenceOf(q, cache, table, decode.variant);
      const outcome = { output, lse: logs, expected };
      worst = Math.max(worst, outputError(outcome));
      checked++;
      assert.ok(worst <= options.bound, `output ${worst} in cycle ${cycle}, lengths ${kvLens}`);
      assert.ok(lseError(outcome) <= 1e-5, `LSE in cycle ${cycle}, lengths ${kvLens}`);
    }
    if ((cycle + 1) % Math.floor(cycles / TENTHS) === 0) footprints.push(await footprint(device));
  }
  const seconds = Number(process.hrtime.bigint() - began) / 1e9;
  const [start, end] = [footprints[0], footprints[TENTHS - 1]];
  assert.equal(end.usedBytes, start.usedBytes, 'bytes of the device');
  assert.deepEqual(end.live, start.live, 'live native objects');
  const nativeBytes = footprints.map(({ native }) => native);
  const committedBytes = footprints.map(({ committed }) => committed);
  const heapBytes = footprints.map(({ heap }) => heap);
  const grown = growthText({ nativeBytes, committedBytes, heapBytes });
  // A leak lifts every later tenth; what comes and goes (a collection's heap, an allocator's arena) does not.
  for (const bytes of [nativeBytes, heapBytes]) {
    const [early, late] = [bytes.slice(TENTHS / 2 - 1, TENTHS - 3), bytes.slice(TENTHS - 3)].map((tenths) =>
      Math.min(...tenths),
    );
    assert.ok(late - early <= GROWTH_BOUND, grown);
  }
  for (const resource of resources) resource.dispose();
  planUs.sort((a, b) => a - b);
  return {
    cycles,
    checked,
    seconds,
    planUs: planUs[planUs.length >> 1],
    nativeBytes,
    committedBytes,
    heapBytes,
    worst,
  };
}

interface Footprint {
  readonly usedBytes: number;
  readonly live: NativeLiveCounts;
  readonly native: number;
  readonly committed: number;
  readonly heap: number;
}

/** After all work and a collection: what is left is held by somebody. */
async function footprint(device: Device): Promise<Footprint> {
  await device.synchronize();
  setFlagsFromString('--expose-gc');
  (runInNewContext('gc') as () => void)();
  // Finalizers run in a later turn.
  await new Promise((resolve) => setImmediate(resolve));
  const backend = device.state.backend as unknown as { liveCounts(): NativeLiveCounts };
  const { rss, heapUsed: heap } = process.memoryUsage();
  const committed = getHeapStatistics().total_physical_size;
  return { usedBytes: device.memory().usedBytes, live: backend.liveCounts(), native: rss - committed, committed, heap };
}

function mebibytes(bytes: readonly number[]): string {
  return bytes.map((count) => Math.round(count / 2 ** 20)).join(', ');
}

type Growth = Pick<SoakReport, 'nativeBytes' | 'committedBytes' | 'heapBytes'>;

function growthText({ nativeBytes, committedBytes, heapBytes }: Growth): string {
  return (
    `after each tenth, MiB: native ${mebibytes(nativeBytes)}; heap ${mebibytes(heapBytes)} in use, ` +
    `${mebibytes(committedBytes)} committed`
  );
}

export function soakText(report: SoakReport): string {
  const { cycles, checked, seconds, planUs, worst } = report;
  return (
    `${cycles} cycles in ${seconds.toFixed(1)} s, plan ${planUs.toFixed(1)} µs, ${checked} checked (worst ` +
    `${worst.toExponential(1)}); ${growthText(report)}`
  );
}
