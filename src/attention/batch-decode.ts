/** Decode attention: one query token for each request (a few with speculative decoding), over a paged KV cache. */
import { defaultDevice } from '../device/device';
import type { Launch } from '../device/stream';
import { WarpbookError } from '../errors';
import { policies } from '../schedule/policies/known';
import type { Tensor } from '../tensor/tensor';
import { BatchAttention } from './batch-attention';
import type { AttentionResult, BatchAttentionOptions, PlanOptions, RunOptions } from './batch-options';
import { batchPages, cacheOperand, resolvePages } from './kv-operand';
import type { PageTable } from './page-table';
import type { PagedKvCache } from './paged-kv';
import type { Plan } from './plan';
import { prepareKernel } from './prepare-kernel';

/** Options of `BatchDecode.plan()`. */
export interface DecodePlanOptions extends PlanOptions {
  /** Query tokens of each request, [batchSize]; default one each. Needs `capacity.maxQoTokens`. */
  qoLens?: ArrayLike<number>;
}

/**
 * A decode wrapper of fixed capacity.
 *
 * ```ts
 * const decode = await BatchDecode.create({ numQoHeads: 32, numKvHeads: 8, headDim: 128, capacity: { maxBatch: 8 } });
 * decode.plan(cache.pageTable(requests));
 * const { output, lse } = decode.run(q, cache);
 * ```
 */
export class BatchDecode extends BatchAttention {
  private table: PageTable | undefined;

  /** Makes a wrapper; compiles and loads what it may need, so that nothing does during a capture. */
  static async create(options: BatchAttentionOptions): Promise<BatchDecode> {
    const { device = defaultDevice() } = options;
    const defaults = { causal: false, paged: true, policy: policies.adaptive };
    return new BatchDecode('BatchDecode', device, options, defaults, await prepareKernel(device, options, defaults));
  }

  /**
   * Plans a batch: runs the policy and enqueues the rewriting of the workspace. Never waits for the device.
   *
   * New lengths in an Int32Array, a query token each, by `adaptive`, `headGroups`, `binarySearch` or `noSplit` as they are, are what a decode loop asks
   * for at each step: native code plans them, word for word as the policy would, and the plan's schedule is made when it is looked at.
   * @param kv the batch's page table, or only new lengths (tokens, [batchSize]) within the pages planned before
   * @throws WarpbookError CAPACITY_EXCEEDED, INVALID_PAGE_TABLE, INVALID_SCHEDULE, INVALID_POLICY, PLAN_QUEUE_FULL; the
   * plan of before stays in force then
   */
  plan(kv: PageTable | ArrayLike<number>, options: DecodePlanOptions = {}): Plan {
    if (this.table && kv instanceof Int32Array && !options.qoLens) {
      const plan = this.planLengths(kv, this.table, options);
      if (plan) return plan;
    }
    const table = resolvePages(kv, this.table, this.pageSize);
    const pages = batchPages(table, kv);
    const plan = this.planBatch(table.kvLens, options.qoLens, pages, table.maxPage, options);
    this.table = table;
    return plan;
  }

  /**
   * Enqueues attention of the planned batch.
   * @param q [at least the planned query tokens, numQoHeads, headDim]; surplus rows are padding, their outputs stay untouched
   * @param cache the cache that the page table belongs to
   * @throws WarpbookError SHAPE_MISMATCH, DTYPE_MISMATCH, DEVICE_MISMATCH, DISPOSED, INVALID_PAGE_TABLE, CAPTURE_FORBIDDEN
   */
  run(q: Tensor, cache: PagedKvCache, options: RunOptions = {}): AttentionResult {
    if (cache.pageSize !== this.pageSize) {
      throw new WarpbookError(
        'SHAPE_MISMATCH',
        `The cache has pages of ${cache.pageSize} tokens; BatchDecode was made for ${this.pageSize}.`,
      );
    }
    return this.launch(q, cacheOperand(cache, this.variant), options);
  }

  /**
   * @internal The launch of {@link run} as an object, with the outputs that are given; the grid is the machine's. Whoever
   * enqueues it sees to the plan and to the order of streams.
   */
  bindRun(q: Tensor, cache: PagedKvCache, outputs: AttentionResult): Launch {
    return this.bindLaunch(q, cacheOperand(cache, this.variant), outputs);
  }
}
