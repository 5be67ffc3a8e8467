/**
 * A graph for every shape: enumerated over batch sizes, and over length buckets if asked for, each with a grid and a chunk size of
 * its own frozen in. A batch is padded to the smallest that fits. Graphs are captured when they are first needed, share one
 * workspace, and are evicted beyond a bound.
 */
import { WarpbookError } from '../errors';
import { capture } from '../graph/capture';
import type { Graph } from '../graph/graph';
import type { GraphExec } from '../graph/graph-exec';
import type { StepBatch, StepCapacity } from './batch';
import { planChunks } from './chunk-plan';
import { ChunkedStrategy } from './chunked';
import type { DecodeModel } from './model';
import {
  defaultSizes,
  dispatch,
  keyText,
  POOL_MODES,
  type PoolKey,
  type PoolMode,
  type PoolShape,
} from './pool-dispatch';
import type { StepReport, StrategyExplanation, StrategyOptions } from './strategy';

export interface GraphPoolOptions extends StrategyOptions {
  /** Rows of the graphs; default 1, 2, 4, 8, then every 8th up to the capacity. */
  readonly sizes?: readonly number[];
  /** Length buckets, tokens; default: the capacity alone. */
  readonly kvLens?: readonly number[];
  /** What a uniform decode batch takes; default full. */
  readonly mode?: PoolMode;
  /** Capture all graphs at once instead of when they are needed; default false. */
  readonly eagerCapture?: boolean;
  /** Graphs kept at most; default: as many as there are shapes. */
  readonly maxGraphs?: number;
  /** Bytes of instances at most; default: no bound. */
  readonly maxBytes?: number;
  /** Beyond a bound: evict the graph that was used longest ago (default), run the step eagerly, or refuse it. */
  readonly whenFull?: 'evict' | 'eager' | 'refuse';
}

/** One graph of the pool, for tables. */
export interface PooledGraph {
  readonly key: string;
  /** Nodes of all its graphs. */
  readonly nodes: number;
  readonly captureNs: number;
  /** Of its instances; NaN until the device has told. */
  readonly instanceBytes: number;
  readonly replays: number;
}

interface Entry {
  readonly key: PoolKey;
  readonly graphs: readonly Graph[];
  /** One for all, or one for each piece between two attentions. */
  readonly execs: readonly GraphExec[];
  readonly captureNs: number;
  bytes: number;
  replays: number;
  lastUse: number;
}

export class GraphPoolStrategy extends ChunkedStrategy {
  readonly name: string = 'graphPool';
  private readonly entries = new Map<string, Entry>();
  private shape: PoolShape | undefined;
  private numUses = 0;
  private numEvicted = 0;
  private readonly poolOptions: GraphPoolOptions;

  constructor(model: DecodeModel, options: GraphPoolOptions = {}) {
    super(model, options);
    this.poolOptions = options;
    if (options.mode !== undefined && !POOL_MODES.includes(options.mode)) {
      throw new WarpbookError(
        'INVALID_ARGUMENT',
        `graphPool got the mode '${String(options.mode)}'; wanted ${POOL_MODES.join(', ')}.`,
      );
    }
    if (options.mode === 'piecewise') this.name = 'graphPoolPiecewise';
    else if (options.kvLens) this.name = 'graphPoolBuckets';
  }

  /** The graphs that there are now, by their keys. */
  get pooled(): readonly PooledGraph[] {
    return [...this.entries.values()].map(({ key, graphs, captureNs, bytes, replays }) => ({
      key: keyText(key),
      nodes: graphs.reduce((sum, graph) => sum + graph.size, 0),
      captureNs,
      instanceBytes: bytes,
      replays,
    }));
  }

  /** Graphs that had to go for others. */
  get evicted(): number {
    return this.numEvicted;
  }

  explain(): StrategyExplanation {
    return {
      name: this.name,
      does: 'A graph for each batch size (and length bucket), captured when it is first needed; batches are padded to the next one.',
      follows: ['batch size, by choosing a graph', 'lengths up to those of the bucket', 'pages'],
      freezes: ['grid, chunk size and rows, in each graph'],
      cannot: [
        {
          what: 'enumerate mixed batches of prefill and decode',
          why: 'a graph for each (decode requests, prompt tokens) would be thousands, each with its memory: they run piecewise',
        },
        { what: 'run a new shape at once', why: 'its first step pays for the capture' },
      ],
      needs: 'any device',
    };
  }

  protected override maxItems(): number {
    // The largest graph has a CTA for each chunk of its longest requests.
    const { slots, numKvHeads } = this.limits();
    return this.model.maxBatch + Math.ceil(slots / numKvHeads);
  }

  protected prepare(capacity: StepCapacity): void {
    const { sizes = defaultSizes(capacity.maxBatch), kvLens = [capacity.maxKvLen], mode = 'full' } = this.poolOptions;
    this.shape = { sizes: ascending('sizes', sizes), kvLens: ascending('kvLens', kvLens), mode };
    this.arrays;
    if (!this.poolOptions.eagerCapture || mode === 'none') return;
    for (const size of this.shape.sizes) {
      if (mode === 'piecewise') this.captureEntry({ mode, size });
      else for (const kvLen of this.shape.kvLens) this.captureEntry({ mode: 'full', size, kvLen });
    }
  }

  protected run(batch: StepBatch): StepReport {
    const key = dispatch(batch, this.shape as PoolShape);
    if ('none' in key) return this.runEagerly(batch, key.none);
    const before = this.entries.size + this.numEvicted;
    const entry = this.entries.get(keyText(key)) ?? this.admit(key);
    if (typeof entry === 'string') return this.runEagerly(batch, entry);
    const recaptured = this.entries.size + this.numEvicted - before;
    entry.lastUse = ++this.numUses;
    entry.replays++;
    const paddedRows = key.size - batch.kvLens.length;
    return key.mode === 'full'
      ? { ...this.replayFull(entry, batch), recaptured, paddedRows }
      : { ...this.replayPieces(entry, batch), recaptured, paddedRows };
  }

  private replayFull(entry: Entry, batch: StepBatch): Omit<StepReport, 'recaptured' | 'paddedRows'> {
    const { uploadedBytes, planNs } = this.timedSeat(batch);
    entry.execs[0].replay();
    const { chunk, chunksPerRequest, split } = this.frozenChunks(entry.key);
    let used = 0;
    for (const length of batch.kvLens) used += split ? Math.ceil(length / chunk) : 1;
    const idleCtas = (entry.key.size * chunksPerRequest - used) * this.model.numKvHeads;
    return { path: 'graph', steps: 1, idleCtas, planNs, uploadedBytes };
  }

  /** Attention goes between the pieces, as eager's does. */
  private replayPieces(entry: Entry, batch: StepBatch): Omit<StepReport, 'recaptured' | 'paddedRows'> {
    const { plan, uploadedBytes, planNs } = this.planStep(batch);
    const { model } = this;
    const numItems = this.itemsOf(plan);
    const n = batch.kvLens.length;
    for (let layer = 0; layer < model.layers; layer++) {
      entry.execs[layer].replay();
      if (layer === 0) {
        this.enqueueList({ numRequests: n, kvChunkSize: plan.kvChunkSize, numItems, split: plan.split });
      }
      model.device.stream.launch(this.attentionOf(layer, numItems));
    }
    return { path: 'piecewise', steps: 1, idleCtas: 0, planNs, uploadedBytes };
  }

  private runEagerly(batch: StepBatch, fallback: string): StepReport {
    const { plan, uploadedBytes, planNs } = this.planStep(batch);
    const rows = batch.kvLens.length;
    this.enqueueStep(rows, {
      numRequests: rows,
      kvChunkSize: plan.kvChunkSize,
      numItems: this.itemsOf(plan),
      split: plan.split,
    });
    return { path: 'eager', steps: 1, fallback, recaptured: 0, paddedRows: 0, idleCtas: 0, planNs, uploadedBytes };
  }

  /** A graph that isn't there yet, or why the step runs without. */
  private admit(key: PoolKey): Entry | string {
    const { maxGraphs = Number.POSITIVE_INFINITY, maxBytes = Number.POSITIVE_INFINITY } = this.poolOptions;
    const { whenFull = 'evict' } = this.poolOptions;
    const bytes = (): number => [...this.entries.values()].reduce((sum, entry) => sum + (entry.bytes || 0), 0);
    while (this.entries.size >= maxGraphs || bytes() >= maxBytes) {
      const held = `the pool holds ${this.entries.size} graphs of ${bytes()} bytes`;
      const bound = this.entries.size >= maxGraphs ? `maxGraphs = ${maxGraphs}` : `maxBytes = ${maxBytes}`;
      if (whenFull === 'eager') return `no room for graph ${keyText(key)}: ${held} (${bound})`;
      const oldest = [...this.entries].sort(([, a], [, b]) => a.lastUse - b.lastUse)[0];
      if (whenFull === 'refuse' || !oldest) {
        throw new WarpbookError(
          'CAPACITY_EXCEEDED',
          `${this.name}: the step needs graph ${keyText(key)}, and ${held}, which is all that ${bound} allows; the step was refused. ` +
            "Raise the bound, or say whenFull: 'evict' or 'eager'.",
          { key: keyText(key), graphs: this.entries.size, bytes: bytes() },
        );
      }
      this.evict(oldest[0], oldest[1]);
    }
    return this.captureEntry(key);
  }

  private evict(name: string, entry: Entry): void {
    for (const exec of entry.execs) {
      exec.dispose();
      this.execs.splice(this.execs.indexOf(exec), 1);
    }
    for (const graph of entry.graphs) {
      graph.dispose();
      this.graphs.splice(this.graphs.indexOf(graph), 1);
    }
    this.entries.delete(name);
    this.numEvicted++;
  }

  /** Chunks that a graph freezes: as many for each request as the longest of its bucket has. */
  private frozenChunks({ size, kvLen = 1 }: PoolKey): { chunk: number; chunksPerRequest: number; split: boolean } {
    const plan = planChunks(new Int32Array(size).fill(kvLen), this.limits());
    return { chunk: plan.kvChunkSize, chunksPerRequest: plan.oIndptr[1], split: plan.split };
  }

  private captureEntry(key: PoolKey): Entry {
    const started = process.hrtime.bigint();
    const { model } = this;
    const graphs = key.mode === 'full' ? [this.captureFull(key)] : this.capturePieces(key.size);
    const execs: GraphExec[] = [];
    try {
      for (const graph of graphs) execs.push(this.keep(graph));
    } catch (error) {
      for (const thing of [...graphs, ...execs]) thing.dispose();
      throw exhausted(this.name, key, this.entries.size, error);
    }
    const entry: Entry = {
      key,
      graphs,
      execs,
      captureNs: Number(process.hrtime.bigint() - started),
      bytes: Number.NaN,
      replays: 0,
      lastUse: ++this.numUses,
    };
    Promise.all(execs.map((exec) => exec.memory())).then(
      (each) => {
        entry.bytes = each.reduce((sum, { ownBytes }) => sum + ownBytes, 0);
      },
      () => undefined,
    );
    this.entries.set(keyText(key), entry);
    if (model.device.disposed) throw new WarpbookError('DISPOSED', `${this.name}: the device was disposed.`);
    return entry;
  }

  private captureFull(key: PoolKey): Graph {
    const { chunk, chunksPerRequest, split } = this.frozenChunks(key);
    return capture(this.model.device, () =>
      this.enqueueStep(key.size, {
        numRequests: undefined,
        kvChunkSize: chunk,
        chunksPerRequest,
        numItems: key.size * chunksPerRequest,
        split,
      }),
    );
  }

  /** One graph for what comes ahead of each layer's attention. */
  private capturePieces(size: number): Graph[] {
    const { model } = this;
    return Array.from({ length: model.layers }, (_, layer) =>
      capture(model.device, () => {
        if (layer === 0) model.advance();
        model.projectAndAppend(layer, size);
      }),
    );
  }

  protected override release(): void {
    this.entries.clear();
    super.release();
  }
}

function ascending(what: string, values: readonly number[]): readonly number[] {
  if (values.length > 0 && values.every((value, i) => Number.isInteger(value) && value > (values[i - 1] ?? 0)))
    return values;
  throw new WarpbookError(
    'INVALID_ARGUMENT',
    `graphPool: ${what} is [${values}]; wanted positive integers, ascending.`,
  );
}

function exhausted(name: string, key: PoolKey, held: number, cause: unknown): unknown {
  if (!(cause instanceof WarpbookError) || !/OUT_OF_MEMORY/.test(`${cause.code} ${cause.message}`)) return cause;
  return new WarpbookError(
    'OUT_OF_MEMORY',
    `${name}: no memory is left to instantiate graph ${keyText(key)} beside ${held} others: ${cause.message} Bound the pool by ` +
      'maxGraphs or maxBytes, or capture fewer sizes and buckets.',
    { key: keyText(key), graphs: held },
    { cause },
  );
}
