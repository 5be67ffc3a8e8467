/**
 * A graph that the host changes ahead of each replay: grids and by-value parameters of its launches
 * (cuGraphExecKernelNodeSetParams), or all of it by a graph that is captured anew (cuGraphExecUpdate).
 */
import { capture } from '../graph/capture';
import type { Graph } from '../graph/graph';
import type { StepBatch, StepCapacity } from './batch';
import type { ChunkValues } from './chunk-launch';
import { planChunks } from './chunk-plan';
import { ChunkedStrategy } from './chunked';
import type { DecodeModel } from './model';
import type { StepReport, StrategyExplanation, StrategyOptions } from './strategy';

export interface HostUpdateOptions extends StrategyOptions {
  /** `nodes` (default): launch by launch; `graph`: all at once. */
  readonly update?: 'nodes' | 'graph';
}

/** Places in the graph: advance, the work list, then three launches a layer. */
const LIST_NODE = 1;
const attentionNode = (layer: number): number => 2 + 3 * layer + 2;

export class HostUpdateStrategy extends ChunkedStrategy {
  readonly name: string;
  private readonly whole: boolean;
  private current: ChunkValues | undefined;

  constructor(model: DecodeModel, options: HostUpdateOptions = {}) {
    super(model, options);
    this.whole = options.update === 'graph';
    this.name = this.whole ? 'hostUpdateGraph' : 'hostUpdate';
  }

  explain(): StrategyExplanation {
    const limits = [
      {
        what: 'run ahead of the host',
        why: 'a replay has what the nodes were given before it; each update is a driver call',
      },
      { what: 'change the program of a launch, or add one', why: 'an instance keeps its nodes and edges' },
    ];
    return {
      name: this.name,
      does: this.whole
        ? 'Captures the step anew and exchanges what all nodes of one instance do, ahead of each replay.'
        : 'Gives the launches of one instance new grids and by-value parameters ahead of each replay, where they changed.',
      follows: ['batch size', 'lengths', 'pages', 'grid', 'kv_chunk_size'],
      freezes: this.whole ? ['nodes and edges'] : ['nodes and edges', 'rows of the matrix products'],
      cannot: limits,
      needs: 'any device',
    };
  }

  protected prepare(capacity: StepCapacity): void {
    const plan = planChunks(new Int32Array(capacity.maxBatch).fill(1), this.limits());
    const rows = capacity.maxBatch;
    const numItems = this.itemsOf(plan);
    this.current = { numRequests: rows, kvChunkSize: plan.kvChunkSize, numItems, split: plan.split };
    this.arrays.send(plan, false);
    this.keep(this.captureStep(rows, this.current));
  }

  private captureStep(rows: number, values: ChunkValues): Graph {
    return capture(this.model.device, () => this.enqueueStep(rows, values));
  }

  protected run(batch: StepBatch): StepReport | Promise<StepReport> {
    const { plan, uploadedBytes, planNs } = this.planStep(batch);
    const n = batch.kvLens.length;
    const values = { numRequests: n, kvChunkSize: plan.kvChunkSize, numItems: this.itemsOf(plan), split: plan.split };
    const report = { path: 'graph', steps: 1, idleCtas: 0, planNs, uploadedBytes } as const;
    if (this.whole) return this.exchange(n, values, report);
    this.updateNodes(values);
    this.execs[0].replay();
    return { ...report, recaptured: 0, paddedRows: this.capacity.maxBatch - n };
  }

  private updateNodes(values: ChunkValues): void {
    const [exec] = this.execs;
    const before = this.current;
    const same =
      before?.numRequests === values.numRequests &&
      before?.kvChunkSize === values.kvChunkSize &&
      before?.numItems === values.numItems;
    if (!same) exec.updateNode(LIST_NODE, this.arrays.launch(this.attention, values));
    if (before?.numItems !== values.numItems) {
      for (let layer = 0; layer < this.model.layers; layer++) {
        exec.updateNode(attentionNode(layer), this.attentionOf(layer, values.numItems));
      }
    }
    this.current = values;
  }

  private async exchange(
    rows: number,
    values: ChunkValues,
    report: Omit<StepReport, 'recaptured' | 'paddedRows'>,
  ): Promise<StepReport> {
    const graph = this.captureStep(rows, values);
    try {
      await this.execs[0].update(graph);
    } finally {
      graph.dispose();
    }
    this.execs[0].replay();
    return { ...report, recaptured: 1, paddedRows: 0 };
  }
}
