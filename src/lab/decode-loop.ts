/**
 * Continuous batching over a trace, as a loop of decode steps: requests join when they have arrived and there is room, get a token at
 * each step, and leave when they have all. Hides queue, pages and the order of the batch; knows no strategy.
 *
 * Joining includes the prefill, which takes no step, unless prompts are computed in pieces beside the decode batch
 * (`chunkTokens`): then a request joins when its prompt is done.
 */
import { PageAllocator } from '../attention/page-allocator';
import { PageTable } from '../attention/page-table';
import { requireInteger, WarpbookError } from '../errors';
import type { PrefillChunk, StepBatch } from '../strategy/batch';
import type { DecodeModel } from '../strategy/model';
import type { Request, RequestTrace } from '../workload/request-trace';

/** Options of {@link DecodeLoop}. */
export interface DecodeLoopOptions {
  /** Requests that run at the same time; default: the model's most. */
  readonly concurrency?: number;
  /** How long a step takes for the clock of arrivals, ns; default: none, requests always wait. */
  readonly stepNs?: number;
  /** Prompt tokens that are computed in a step; default: prompts are there when their request joins. */
  readonly chunkTokens?: number;
  /** A request longer than the model's `maxKvLen`: leave it out (default), cut its output and prompt to fit, or throw. */
  readonly whenTooLong?: 'skip' | 'cut' | 'throw';
}

interface Running {
  readonly id: number;
  /** Tokens in the cache. */
  kvLen: number;
  remaining: number;
}

interface Prefilling {
  readonly id: number;
  readonly inputLength: number;
  readonly remaining: number;
  done: number;
}

/** Continuous batching over a request trace, a batch a step: requests join when there is room and leave when they have all their tokens. */
export class DecodeLoop {
  private readonly queue: Request[];
  private readonly pages: PageAllocator;
  private readonly concurrency: number;
  private readonly running: Running[] = [];
  private readonly prefilling: Prefilling[] = [];
  private numSkipped = 0;
  private step = 0;
  private changed = true;

  /** @throws WarpbookError INVALID_ARGUMENT */
  constructor(
    private readonly model: DecodeModel,
    trace: RequestTrace,
    private readonly options: DecodeLoopOptions = {},
  ) {
    this.concurrency = options.concurrency ?? model.maxBatch;
    requireInteger('concurrency', this.concurrency, 1);
    this.queue = [...trace.requests];
    // Of its own, so that two loops over the same trace take the same pages.
    this.pages = new PageAllocator(model.caches[0].numPages, model.pageSize);
  }

  /** Steps taken. */
  get steps(): number {
    return this.step;
  }

  /** Requests that were left out because they are too long. */
  get skipped(): number {
    return this.numSkipped;
  }

  /** The batch of the next step; undefined when all requests have gone. */
  next(): StepBatch | undefined {
    const { running } = this;
    this.admit();
    if (running.length === 0 && this.prefilling.length === 0) {
      if (this.queue.length === 0) return undefined;
      this.skipAhead();
      this.admit();
      if (running.length === 0 && this.prefilling.length === 0) return undefined;
    }
    const kvLens = Int32Array.from(running, ({ kvLen }) => kvLen + 1);
    const remaining = Int32Array.from(running, (request) => request.remaining);
    const chunk = this.nextChunk();
    const table = this.changed ? this.tableOf(running, kvLens) : undefined;
    this.changed = false;
    return {
      kvLens,
      remaining,
      stepsAhead: chunk ? 1 : this.stepsAhead(),
      ...(table && { table }),
      ...(chunk && { chunk }),
    };
  }

  /** The steps have been enqueued: everybody has as many tokens more, and who has all leaves. */
  took(steps: number): void {
    const { running, prefilling } = this;
    this.step += steps;
    for (const request of running) {
      request.kvLen += steps;
      request.remaining -= steps;
    }
    for (let i = running.length - 1; i >= 0; i--) {
      if (running[i].remaining > 0) continue;
      this.pages.release(running[i].id);
      running.splice(i, 1);
      this.changed = true;
    }
    const [first] = prefilling;
    if (!first) return;
    first.done = Math.min(first.inputLength, first.done + (this.options.chunkTokens ?? first.inputLength));
    if (first.done < first.inputLength) return;
    prefilling.shift();
    if (first.remaining <= 0) this.pages.release(first.id);
    else this.seatRequest({ id: first.id, kvLen: first.inputLength, remaining: first.remaining });
  }

  private admit(): void {
    const { model, queue, options } = this;
    while (queue.length > 0 && this.running.length + this.prefilling.length < this.concurrency) {
      const request = queue[0];
      if (options.stepNs !== undefined && request.arrivalNs > this.step * options.stepNs) return;
      const fitted = this.fit(request);
      if (!fitted) {
        queue.shift();
        continue;
      }
      const { inputLength, steps } = fitted;
      // All its pages at once, so that nothing runs out of them in the middle.
      if (Math.ceil((inputLength + steps) / model.pageSize) > this.pages.numFreePages) {
        this.requireAnybody(request);
        return;
      }
      queue.shift();
      const id = this.pages.allocate(inputLength + steps);
      if (options.chunkTokens !== undefined && inputLength > 0) {
        this.prefilling.push({ id, inputLength, remaining: steps, done: 0 });
      } else {
        this.seatRequest({ id, kvLen: inputLength, remaining: steps });
      }
    }
  }

  private seatRequest(request: Running): void {
    this.running.push(request);
    this.changed = true;
  }

  /** What a request comes to: its prompt, and the decode steps that it takes; undefined where it takes none, or is left out. */
  private fit({ id, inputLength, outputLength }: Request): { inputLength: number; steps: number } | undefined {
    const { maxKvLen } = this.model;
    const { whenTooLong = 'skip' } = this.options;
    // The prefill gives the first token.
    const steps = outputLength - 1;
    if (steps <= 0) return undefined;
    if (inputLength + steps <= maxKvLen) return { inputLength, steps };
    if (whenTooLong === 'throw') {
      throw new WarpbookError(
        'CAPACITY_EXCEEDED',
        `Got request ${id} of ${inputLength} + ${steps} tokens; the model holds ${maxKvLen}. Raise maxKvLen, or say ` +
          "whenTooLong: 'skip' or 'cut'.",
        { asked: inputLength + steps, available: maxKvLen, option: 'maxKvLen' },
      );
    }
    if (whenTooLong === 'skip') {
      this.numSkipped++;
      return undefined;
    }
    const cut = Math.min(steps, Math.max(1, Math.floor(maxKvLen / 2)));
    return { inputLength: Math.min(inputLength, maxKvLen - cut), steps: cut };
  }

  private requireAnybody(request: Request): void {
    if (this.running.length + this.prefilling.length > 0) return;
    throw new WarpbookError(
      'OUT_OF_PAGES',
      `Request ${request.id} of ${request.inputLength + request.outputLength} tokens doesn't fit a pool of ` +
        `${this.model.caches[0].numPages} pages that nobody else uses; raise numPages.`,
    );
  }

  /** Nobody runs: time goes on to the next arrival. */
  private skipAhead(): void {
    const { stepNs } = this.options;
    if (stepNs !== undefined) this.step = Math.max(this.step, Math.ceil(this.queue[0].arrivalNs / stepNs));
  }

  private nextChunk(): PrefillChunk | undefined {
    const [first] = this.prefilling;
    const { chunkTokens } = this.options;
    if (!first || chunkTokens === undefined) return undefined;
    const tokens = Math.min(chunkTokens, first.inputLength - first.done);
    const table = this.tableOf([first], Int32Array.of(first.done + tokens));
    return { table, start: first.done, tokens };
  }

  private tableOf(requests: readonly { readonly id: number }[], kvLens: Int32Array): PageTable {
    const indptr = [0];
    const indices: number[] = [];
    for (const { id } of requests) {
      for (const page of this.pages.pages(id)) indices.push(page);
      indptr.push(indices.length);
    }
    return new PageTable({ pagedKvIndptr: indptr, pagedKvIndices: indices, kvLens, pageSize: this.model.pageSize });
  }

  private stepsAhead(): number {
    const { stepNs } = this.options;
    let steps = Number.POSITIVE_INFINITY;
    for (const { remaining } of this.running) steps = Math.min(steps, remaining);
    const isRoom = this.running.length < this.concurrency;
    if (isRoom && stepNs !== undefined && this.queue.length > 0) {
      steps = Math.min(steps, Math.max(1, Math.ceil(this.queue[0].arrivalNs / stepNs) - this.step));
    }
    return steps;
  }
}
