/**
 * FlashInfer's answer of v0.0.5: a fixed grid, from the SMs and the capacity, of which `block_valid_mask` switches off what has
 * nothing to do; kv_chunk_size and the number of requests are read through pointers. Whether anything is split is part of the
 * kernel, and decided by the batch size alone.
 */
import { capture } from '../graph/capture';
import type { StepBatch, StepCapacity } from './batch';
import { ChunkedStrategy } from './chunked';
import type { StepReport, StrategyExplanation } from './strategy';

export class FixedGridStrategy extends ChunkedStrategy {
  readonly name: string = 'fixedGrid';
  private splits = false;
  private numItems = 0;

  explain(): StrategyExplanation {
    return {
      name: this.name,
      does: 'One graph with a fixed grid and a mask of valid CTAs; the host plans chunks, and kernels read their size through a pointer.',
      follows: ['batch size', 'lengths', 'pages', 'kv_chunk_size'],
      freezes: ['grid', 'whether anything is split, by the batch size of the capture'],
      cannot: [
        {
          what: 'split a long request in a batch that was captured as large',
          why: 'split and unsplit are different kernels, and lengths are not known at capture: one long request is one CTA a head',
        },
        {
          what: 'balance chunks over CTAs',
          why: 'a CTA takes one chunk; the longest one decides when the launch ends',
        },
      ],
      needs: 'any device',
    };
  }

  protected prepare(capacity: StepCapacity): void {
    const { slots, numKvHeads } = this.limits();
    this.splits = capacity.maxBatch * numKvHeads < slots;
    this.numItems = this.splits ? Math.floor(slots / numKvHeads) : capacity.maxBatch;
    const values = {
      numRequests: undefined,
      kvChunkSize: undefined,
      numItems: this.numItems,
      split: this.splits,
      masked: true,
    };
    this.arrays;
    this.keep(capture(this.model.device, () => this.enqueueStep(capacity.maxBatch, values)));
  }

  protected run(batch: StepBatch): StepReport {
    const { plan, uploadedBytes, planNs } = this.planStep(batch, { split: this.splits, masked: true });
    this.execs[0].replay();
    const paddedRows = this.capacity.maxBatch - batch.kvLens.length;
    const idleCtas = (this.numItems - this.itemsOf(plan)) * this.model.numKvHeads;
    return { path: 'graph', steps: 1, recaptured: 0, paddedRows, idleCtas, planNs, uploadedBytes };
  }
}
