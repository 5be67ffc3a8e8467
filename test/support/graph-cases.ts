/**
 * Graphs that outlive the batch they were captured with, as FlashInfer's CUDA-graph tests have them and further: captured
 * with one page a request, replayed on any later plan. Each replay must be right, and have the bits of an eager run.
 * Shared by the device tests and the unit tests.
 */
import assert from 'node:assert/strict';
import { BatchDecode } from '../../src/attention/batch-decode';
import { BatchPrefill } from '../../src/attention/batch-prefill';
import { PagedKvCache } from '../../src/attention/paged-kv';
import type { reference } from '../../src/attention/reference';
import type { QueryDType } from '../../src/attention/variant';
import type { Device } from '../../src/device/device';
import { capture } from '../../src/graph/capture';
import type { GraphExec } from '../../src/graph/graph-exec';
import type { Machine } from '../../src/schedule/machine';
import { policies } from '../../src/schedule/policies/known';
import type { Policy } from '../../src/schedule/schedule';
import { empty } from '../../src/tensor/create';
import { drawInto } from '../../src/tensor/draw';
import { RANDOM_DISTRIBUTION } from '../../src/tensor/programs';
import { normal } from '../../src/tensor/random';
import type { Tensor } from '../../src/tensor/tensor';
import { ceilDiv } from '../../src/units';
import { lseError, outputError } from './attention';
import { queued } from './attention-features';
import type { Register } from './cases';

export interface GraphCaseOptions {
  readonly numQoHeads: number;
  readonly numKvHeads: number;
  readonly headDim: number;
  readonly dtype: QueryDType;
  /** Relative L2 error that an output may have. */
  readonly bound: number;
  /** Machine to plan for; default: the device's. */
  readonly machine?: Machine;
  /** What each request has when it is at its full length. */
  readonly fullLen: number;
  /** Replays of the same plan that must have the same bits. */
  readonly replays: number;
}

const BATCH = 6;
const PAGE_SIZE = 16;
const LONG = 100_000;
/** Rows of q and of the outputs: more than any batch here, so that padding is seen to stay as it is. */
const ROWS = 64;

const POLICIES: readonly (readonly [name: string, policy: Policy])[] = [
  ['noSplit', policies.noSplit],
  ['fixedSplitCount', policies.fixedSplitCount(5)],
  ['fixedSplitSize', policies.fixedSplitSize(512)],
  ['binarySearch', policies.binarySearch],
  ['binarySearchByBatchSize', policies.binarySearchByBatchSize],
  ['headGroups', policies.headGroups],
  ['a queue', (problem, machine) => queued(problem, machine)],
];

/** A wrapper, its operands, and a graph of its run that was captured with one page a request. */
export class GraphCase {
  private exec!: GraphExec;

  private constructor(
    readonly device: Device,
    private readonly options: GraphCaseOptions,
    private readonly referenceOf: typeof reference,
    private readonly cache: PagedKvCache,
    private readonly requests: readonly number[],
    readonly decode: BatchDecode,
    readonly prefill: BatchPrefill,
    private readonly q: Tensor,
    private readonly out: Tensor,
    private readonly lse: Tensor,
  ) {}

  static async create(device: Device, options: GraphCaseOptions, referenceOf: typeof reference): Promise<GraphCase> {
    const { numQoHeads, numKvHeads, headDim, dtype, machine, fullLen } = options;
    const heads = { numQoHeads, numKvHeads, headDim };
    // The first request may get long.
    const reserved = Array.from({ length: BATCH }, (_, r) => (r === 0 ? LONG : fullLen));
    const numPages = reserved.reduce((sum, length) => sum + ceilDiv(length, PAGE_SIZE), 0);
    const cache = new PagedKvCache({ ...heads, device, dtype, pageSize: PAGE_SIZE, numPages });
    const draw = { distribution: RANDOM_DISTRIBUTION.normal, offset: 0, scale: 1, ceiling: 0 };
    drawInto(cache.k, 1, draw);
    drawInto(cache.v, 2, draw);
    const requests = reserved.map((length) => cache.allocate(length));
    const splits = ceilDiv(LONG, 64) + BATCH * ceilDiv(fullLen, 64);
    const capacity = { maxBatch: BATCH, maxPages: numPages, maxTiles: numKvHeads * splits * 2 };
    const variant = { ...heads, device, dtype, machine };
    const decode = await BatchDecode.create({ ...variant, capacity });
    const prefill = await BatchPrefill.create({ ...variant, capacity: { ...capacity, maxQoTokens: ROWS } });
    const q = normal([ROWS, numQoHeads, headDim], { seed: 3, dtype, device });
    const out = empty([ROWS, numQoHeads, headDim], { dtype, device });
    const lse = empty([ROWS, numQoHeads], { device });
    return new GraphCase(device, options, referenceOf, cache, requests, decode, prefill, q, out, lse);
  }

  dispose(): void {
    this.exec?.dispose();
    for (const thing of [this.decode, this.prefill, this.q, this.out, this.lse, this.cache]) thing.dispose();
  }

  /** Plans the first requests of the cache at other lengths. */
  plan(
    wrapper: BatchDecode | BatchPrefill,
    kvLens: readonly number[],
    policy: Policy,
    qoLens?: readonly number[],
  ): void {
    const table = this.table(kvLens);
    if (wrapper instanceof BatchPrefill) wrapper.plan(qoLens ?? kvLens.map(() => 1), table, { policy });
    else wrapper.plan(table, { policy });
  }

  private table(kvLens: readonly number[]) {
    return this.cache.pageTable(this.requests.slice(0, kvLens.length)).withLengths(kvLens);
  }

  capture(wrapper: BatchDecode | BatchPrefill): void {
    this.exec?.dispose();
    const { q, cache, out, lse } = this;
    const graph = capture(this.device, () => void wrapper.run(q, cache, { out, lse }));
    this.exec = graph.instantiate();
    graph.dispose();
  }

  private poison(): void {
    this.out.fill(Number.NaN);
    this.lse.fill(Number.NaN);
  }

  /** Output and LSE as bits. */
  private async bits(): Promise<[Uint8Array, Uint8Array]> {
    return [await bitsOf(this.out), await bitsOf(this.lse)];
  }

  async eagerBits(wrapper: BatchDecode | BatchPrefill): Promise<[Uint8Array, Uint8Array]> {
    this.poison();
    wrapper.run(this.q, this.cache, { out: this.out, lse: this.lse });
    return this.bits();
  }

  /** The plan of now, eager and replayed over and over: right, and the same bits each time. */
  async check(
    wrapper: BatchDecode | BatchPrefill,
    kvLens: readonly number[],
    qoLens: readonly number[] = kvLens.map(() => 1),
    replays: number = this.options.replays,
  ): Promise<void> {
    const eager = await this.eagerBits(wrapper);
    const [output, lse] = (await Promise.all([this.out.data(), this.lse.data()])) as Float32Array[];
    const expected = await this.referenceOf(this.q, this.cache, this.table(kvLens), wrapper.variant, qoLens);
    const [error, logError] = [outputError({ output, lse, expected }), lseError({ output, lse, expected })];
    assert.ok(error <= this.options.bound, `output ${error} with lengths ${kvLens}`);
    assert.ok(logError <= 1e-5, `LSE ${logError} with lengths ${kvLens}`);
    assert.ok(output.subarray(expected.output.length).every(Number.isNaN), 'padding is untouched');
    for (let round = 0; round < replays; round++) {
      this.poison();
      this.exec.replay();
      const replayed = await this.bits();
      assert.ok(sameBits(replayed[0], eager[0]) && sameBits(replayed[1], eager[1]), `replay ${round} of ${kvLens}`);
    }
  }

  /** Replays a plan without waiting, and keeps what it gave. */
  replayInto(kept: Tensor): void {
    this.exec.replay();
    kept.copyFrom(this.out);
  }

  newOutput(): Tensor {
    const { numQoHeads, headDim, dtype } = this.options;
    return empty([ROWS, numQoHeads, headDim], { dtype, device: this.device });
  }
}

/** The bytes of a tensor: as numbers, NaN would differ from itself and −0 equal 0. */
async function bitsOf(tensor: Tensor): Promise<Uint8Array> {
  const raw = (await tensor.raw()) as Uint8Array;
  return new Uint8Array(raw.buffer, raw.byteOffset, raw.byteLength);
}

function sameBits(a: Uint8Array, b: Uint8Array): boolean {
  return Buffer.compare(a, b) === 0;
}

/** Registers the cases. `of` is asked inside of them, where the device is open. */
export function registerGraphCases(test: Register, of: () => GraphCase, { fullLen }: GraphCaseOptions): void {
  const onePage = Array.from({ length: BATCH }, () => PAGE_SIZE);
  const full = Array.from({ length: BATCH }, () => fullLen);

  for (const [name, policy] of POLICIES) {
    test(`captured at one page a request, replayed on anything: ${name}`, { timeout: 120_000 }, async () => {
      const graphs = of();
      const { decode } = graphs;
      graphs.plan(decode, onePage, policy);
      graphs.capture(decode);
      for (const kvLens of [
        onePage,
        [17, 48, 1, 32, 33, 16],
        full,
        [LONG, ...full.slice(1)],
        [5, 40],
        [0, fullLen, 0, 1],
      ]) {
        graphs.plan(decode, kvLens, policy);
        const isLong = kvLens[0] === LONG;
        await graphs.check(decode, kvLens, undefined, isLong ? 10 : undefined);
      }
    });
  }

  test('captured with one query token each, replayed on prefill and mixed batches', { timeout: 120_000 }, async () => {
    const graphs = of();
    const { prefill } = graphs;
    graphs.plan(prefill, onePage, policies.binarySearch);
    graphs.capture(prefill);
    for (const [qoLens, kvLens] of [
      [[1, 1, 1, 1, 1, 1], onePage],
      [
        [16, 1, 3, 7, 1, 20],
        [16, 500, 3, 40, 1, fullLen],
      ],
      [[64], [fullLen]],
      [
        [1, 0, 60],
        [LONG, 5, 60],
      ],
    ]) {
      graphs.plan(prefill, kvLens, policies.binarySearch, qoLens);
      await graphs.check(prefill, kvLens, qoLens, 10);
    }
  });

  test('one graph follows every policy in turn', { timeout: 60_000 }, async () => {
    const graphs = of();
    const { decode } = graphs;
    graphs.plan(decode, onePage, policies.noSplit);
    graphs.capture(decode);
    for (const [, policy] of POLICIES) {
      graphs.plan(decode, full, policy);
      await graphs.check(decode, full, undefined, 3);
    }
  });

  test('replanning disturbs no replay in flight', { timeout: 60_000 }, async () => {
    const graphs = of();
    const { decode } = graphs;
    const plans = [full, onePage, [3, fullLen, 17], [fullLen]];
    graphs.plan(decode, onePage, policies.noSplit);
    graphs.capture(decode);
    const wanted: Uint8Array[] = [];
    for (const kvLens of plans) {
      graphs.plan(decode, kvLens, policies.binarySearch);
      wanted.push((await graphs.eagerBits(decode))[0]);
    }
    // Rows that a plan does not have keep what the replay before left there: compared are those that it has.
    const rowBytes = wanted[0].length / ROWS;
    const kept = Array.from({ length: 40 }, () => graphs.newOutput());
    for (const [round, tensor] of kept.entries()) {
      const kvLens = plans[round % plans.length];
      await decode.ready();
      graphs.plan(decode, kvLens, policies.binarySearch);
      graphs.replayInto(tensor);
    }
    for (const [round, tensor] of kept.entries()) {
      const end = plans[round % plans.length].length * rowBytes;
      const got = await bitsOf(tensor);
      assert.ok(sameBits(got.subarray(0, end), wanted[round % plans.length].subarray(0, end)), `round ${round}`);
      tensor.dispose();
    }
  });
}
