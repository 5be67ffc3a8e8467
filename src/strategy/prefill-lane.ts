/**
 * Pieces of prompts beside a decode batch: a row for each prompt token, launched eagerly ahead of the step. Their number of tokens
 * and their place change at each step, which is what makes graphs of mixed batches so many.
 */
import { BatchPrefill } from '../attention/batch-prefill';
import { StagingRing } from '../device/staging';
import { requireInteger } from '../errors';
import { empty, zeros } from '../tensor/create';
import { DTYPE_CODE } from '../tensor/dtype';
import type { Tensor } from '../tensor/tensor';
import type { PrefillChunk } from './batch';
import type { DecodeModel } from './model';
import { projectHeadsParams, STEP_RULES } from './step-params';

const STAGING_SLOTS = 8;

export class PrefillLane {
  private readonly ring: StagingRing;
  private readonly tensors: readonly Tensor[];

  /** @param maxTokens of a piece */
  static async create(model: DecodeModel, maxTokens: number): Promise<PrefillLane> {
    requireInteger('chunkTokens', maxTokens, 1);
    const { device, numQoHeads, numKvHeads, headDim, dtype, pageSize } = model;
    const capacity = { maxBatch: 1, maxQoTokens: maxTokens, maxPages: model.caches[0].numPages };
    const attention = await BatchPrefill.create({ device, numQoHeads, numKvHeads, headDim, dtype, pageSize, capacity });
    return new PrefillLane(model, attention, maxTokens);
  }

  private readonly table: Tensor;
  private readonly q: Tensor;
  private readonly k: Tensor;
  private readonly v: Tensor;
  private readonly outputs: readonly Tensor[];
  private readonly lse: Tensor;

  private constructor(
    private readonly model: DecodeModel,
    private readonly attention: BatchPrefill,
    readonly maxTokens: number,
  ) {
    const { device, dtype, numQoHeads, numKvHeads, headDim } = model;
    const on = { device, dtype };
    // Positions and requests of the rows, then the page table of one request.
    const words = 2 * maxTokens + 2 + model.caches[0].numPages;
    this.table = zeros([words], { dtype: 'int32', device, label: 'prefill rows' });
    this.q = empty([maxTokens, numQoHeads, headDim], on);
    this.k = empty([maxTokens, numKvHeads, headDim], on);
    this.v = empty([maxTokens, numKvHeads, headDim], on);
    this.outputs = model.caches.map(() => zeros([maxTokens, numQoHeads, headDim], on));
    this.lse = zeros([maxTokens, numQoHeads], { device, dtype: 'float32' });
    this.tensors = [this.table, this.q, this.k, this.v, ...this.outputs, this.lse];
    this.ring = new StagingRing(device, words * 4, STAGING_SLOTS);
  }

  /** Enqueues a piece through all layers. */
  run({ table, start, tokens }: PrefillChunk): void {
    const { model, maxTokens } = this;
    const slot = this.ring.acquire();
    const used = 2 * maxTokens + 2 + table.pagedKvIndices.length;
    const words = new Int32Array(slot.bytes.buffer, slot.bytes.byteOffset, used);
    for (let i = 0; i < tokens; i++) words[i] = start + i;
    words.fill(0, maxTokens, maxTokens + tokens);
    words.set(table.pagedKvIndptr, 2 * maxTokens);
    words.set(table.pagedKvIndices, 2 * maxTokens + 2);
    this.ring.submit(slot, used * 4, model.device.stream, this.table.buffer, 0);
    this.attention.plan([tokens], table);
    const part = (from: number, count: number): Tensor => this.table.slice(0, from, from + count);
    const places = {
      positions: part(0, tokens),
      batchIndices: part(maxTokens, tokens),
      pagedKvIndptr: part(2 * maxTokens, 2),
      pagedKvIndices: part(2 * maxTokens + 2, model.caches[0].numPages),
    };
    for (let layer = 0; layer < model.layers; layer++) {
      this.project(layer, tokens);
      const rows = (tensor: Tensor): Tensor => tensor.slice(0, 0, tokens);
      model.caches[layer].appendAt(places, rows(this.k), rows(this.v));
      this.attention.run(rows(this.q), model.caches[layer], { out: rows(this.outputs[layer]), lse: rows(this.lse) });
    }
  }

  private project(layer: number, tokens: number): void {
    const { model } = this;
    const residual = layer === 0 ? undefined : this.outputs[layer - 1];
    const { embeddings, numEmbeddings, weights } = model.parameters(layer);
    model.device.stream.launch({
      program: 'project_heads',
      grid: [model.numQoHeads + 2 * model.numKvHeads, Math.ceil(tokens / STEP_RULES.rowsPerCta), 1],
      params: projectHeadsParams.pack({
        embeddings: embeddings.address(),
        residual: residual?.address() ?? null,
        weights: weights.address(),
        q: this.q.address(),
        k: this.k.address(),
        v: this.v.address(),
        positions: this.table.address(),
        batch_indices: this.table.slice(0, this.maxTokens, 2 * this.maxTokens).address(),
        num_rows: tokens,
        num_embeddings: numEmbeddings,
        num_qo_heads: model.numQoHeads,
        num_kv_heads: model.numKvHeads,
        head_dim: model.headDim,
        dtype: DTYPE_CODE[model.dtype],
      }),
      buffers: [embeddings, weights, ...this.tensors].map(({ buffer }) => buffer),
    });
  }

  dispose(): void {
    for (const tensor of this.tensors) tensor.dispose();
    this.attention.dispose();
    this.ring.dispose();
  }
}
