/** What kernels with a grid of chunks are told: the host's arrays on the device, and the launch of `chunk_tiles` that reads them. */
import type { BatchDecode } from '../attention/batch-decode';
import type { Buffer } from '../device/buffer';
import { StagingRing } from '../device/staging';
import type { Launch } from '../device/stream';
import type { ChunkPlan } from './chunk-plan';
import type { DecodeModel } from './model';
import { chunkTilesParams } from './step-params';

const STAGING_SLOTS = 8;
const CHUNK_CTAS = 8;

/** What a launch of `chunk_tiles` has by value, and so what a graph freezes; `undefined`: read through a pointer. */
export interface ChunkValues {
  readonly numRequests: number | undefined;
  readonly kvChunkSize: number | undefined;
  /** Of each request; undefined: as the host's o_indptr says. */
  readonly chunksPerRequest?: number;
  /** Chunks that the launch of attention has CTAs for. */
  readonly numItems: number;
  readonly split: boolean;
  /** Whether chunks are switched off by `block_valid_mask`. */
  readonly masked?: boolean;
}

/** Arrays of FlashInfer's planner: kv_chunk_size, o_indptr [maxBatch + 1], block_valid_mask [maxItems]; int32. */
export class ChunkArrays {
  readonly buffer: Buffer;
  private readonly ring: StagingRing;

  constructor(
    private readonly model: DecodeModel,
    private readonly maxItems: number,
  ) {
    const words = 1 + model.maxBatch + 1 + maxItems;
    this.buffer = model.device.allocate(words * 4, { label: 'chunk arrays' });
    this.ring = new StagingRing(model.device, words * 4, STAGING_SLOTS);
  }

  /**
   * Enqueues the copy of a plan. Bytes of it.
   * @param masked whether `block_valid_mask` is sent too
   * @throws WarpbookError PLAN_QUEUE_FULL
   */
  send({ kvChunkSize, oIndptr }: ChunkPlan, masked: boolean): number {
    const { maxBatch } = this.model;
    const slot = this.ring.acquire();
    const words = new Int32Array(slot.bytes.buffer, slot.bytes.byteOffset, 1 + maxBatch + 1 + this.maxItems);
    const numItems = oIndptr[oIndptr.length - 1];
    words[0] = kvChunkSize;
    words.set(oIndptr, 1);
    words.fill(numItems, 1 + oIndptr.length, 1 + maxBatch + 1);
    const mask = 1 + maxBatch + 1;
    if (masked) words.fill(1, mask, mask + numItems).fill(0, mask + numItems);
    const used = (masked ? words.length : mask) * 4;
    this.ring.submit(slot, used, this.model.device.stream, this.buffer, 0);
    return used;
  }

  /** The launch that writes the work list. */
  launch(attention: BatchDecode, values: ChunkValues): Launch {
    const { model } = this;
    const { memory } = model;
    const { image, pageList, layout } = attention.memory;
    const { offsets } = layout;
    const { numRequests, kvChunkSize, chunksPerRequest } = values;
    if (!pageList) throw new Error('chunk_tiles needs pages');
    return {
      program: 'chunk_tiles',
      grid: [CHUNK_CTAS, 1, 1],
      params: chunkTilesParams.pack({
        kv_lens: memory.kvLens.address(),
        page_ranges: pageList.ranges(),
        o_indptr: chunksPerRequest === undefined ? this.buffer.address(4) : null,
        block_valid_mask: values.masked ? this.buffer.address((1 + model.maxBatch + 1) * 4) : null,
        num_requests_ptr: numRequests === undefined ? memory.numRequests.address() : null,
        kv_chunk_size_ptr: kvChunkSize === undefined ? this.buffer.address(0) : null,
        workspace: image.address(),
        num_requests: numRequests ?? 0,
        kv_chunk_size: kvChunkSize ?? 0,
        chunks_per_request: chunksPerRequest ?? 0,
        num_items: values.numItems,
        split: values.split ? 1 : 0,
        num_kv_heads: model.numKvHeads,
        group_size: model.numQoHeads / model.numKvHeads,
        page_size: model.pageSize,
        max_requests: model.maxBatch,
        tiles_offset: offsets.tiles,
        cta_indptr_offset: offsets.ctaIndptr,
        kv_sequences_offset: offsets.kvSequences,
        merge_groups_offset: offsets.mergeGroups,
        merge_slots_offset: offsets.mergeSlots,
      }),
      buffers: [...memory.buffers, ...attention.memory.buffers, this.buffer],
    };
  }

  dispose(): void {
    this.buffer.dispose();
    this.ring.dispose();
  }
}
