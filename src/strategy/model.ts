/**
 * A model to decode with, small enough to be understood: layers of a matrix product, append and attention. The product is a
 * stand-in (a matrix for each head, times an embedding of the token's place plus the attention before); append and attention
 * are the real ones. Strategies enqueue its pieces; the model knows no strategy.
 *
 * What a step works on is in device memory: lengths grow there, so that a replay needs nothing of the host while the same
 * requests run. `seat()` tells the device who runs, when that changes.
 */
import { PagedKvCache } from '../attention/paged-kv';
import type { Device } from '../device/device';
import { requireInteger, WarpbookError } from '../errors';
import { empty, zeros } from '../tensor/create';
import { DTYPE_CODE } from '../tensor/dtype';
import { normal } from '../tensor/random';
import type { Tensor } from '../tensor/tensor';
import type { StepBatch } from './batch';
import { openDevicePrograms, StepMemory } from './step-memory';
import { advanceStepParams, projectHeadsParams, STEP_RULES } from './step-params';

/** Options of {@link DecodeModel.create}. */
export interface DecodeModelOptions {
  readonly device: Device;
  /** Default 2. */
  readonly layers?: number;
  /** Default 8. */
  readonly numQoHeads?: number;
  /** Default 2. */
  readonly numKvHeads?: number;
  /** Default 64. */
  readonly headDim?: number;
  /** Of all that is computed; default bfloat16 on a GPU, float32 on the CPU device. */
  readonly dtype?: 'float32' | 'float16' | 'bfloat16';
  /** Requests of a step at most; default 8. */
  readonly maxBatch?: number;
  /** Tokens of a request at most; default 1024. */
  readonly maxKvLen?: number;
  /** Pages of each layer's pool; default: for `maxBatch` requests of `maxKvLen` tokens. */
  readonly numPages?: number;
  /** Tokens a page; default 16. */
  readonly pageSize?: number;
  /** Of weights, embeddings and what the pools hold at first; default 0. */
  readonly seed?: number;
}

const NUM_EMBEDDINGS = 512;

/** Made by {@link DecodeModel.create}. */
export class DecodeModel {
  readonly device: Device;
  readonly layers: number;
  readonly numQoHeads: number;
  readonly numKvHeads: number;
  readonly headDim: number;
  readonly dtype: 'float32' | 'float16' | 'bfloat16';
  readonly maxBatch: number;
  readonly maxKvLen: number;
  readonly seed: number;
  /** One a layer; all have the same pages in use, and the first one's allocator says which. */
  readonly caches: readonly PagedKvCache[];
  /** Who runs and how long they are, on the device. */
  readonly memory: StepMemory;
  /** [maxBatch, numQoHeads, headDim]; the next layer overwrites it. */
  readonly q: Tensor;
  /** Attention of each layer, [maxBatch, numQoHeads, headDim], and its LSE, float32 [maxBatch, numQoHeads]. */
  readonly outputs: readonly Tensor[];
  readonly lses: readonly Tensor[];
  private readonly k: Tensor;
  private readonly v: Tensor;
  private readonly embeddings: Tensor;
  private readonly weights: readonly Tensor[];

  /** @throws WarpbookError INVALID_ARGUMENT, OUT_OF_MEMORY; UNSUPPORTED where the GPU's kernels can't be had */
  static async create(options: DecodeModelOptions): Promise<DecodeModel> {
    await openDevicePrograms(options.device);
    return new DecodeModel(options);
  }

  private constructor(options: DecodeModelOptions) {
    const { device, layers = 2, numQoHeads = 8, numKvHeads = 2, headDim = 64, maxBatch = 8, maxKvLen = 1024 } = options;
    const { pageSize = 16, seed = 0, dtype = device.kind === 'cuda' ? 'bfloat16' : 'float32' } = options;
    const { numPages = maxBatch * Math.ceil(maxKvLen / pageSize) } = options;
    for (const [what, value] of Object.entries({ layers, numQoHeads, numKvHeads, headDim, maxBatch, maxKvLen }))
      requireInteger(`DecodeModel: ${what}`, value, 1);
    if (numQoHeads % numKvHeads !== 0 || headDim > 256) {
      throw new WarpbookError(
        'INVALID_ARGUMENT',
        `Got a model of ${numQoHeads} query heads, ${numKvHeads} KV heads and headDim ${headDim}; wanted a multiple of the KV ` +
          'heads and a headDim of at most 256.',
      );
    }
    this.device = device;
    this.layers = layers;
    this.numQoHeads = numQoHeads;
    this.numKvHeads = numKvHeads;
    this.headDim = headDim;
    this.dtype = dtype;
    this.maxBatch = maxBatch;
    this.maxKvLen = maxKvLen;
    this.seed = seed;
    const made: { dispose(): void }[] = [];
    const keep = <T extends { dispose(): void }>(thing: T): T => {
      made.push(thing);
      return thing;
    };
    const each = <T extends { dispose(): void }>(make: (layer: number) => T): T[] =>
      Array.from({ length: layers }, (_, layer) => keep(make(layer)));
    const on = { device, dtype };
    try {
      this.caches = each(
        (i) => new PagedKvCache({ ...on, numPages, pageSize, numKvHeads, headDim, label: `KV of layer ${i}` }),
      );
      this.memory = keep(new StepMemory(device, { maxBatch, maxPages: numPages, pageSize }));
      this.q = keep(empty([maxBatch, numQoHeads, headDim], { ...on, label: 'q' }));
      this.k = keep(empty([maxBatch, numKvHeads, headDim], { ...on, label: 'k' }));
      this.v = keep(empty([maxBatch, numKvHeads, headDim], { ...on, label: 'v' }));
      this.outputs = each((i) => zeros([maxBatch, numQoHeads, headDim], { ...on, label: `attention of layer ${i}` }));
      this.lses = each((i) => zeros([maxBatch, numQoHeads], { device, dtype: 'float32', label: `LSE of layer ${i}` }));
      this.embeddings = keep(normal([NUM_EMBEDDINGS, numQoHeads, headDim], { ...on, seed }));
      const std = 1 / Math.sqrt(headDim);
      const numHeads = numQoHeads + 2 * numKvHeads;
      this.weights = each((i) => normal([numHeads, headDim, headDim], { ...on, seed: seed + 1 + i, std }));
      this.reset();
    } catch (error) {
      // A model that finds no room gives back what it has taken.
      for (const thing of made) thing.dispose();
      throw error;
    }
  }

  get pageSize(): number {
    return this.caches[0].pageSize;
  }

  /** Bytes of the pools of all layers. */
  get cacheBytes(): number {
    return this.caches.reduce((sum, cache) => sum + cache.byteLength, 0);
  }

  /** Makes pools, outputs and state what they were at first, so that two runs of the same steps give the same numbers. */
  reset(): void {
    for (const [layer, cache] of this.caches.entries()) {
      for (const [pool, tensor] of [cache.k, cache.v].entries()) {
        const values = normal([...tensor.shape], {
          seed: this.seed + 1000 + 2 * layer + pool,
          dtype: this.dtype,
          device: this.device,
        });
        tensor.copyFrom(values);
        values.dispose();
      }
    }
    for (const tensor of [...this.outputs, ...this.lses]) tensor.fill(0);
    this.memory.reset();
  }

  /** @internal What a layer's matrix product reads. */
  parameters(layer: number): { embeddings: Tensor; numEmbeddings: number; weights: Tensor } {
    return { embeddings: this.embeddings, numEmbeddings: NUM_EMBEDDINGS, weights: this.weights[layer] };
  }

  /** Tells the device who runs: a copy or two, where `batch.table` says that something changed. Bytes of the copies. */
  seat(batch: StepBatch): number {
    return batch.table ? this.memory.seat(batch, batch.table) : 0;
  }

  /** Enqueues what begins a step: each running request gets a token more, in device memory. May be captured. */
  advance(): void {
    const { memory } = this;
    this.device.stream.launch({
      program: 'advance_step',
      grid: [1, 1, 1],
      params: advanceStepParams.pack({
        state: memory.state.address(),
        lengths: memory.lengths.address(),
        remaining: memory.remaining.address(),
        kv_lens: memory.kvLens.address(),
        next_kv_lens: memory.nextKvLens.address(),
        positions: memory.positions.address(),
        batch_indices: memory.batchIndices.address(),
        max_requests: this.maxBatch,
      }),
      buffers: memory.buffers,
    });
  }

  /**
   * Enqueues a layer's matrix product and append for `rows` rows. May be captured.
   * @param pdl false: neither begins before the work ahead has ended, for graphs that have no programmatic edges
   */
  projectAndAppend(layer: number, rows: number, pdl?: boolean): void {
    const { memory } = this;
    const residual = layer === 0 ? undefined : this.outputs[layer - 1];
    const weights = this.weights[layer];
    this.device.stream.launch({
      program: 'project_heads',
      pdl,
      grid: [this.numQoHeads + 2 * this.numKvHeads, Math.max(1, Math.ceil(rows / STEP_RULES.rowsPerCta)), 1],
      params: projectHeadsParams.pack({
        embeddings: this.embeddings.address(),
        residual: residual?.address() ?? null,
        weights: weights.address(),
        q: this.q.address(),
        k: this.k.address(),
        v: this.v.address(),
        positions: memory.positions.address(),
        batch_indices: memory.batchIndices.address(),
        num_rows: rows,
        num_embeddings: NUM_EMBEDDINGS,
        num_qo_heads: this.numQoHeads,
        num_kv_heads: this.numKvHeads,
        head_dim: this.headDim,
        dtype: DTYPE_CODE[this.dtype],
      }),
      buffers: [
        ...[this.embeddings, weights, this.q, this.k, this.v].map(({ buffer }) => buffer),
        ...(residual ? [residual.buffer] : []),
        ...memory.buffers,
      ],
    });
    const [k, v] = [this.k, this.v].map((tensor) => tensor.slice(0, 0, rows));
    this.caches[layer].appendAt(memory.places(rows), k, v, { pdl });
  }

  dispose(): void {
    for (const thing of [this.q, this.k, this.v, this.embeddings, ...this.weights, ...this.outputs, ...this.lses]) {
      thing.dispose();
    }
    for (const cache of this.caches) cache.dispose();
    this.memory.dispose();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }

  toString(): string {
    return (
      `DecodeModel(${this.layers} layers, ${this.numQoHeads}/${this.numKvHeads} heads of ${this.headDim}, ${this.dtype}, up to ` +
      `${this.maxBatch} requests of ${this.maxKvLen} tokens)`
    );
  }
}
