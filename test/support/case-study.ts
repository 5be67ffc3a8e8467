/**
 * The nine items of FlashInfer's issue 187 ("Make flashinfer kernels cuda graphs friendly"), a named case or two each, for
 * any device; docs/architecture.md lists them.
 */
import assert from 'node:assert/strict';
import { BatchDecode } from '../../src/attention/batch-decode';
import { BatchPrefill } from '../../src/attention/batch-prefill';
import { PageTable } from '../../src/attention/page-table';
import { PagedKvCache } from '../../src/attention/paged-kv';
import { reference } from '../../src/attention/reference';
import type { QueryDType } from '../../src/attention/variant';
import type { Buffer } from '../../src/device/buffer';
import type { Device } from '../../src/device/device';
import { capture } from '../../src/graph/capture';
import type { GraphExec } from '../../src/graph/graph-exec';
import type { Machine } from '../../src/schedule/machine';
import { policies } from '../../src/schedule/policies/known';
import { full } from '../../src/tensor/create';
import { normal } from '../../src/tensor/random';
import type { Tensor } from '../../src/tensor/tensor';
import { lseError, outputError } from './attention';
import { queued } from './attention-features';
import type { Register } from './cases';

const HEADS = { numQoHeads: 8, numKvHeads: 2, headDim: 64 };
const MAX_BATCH = 6;
const MAX_TOKENS = 160;
const NUM_PAGES = 640;
const CAPACITY = { maxBatch: MAX_BATCH, maxQoTokens: MAX_TOKENS, maxPages: NUM_PAGES };
/** Decode takes a few query tokens at most: one here, so that each device takes its decode kernel. */
const DECODE_CAPACITY = { maxBatch: MAX_BATCH, maxPages: NUM_PAGES };

export interface CaseStudyOptions {
  readonly dtype: QueryDType;
  /** Relative L2 error that an output may have. */
  readonly bound: number;
  /** Machine to plan for; default: the device's. */
  readonly machine?: Machine;
}

/** Page table of requests whose pages lie anywhere in the pool. */
function pagesFor(kvLens: readonly number[]): PageTable {
  const indptr = [0];
  const indices: number[] = [];
  let next = 5;
  for (const length of kvLens) {
    for (let page = 0; page < Math.ceil(length / 16); page++) {
      indices.push(next % NUM_PAGES);
      next += 7;
    }
    indptr.push(indices.length);
  }
  return new PageTable({ pagedKvIndptr: indptr, pagedKvIndices: indices, kvLens, pageSize: 16, numPages: NUM_PAGES });
}

const ones = (n: number): number[] => Array<number>(n).fill(1);

/** A device with a cache, wrappers and outputs for all items. */
export class CaseStudy {
  private constructor(
    readonly device: Device,
    readonly options: CaseStudyOptions,
    readonly cache: PagedKvCache,
    readonly decode: BatchDecode,
    readonly prefill: BatchPrefill,
    private readonly q: Tensor,
    private readonly out: Tensor,
    private readonly lse: Tensor,
  ) {}

  static async create(device: Device, options: CaseStudyOptions): Promise<CaseStudy> {
    const { dtype, machine } = options;
    const cache = new PagedKvCache({ ...HEADS, device, numPages: NUM_PAGES, pageSize: 16, dtype });
    for (const [pool, seed] of [
      [cache.k, 1],
      [cache.v, 2],
    ] as const) {
      const values = normal([...pool.shape], { seed, device });
      pool.copyFrom(values);
      values.dispose();
    }
    const variant = { ...HEADS, device, dtype, machine };
    const decode = await BatchDecode.create({ ...variant, capacity: DECODE_CAPACITY });
    const prefill = await BatchPrefill.create({ ...variant, capacity: CAPACITY });
    const q = normal([MAX_TOKENS, HEADS.numQoHeads, HEADS.headDim], { seed: 3, dtype, device });
    const out = full([MAX_TOKENS, HEADS.numQoHeads, HEADS.headDim], 0, { dtype, device });
    const lse = full([MAX_TOKENS, HEADS.numQoHeads], 0, { device });
    return new CaseStudy(device, options, cache, decode, prefill, q, out, lse);
  }

  dispose(): void {
    for (const thing of [this.decode, this.prefill, this.q, this.out, this.lse, this.cache]) thing.dispose();
  }

  poison(): void {
    this.out.fill(Number.NaN);
    this.lse.fill(Number.NaN);
  }

  run(wrapper: BatchDecode | BatchPrefill): void {
    const { q, cache, out, lse } = this;
    this.poison();
    wrapper.run(q, cache, { out, lse });
  }

  replay(exec: GraphExec): void {
    this.poison();
    exec.replay();
  }

  /** Rows of the batch are right, and the others still NaN. */
  async check(wrapper: BatchDecode | BatchPrefill, table: PageTable, qoLens: readonly number[]): Promise<void> {
    const expected = await reference(this.q, this.cache, table, wrapper.variant, qoLens);
    const [output, lse] = (await Promise.all([this.out.data(), this.lse.data()])) as [Float32Array, Float32Array];
    const error = outputError({ output, lse, expected });
    assert.ok(error <= this.options.bound, `output ${error}, bound ${this.options.bound}`);
    const logError = lseError({ output, lse, expected });
    assert.ok(logError <= 1e-5, `LSE ${logError}`);
    assert.ok(
      output.subarray(expected.output.length).every(Number.isNaN),
      'output rows beyond the batch are untouched',
    );
    assert.ok(lse.subarray(expected.lse.length).every(Number.isNaN), 'LSE beyond the batch is untouched');
  }

  anotherDecode(): Promise<BatchDecode> {
    const { device, options } = this;
    const { dtype, machine } = options;
    return BatchDecode.create({ ...HEADS, device, dtype, machine, capacity: DECODE_CAPACITY });
  }

  /** A decode graph captured with one small request. */
  captureDecode(decode: BatchDecode = this.decode): GraphExec {
    decode.plan(pagesFor([20]));
    const { q, cache, out, lse } = this;
    return capture(this.device, () => void decode.run(q, cache, { out, lse })).instantiate();
  }

  /** A prefill graph captured with one small request. */
  capturePrefill(): GraphExec {
    this.prefill.plan([2], pagesFor([20]));
    const { q, cache, out, lse } = this;
    return capture(this.device, () => void this.prefill.run(q, cache, { out, lse })).instantiate();
  }
}

/** Registers the cases. `of` is asked inside of them, where the device is open. */
export function registerCaseStudy(test: Register, of: () => CaseStudy): void {
  const item = (name: string, body: (study: CaseStudy) => Promise<void>): void => {
    test(name, { timeout: 60_000 }, () => body(of()));
  };

  item('1: paged prefill returns LSE', async (study) => {
    const table = pagesFor([70, 5]);
    study.prefill.plan([12, 5], table);
    study.run(study.prefill);
    await study.check(study.prefill, table, [12, 5]);
  });

  item('2: a captured run follows another batch size', async (study) => {
    const exec = study.captureDecode();
    for (const kvLens of [[300, 17, 1], [40], [9, 9, 9, 9, 9, 9], []]) {
      study.decode.plan(pagesFor(kvLens));
      study.replay(exec);
      await study.check(study.decode, pagesFor(kvLens), ones(kvLens.length));
    }
    exec.dispose();
  });

  item('2, prefill: a captured run follows another batch size', async (study) => {
    const exec = study.capturePrefill();
    for (const [qoLens, kvLens] of [
      [
        [7, 30, 8],
        [100, 33, 8],
      ],
      [[1], [500]],
      [[], []],
      [
        [5, 0, 20, 20, 20, 20],
        [5, 0, 300, 20, 21, 22],
      ],
    ]) {
      const table = pagesFor(kvLens);
      study.prefill.plan(qoLens, table);
      study.replay(exec);
      await study.check(study.prefill, table, qoLens);
    }
    exec.dispose();
  });

  item('3: tiles are dispatched from a queue in device memory', async (study) => {
    const exec = study.captureDecode();
    for (const kvLens of [
      [1000, 3],
      [64, 640, 6],
    ]) {
      study.decode.plan(pagesFor(kvLens), { policy: queued });
      for (let again = 0; again < 3; again++) {
        study.replay(exec);
        await study.check(study.decode, pagesFor(kvLens), ones(kvLens.length));
      }
    }
    exec.dispose();
  });

  item('3, prefill: tiles are dispatched from a queue in device memory', async (study) => {
    const exec = study.capturePrefill();
    for (const [qoLens, kvLens] of [
      [
        [100, 3],
        [1000, 3],
      ],
      [
        [64, 30, 6],
        [64, 640, 6],
      ],
    ]) {
      const table = pagesFor(kvLens);
      study.prefill.plan(qoLens, table, { policy: queued });
      for (let again = 0; again < 3; again++) {
        study.replay(exec);
        await study.check(study.prefill, table, qoLens);
      }
    }
    exec.dispose();
  });

  item('4: the tile count changes between replays', async (study) => {
    const exec = study.captureDecode();
    const table = pagesFor([2000, 900]);
    const counts = new Set<number>();
    for (const policy of [policies.noSplit, policies.fixedSplitSize(32), policies.fixedSplitCount(3)]) {
      counts.add(study.decode.plan(table, { policy }).schedule.numTiles);
      study.replay(exec);
      await study.check(study.decode, table, [1, 1]);
    }
    assert.equal(counts.size, 3);
    exec.dispose();
  });

  item('5: a replay depends on device memory alone', async (study) => {
    // Two wrappers of their own: what one believes about its memory is wrong at the end.
    const [decode, other] = await Promise.all([study.anotherDecode(), study.anotherDecode()]);
    const exec = study.captureDecode(decode);
    const first = pagesFor([500, 20]);
    decode.plan(first);
    study.replay(exec);
    // Replanned before the wrapper is asked for anything: what was enqueued follows the plan that it stood behind.
    decode.plan(pagesFor([3]));
    await study.check(decode, first, [1, 1]);

    // Another wrapper's plan and all that it points to, copied into this one's memory behind its back: the replay follows
    // the memory, whatever this wrapper believes.
    const table = pagesFor([70, 900, 1]);
    other.plan(table, { policy: policies.fixedSplitSize(64) });
    type Inside = { workspace: { buffers: Buffer[] } };
    const [from, to] = [other, decode].map((wrapper) => (wrapper as unknown as Inside).workspace.buffers);
    for (const [i, buffer] of to.entries()) buffer.copyFrom(from[i]);
    study.replay(exec);
    await study.check(decode, table, [1, 1, 1]);
    for (const thing of [exec, decode, other]) thing.dispose();
  });

  item('6: split, merge and mask are all read from device memory', async (study) => {
    const exec = study.captureDecode();
    for (const kvLens of [[20], [1500], [1200, 300]]) {
      const table = pagesFor(kvLens);
      const { schedule } = study.decode.plan(table, { policy: policies.fixedSplitSize(128) });
      study.replay(exec);
      assert.equal(schedule.numMergeGroups > 0, Math.max(...kvLens) > 128);
      await study.check(study.decode, table, ones(kvLens.length));
    }
    exec.dispose();
  });

  item('6, prefill: split, merge and mask are all read from device memory', async (study) => {
    const exec = study.capturePrefill();
    for (const [qoLens, kvLens] of [
      [[1], [1500]],
      [[40], [40]],
      [
        [3, 20],
        [1200, 300],
      ],
    ]) {
      const table = pagesFor(kvLens);
      const { schedule } = study.prefill.plan(qoLens, table);
      study.replay(exec);
      assert.equal(schedule.numMergeGroups > 0, Math.max(...kvLens) > 128);
      await study.check(study.prefill, table, qoLens);
    }
    exec.dispose();
  });

  item('7: the number of query tiles is in device memory', async (study) => {
    const exec = study.capturePrefill();
    const queryTiles = new Set<number>();
    for (const qoLens of [[4], [150], [17, 17, 17]]) {
      const table = pagesFor(qoLens);
      queryTiles.add(study.prefill.plan(qoLens, table, { policy: policies.noSplit }).schedule.numTiles);
      study.replay(exec);
      await study.check(study.prefill, table, qoLens);
    }
    assert.equal(queryTiles.size, 3);
    exec.dispose();
  });

  for (const kind of ['decode', 'prefill'] as const) {
    const label = kind === 'decode' ? '8' : '8, prefill';
    item(`${label}: a bad page index is skipped and counted on the device`, async (study) => {
      // The host doesn't know the pool's size here, so only the device can find out.
      for (const bad of [100_000, NUM_PAGES]) {
        const table = new PageTable({ pagedKvIndptr: [0, 3], pagedKvIndices: [4, bad, 9], kvLens: [48], pageSize: 16 });
        const without = new PageTable({ pagedKvIndptr: [0, 2], pagedKvIndices: [4, 9], kvLens: [32], pageSize: 16 });
        Object.defineProperty(table, 'maxPage', { value: 9 });
        const wrapper = study[kind];
        const qoLens = kind === 'decode' ? [1] : [9];
        if (wrapper instanceof BatchPrefill) wrapper.plan(qoLens, table, { policy: policies.noSplit });
        else wrapper.plan(table, { policy: policies.noSplit });
        study.run(wrapper);
        await study.check(wrapper, without, qoLens);
        assert.ok((await wrapper.status()).skippedPages > 0, 'the skipped page is counted');
      }
    });
  }

  item('9: padded inputs, and shorter replays leave padding untouched', async (study) => {
    const exec = study.captureDecode();
    for (const kvLens of [
      [10, 20, 30, 40, 50, 60],
      [10, 20],
    ]) {
      study.decode.plan(pagesFor(kvLens));
      study.replay(exec);
      await study.check(study.decode, pagesFor(kvLens), ones(kvLens.length));
    }
    assert.throws(() => study.decode.plan(pagesFor(ones(7))), {
      message: 'plan: the batch needs maxBatch = 7, BatchDecode was made for 6; raise the option capacity.maxBatch.',
    });
    exec.dispose();
  });
}
