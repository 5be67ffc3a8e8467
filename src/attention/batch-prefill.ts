/** Prefill and append attention: any number of query tokens for each request, over a paged cache or ragged tensors. */
import { type Device, defaultDevice } from '../device/device';
import { WarpbookError } from '../errors';
import { policies } from '../schedule/policies/known';
import type { Policy } from '../schedule/schedule';
import type { Tensor } from '../tensor/tensor';
import { BatchAttention } from './batch-attention';
import type { AttentionResult, BatchAttentionOptions, PlanOptions, RunOptions } from './batch-options';
import { batchPages, cacheOperand, type RaggedKv, raggedOperand, resolvePages } from './kv-operand';
import { integers, PageTable } from './page-table';
import { PagedKvCache } from './paged-kv';
import type { Plan } from './plan';
import { type PreparedKernel, prepareKernel } from './prepare-kernel';

/** Options of {@link BatchPrefill.create}. */
export interface BatchPrefillOptions extends BatchAttentionOptions {
  /** Where keys and values lie: a paged cache (default), or tensors [numKvTokens, numKvHeads, headDim], requests in a row. */
  kv?: 'paged' | 'ragged';
}

function defaultsOf({ kv }: BatchPrefillOptions): { causal: boolean; paged: boolean; policy: Policy } {
  return { causal: true, paged: kv !== 'ragged', policy: policies.binarySearch };
}

/** A prefill wrapper of fixed capacity; causal unless told otherwise. Used as {@link BatchDecode} is. */
export class BatchPrefill extends BatchAttention {
  readonly kv: 'paged' | 'ragged';
  private table: PageTable | undefined;

  protected constructor(options: BatchPrefillOptions, device: Device, kernel: PreparedKernel) {
    super('BatchPrefill', device, options, defaultsOf(options), kernel);
    this.kv = options.kv ?? 'paged';
  }

  /** Makes a wrapper; compiles and loads what it may need, so that nothing does during a capture. */
  static async create(options: BatchPrefillOptions): Promise<BatchPrefill> {
    const { device = defaultDevice() } = options;
    return new BatchPrefill(options, device, await prepareKernel(device, options, defaultsOf(options)));
  }

  /**
   * Plans a batch; see BatchDecode.plan.
   * @param qoLens query tokens of each request, [batchSize]
   * @param kv page table, or lengths: of ragged keys and values, or new ones within the pages planned before
   */
  plan(qoLens: ArrayLike<number>, kv: PageTable | ArrayLike<number>, options: PlanOptions = {}): Plan {
    if (this.kv === 'ragged') return this.planRagged(qoLens, kv, options);
    const table = resolvePages(kv, this.table, this.pageSize);
    const plan = this.planBatch(table.kvLens, qoLens, batchPages(table, kv), table.maxPage, options);
    this.table = table;
    return plan;
  }

  private planRagged(qoLens: ArrayLike<number>, kv: PageTable | ArrayLike<number>, options: PlanOptions): Plan {
    if (kv instanceof PageTable) {
      throw new WarpbookError(
        'INVALID_ARGUMENT',
        'plan got a page table, but this BatchPrefill is ragged; pass kvLens, or create it with kv: "paged".',
      );
    }
    const kvLens = integers('kvLens', kv);
    const starts = new Int32Array(kvLens.length + 1);
    for (let r = 0; r < kvLens.length; r++) starts[r + 1] = starts[r] + kvLens[r];
    const maxPage = starts[kvLens.length] - 1;
    const pages = { indptr: starts, indices: new Int32Array(0), unchanged: false };
    return this.planBatch(kvLens, qoLens, pages, maxPage, options);
  }

  /**
   * Enqueues attention of the planned batch.
   * @param q [at least the planned query tokens, numQoHeads, headDim]
   * @param kv the paged cache, or `{ k, v }` where ragged, with scales where they are quantised
   */
  run(q: Tensor, kv: PagedKvCache | RaggedKv, options: RunOptions = {}): AttentionResult {
    if (kv instanceof PagedKvCache) {
      if (this.kv === 'ragged')
        throw new WarpbookError(
          'INVALID_ARGUMENT',
          'run got a paged cache, but this BatchPrefill is ragged; pass { k, v }.',
        );
      if (kv.pageSize !== this.pageSize) {
        throw new WarpbookError(
          'SHAPE_MISMATCH',
          `The cache has pages of ${kv.pageSize} tokens; BatchPrefill was made for ${this.pageSize}.`,
        );
      }
      return this.launch(q, cacheOperand(kv, this.variant), options);
    }
    if (this.kv === 'paged')
      throw new WarpbookError(
        'INVALID_ARGUMENT',
        'run got { k, v }, but this BatchPrefill is paged; pass a PagedKvCache, or create it with kv: "ragged".',
      );
    return this.launch(q, raggedOperand(kv, this.variant), options);
  }
}
