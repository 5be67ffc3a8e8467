/**
 * The protocol of a way to live with CUDA graphs: it is captured once for a capacity, and then runs the steps of a decode loop.
 * Every strategy enqueues the same pieces of the same model; what differs is what a graph holds, who decides on the launches of
 * attention, and when.
 */
import { BatchDecode } from '../attention/batch-decode';
import { machineOf } from '../attention/machine-of';
import { PageTable } from '../attention/page-table';
import type { Launch } from '../device/stream';
import { WarpbookError } from '../errors';
import type { Graph } from '../graph/graph';
import type { GraphExec } from '../graph/graph-exec';
import type { Machine } from '../schedule/machine';
import { policies } from '../schedule/policies/known';
import type { Policy } from '../schedule/schedule';
import { requireCapacity, type StepBatch, type StepCapacity } from './batch';
import type { DecodeModel } from './model';
import { STEP_RULES } from './step-params';

/** What {@link Strategy.capture} did. */
export interface CaptureReport {
  /** Host time of capturing and instantiating, ns; kernels were compiled and loaded before. */
  readonly captureNs: number;
  readonly graphs: number;
  /** Of all graphs; a child graph or a conditional node is one. */
  readonly nodes: number;
}

/** What one call of {@link Strategy.step} enqueued. */
export interface StepReport {
  /** How: a whole graph, graphs for all but attention, or launch by launch. */
  readonly path: 'graph' | 'piecewise' | 'eager';
  /** Decode steps that this call stands for; more than one where a loop runs on the device. */
  readonly steps: number;
  /** Why it took another way than the strategy's own. */
  readonly fallback?: string;
  /** Graphs that were captured, or updated as a whole, for it. */
  readonly recaptured: number;
  /** Rows that were computed for nobody. */
  readonly paddedRows: number;
  /** CTAs of a launch of attention that had no keys to read; undefined where only the device knows. */
  readonly idleCtas?: number;
  /** Host time of deciding on launches and uploading that, ns, of all. */
  readonly planNs: number;
  /** Bytes of copies to the device. */
  readonly uploadedBytes: number;
}

/** What a strategy holds. */
export interface StrategyMemory {
  readonly graphs: number;
  /** Of instances of graphs, as `exec.memory()` tells them. */
  readonly instanceBytes: number;
  /** Work lists, partial states, page lists and what launches are told through. */
  readonly workspaceBytes: number;
}

/** A limit of a strategy, and its reason. */
export interface Limit {
  readonly what: string;
  readonly why: string;
}

/** What a strategy says of itself. */
export interface StrategyExplanation {
  readonly name: string;
  /** One sentence. */
  readonly does: string;
  /** What a replay follows without being captured anew. */
  readonly follows: readonly string[];
  /** What is frozen at capture. */
  readonly freezes: readonly string[];
  readonly cannot: readonly Limit[];
  /** Device, and CUDA version where it matters. */
  readonly needs: string;
}

/** One way to live with CUDA graphs; see the file head. */
export interface Strategy {
  readonly name: string;
  /**
   * Makes all that steps need: compiles, allocates, captures. Throws `UNSUPPORTED`, saying what is missing, where the device or its
   * driver lacks the strategy's mechanism.
   */
  capture(capacity: StepCapacity): Promise<CaptureReport>;
  /**
   * Enqueues a step. Throws `CAPACITY_EXCEEDED` for a batch that it was not captured for, and has enqueued nothing then: the next
   * step may follow.
   */
  step(batch: StepBatch): StepReport | Promise<StepReport>;
  /** Waits for what is enqueued; throws `DEVICE_LAUNCH` where a kernel could not launch or choose what it was to. */
  check(): Promise<void>;
  memory(): Promise<StrategyMemory>;
  explain(): StrategyExplanation;
  dispose(): void;
}

/** Options of every strategy. */
export interface StrategyOptions {
  /** Of persistent kernels; default adaptive. Where the device plans, one that its planner knows. */
  readonly policy?: Policy;
}

const NOTHING_SENT = { uploadedBytes: 0, planNs: 0 } as const;

/** What strategies share: the wrapper and its launches, the checks ahead of a step, the count of graphs. */
export abstract class StepStrategy implements Strategy {
  abstract readonly name: string;
  protected readonly graphs: Graph[] = [];
  protected readonly execs: GraphExec[] = [];
  private attentionWrapper: BatchDecode | undefined;
  private captured: StepCapacity | undefined;
  private boundLaunches: readonly Launch[] = [];

  constructor(
    readonly model: DecodeModel,
    protected readonly options: StrategyOptions = {},
  ) {}

  abstract explain(): StrategyExplanation;
  /** Makes graphs, and whatever they point to. */
  protected abstract prepare(capacity: StepCapacity): Promise<void> | void;
  protected abstract run(batch: StepBatch): StepReport | Promise<StepReport>;

  /** Throws `UNSUPPORTED` where the device can't do it; before anything is made. */
  protected requireDevice(): void {
    return;
  }

  async capture(capacity: StepCapacity): Promise<CaptureReport> {
    this.requireDevice();
    const { model } = this;
    if (this.captured) this.release();
    const asked = { maxBatch: capacity.maxBatch, maxKvLen: capacity.maxKvLen };
    for (const key of ['maxBatch', 'maxKvLen'] as const) {
      if (Number.isInteger(asked[key]) && asked[key] >= 1 && asked[key] <= model[key]) continue;
      throw new WarpbookError(
        'INVALID_ARGUMENT',
        `${this.name}: capture for ${key} = ${asked[key]}; wanted an integer from 1 to ${model[key]}, which is the model's ${key}.`,
      );
    }
    this.attentionWrapper = await this.createWrapper();
    this.boundLaunches = this.launchesOf(this.attention);
    await this.load();
    const started = process.hrtime.bigint();
    try {
      await this.prepare(capacity);
    } catch (error) {
      this.release();
      throw error;
    }
    this.captured = { ...capacity };
    const captureNs = Number(process.hrtime.bigint() - started);
    const nodes = this.graphs.reduce((sum, graph) => sum + graph.size, 0);
    return { captureNs, graphs: this.execs.length, nodes };
  }

  step(batch: StepBatch): StepReport | Promise<StepReport> {
    requireCapacity(this.name, batch, this.capacity);
    return this.run(batch);
  }

  async check(): Promise<void> {
    const { launchError } = await this.model.memory.read();
    if (launchError === 0) return;
    this.model.memory.setWord('launchError', 0);
    const what =
      launchError === STEP_RULES.nothingFits
        ? 'found no graph that is made for so many requests'
        : `could not launch what it was to: the device runtime answered ${launchError}${explainLaunchError(launchError)}`;
    throw new WarpbookError(
      'DEVICE_LAUNCH',
      `${this.name}: a kernel ${what}. The steps since the last check are wrong.`,
      {
        cudaError: launchError,
      },
    );
  }

  async memory(): Promise<StrategyMemory> {
    const each = await Promise.all(this.execs.map((exec) => exec.memory()));
    const instanceBytes = each.reduce((sum, { ownBytes }) => sum + ownBytes, 0);
    const workspaceBytes = this.workspaceBuffers().reduce((sum, { byteLength }) => sum + byteLength, 0);
    return { graphs: this.execs.length, instanceBytes, workspaceBytes };
  }

  dispose(): void {
    this.release();
  }

  /** The wrapper; its plan is the work list of all layers. */
  protected get attention(): BatchDecode {
    if (!this.attentionWrapper) throw notCaptured(this.name);
    return this.attentionWrapper;
  }

  /** A wrapper with room for all that the model may run, which has nobody to plan for yet. */
  protected async createWrapper(): Promise<BatchDecode> {
    const { model } = this;
    const wrapper = await BatchDecode.create({
      device: model.device,
      numQoHeads: model.numQoHeads,
      numKvHeads: model.numKvHeads,
      headDim: model.headDim,
      dtype: model.dtype,
      pageSize: model.pageSize,
      capacity: { maxBatch: model.maxBatch, maxPages: model.caches[0].numPages, maxCtas: this.maxCtas() },
    });
    // A planner on the device wants pages for everybody whom it may be asked to plan.
    wrapper.plan(paddedTable(model), { policy: policies.noSplit });
    return wrapper;
  }

  /** Attention of each layer by a wrapper's work list. */
  protected launchesOf(wrapper: BatchDecode): Launch[] {
    const { model } = this;
    return model.caches.map((cache, i) =>
      wrapper.bindRun(model.q, cache, { output: model.outputs[i], lse: model.lses[i] }),
    );
  }

  /** Attention of each layer, as a launch that the machine's grid fits. */
  protected get launches(): readonly Launch[] {
    return this.boundLaunches;
  }

  protected get capacity(): StepCapacity {
    if (!this.captured) throw notCaptured(this.name);
    return this.captured;
  }

  /** What is planned for: the device's own, with the tile class of the kernel. Known before the wrapper is made. */
  protected machine(): Machine {
    return this.attentionWrapper?.machine ?? machineOf(this.model.device);
  }

  /** CTAs that a work list may have; default: the machine's. */
  protected maxCtas(): number | undefined {
    return undefined;
  }

  /** Compiles and loads what `prepare` captures. */
  protected load(): Promise<void> | void {
    return;
  }

  /** Everything of the strategy's own that launches point to. */
  protected workspaceBuffers(): readonly { byteLength: number }[] {
    return this.attentionWrapper?.memory.buffers ?? [];
  }

  /** Keeps a graph and an instance of it until the strategy is disposed. */
  protected keep(graph: Graph, deviceLaunch = false): GraphExec {
    this.graphs.push(graph);
    const exec = graph.instantiate({ deviceLaunch });
    this.execs.push(exec);
    return exec;
  }

  /** Where members changed: the device learns who runs, and which pages are whose. Bytes of the copies. */
  protected seat(batch: StepBatch): number {
    if (!batch.table) return 0;
    return this.model.seat(batch) + this.tellPages(this.attention, batch.table);
  }

  /** Tells a wrapper which pages are whose; bytes of the copy. The list that this plans is overwritten on the device. */
  protected tellPages(wrapper: BatchDecode, table: PageTable): number {
    return wrapper.plan(paddedTable(this.model, table), { policy: policies.noSplit }).cost.uploadedBytes;
  }

  /** As {@link seat}, with the host's time of it; a step in which nobody joins or leaves asks no clock. */
  protected timedSeat(batch: StepBatch): { uploadedBytes: number; planNs: number } {
    if (!batch.table) return NOTHING_SENT;
    const started = process.hrtime.bigint();
    const uploadedBytes = this.seat(batch);
    const planNs = Number(process.hrtime.bigint() - started);
    batch.onSent?.();
    return { uploadedBytes, planNs };
  }

  protected release(): void {
    for (const exec of this.execs) exec.dispose();
    for (const graph of this.graphs) graph.dispose();
    this.execs.length = 0;
    this.graphs.length = 0;
    this.attentionWrapper?.dispose();
    this.attentionWrapper = undefined;
    this.boundLaunches = [];
    this.captured = undefined;
  }
}

/** The table with seats that nobody takes, without a page: a planner on the device is made for as many as may run. */
function paddedTable(model: DecodeModel, table?: PageTable): PageTable {
  const kvLens = new Int32Array(model.maxBatch);
  const indptr = new Int32Array(model.maxBatch + 1);
  const indices = table?.pagedKvIndices ?? new Int32Array(0);
  if (table) {
    kvLens.set(table.kvLens);
    indptr.set(table.pagedKvIndptr);
    indptr.fill(indices.length, table.batchSize + 1);
  }
  return new PageTable({ pagedKvIndptr: indptr, pagedKvIndices: indices, kvLens, pageSize: model.pageSize });
}

function notCaptured(name: string): WarpbookError {
  return new WarpbookError('INVALID_ARGUMENT', `${name}: step() before capture(); capture for a capacity first.`);
}

/** The errors of the device runtime that a launcher meets. */
function explainLaunchError(error: number): string {
  if (error === 69)
    return ' (cudaErrorLaunchPendingCountExceeded: more launches wait than the device keeps, 2,048 by default)';
  if (error === 9) return ' (cudaErrorInvalidConfiguration: the child may not have that much shared memory)';
  return '';
}
