/**
 * Nodes that a kernel of the same graph changes: behind the planner, one gives attention as many CTAs as the work list has tiles, and
 * switches the merge behind it on where something was split.
 */
import type { Buffer } from '../device/buffer';
import { capture } from '../graph/capture';
import type { StepBatch, StepCapacity } from './batch';
import { DevicePlannedStrategy } from './device-planned';
import { loadMechanisms, requireCuda } from './mechanism';
import { updateNodesParams } from './step-params';
import { mechanismPrograms } from './step-programs';
import type { StepReport, StrategyExplanation } from './strategy';

/** Places in the graph: advance, planner, updates, then product, append, attention and merge of each layer. */
const attentionNode = (layer: number): number => 3 + 4 * layer + 2;
const mergeNode = (layer: number): number => 3 + 4 * layer + 3;

export class UpdatableNodesStrategy extends DevicePlannedStrategy {
  readonly name: string = 'updatableNodes';
  private nodes: Buffer | undefined;

  explain(): StrategyExplanation {
    return {
      name: this.name,
      does: 'A kernel behind the planner sets the grid of each launch of attention, and switches the merge behind it on or off.',
      follows: ['batch size', 'lengths', 'pages', 'grid of attention', 'whether there is something to merge'],
      freezes: ['capacity', 'policy', 'programs and their shared memory'],
      cannot: [
        {
          what: 'be instantiated twice, or updated as a whole by the host',
          why: 'CUDA keeps one instance of a graph with such nodes',
        },
        {
          what: 'change the program or the shared memory of a node',
          why: 'kernels may change grid, parameters and the switch alone',
        },
      ],
      needs: 'CUDA 12.4',
    };
  }

  protected override requireDevice(): void {
    requireCuda(this.name, this.model.device, 'nodes that kernels update', 12040);
  }

  protected override load(): Promise<void> {
    return loadMechanisms(this.model.device, [mechanismPrograms.updateNodes, mechanismPrograms.mergePartials]);
  }

  protected prepare(capacity: StepCapacity): void {
    const { model } = this;
    const { device, memory, layers } = model;
    const { image, layout } = this.attention.memory;
    const nodes = device.allocate(8 * 2 * layers, { label: 'handles of nodes' });
    this.nodes = nodes;
    const update = {
      program: 'update_nodes',
      grid: [1, 1, 1],
      params: updateNodesParams.pack({
        state: memory.state.address(),
        nodes: nodes.address(),
        workspace: image.address(),
        num_layers: layers,
        tiles_offset: layout.offsets.tiles,
      }),
      buffers: [...memory.buffers, nodes, image],
    } as const;
    const graph = capture(device, () =>
      this.enqueueStep(capacity.maxBatch, {
        // Its list has a tile for each CTA, so that the number of tiles is a grid.
        policy: 'binarySearch',
        pdl: false,
        planned: () => device.stream.launch(update),
        attention: (layer) => {
          const launch = this.launches[layer];
          device.stream.launch({ ...launch, pdl: false, deviceUpdatable: true });
          const { params, buffers } = launch;
          device.stream.launch({ program: 'merge_partials', grid: [1, 1, 1], params, buffers, deviceUpdatable: true });
        },
      }),
    );
    for (let layer = 0; layer < layers; layer++) {
      graph.writeHandle(attentionNode(layer), nodes, 8 * layer);
      graph.writeHandle(mergeNode(layer), nodes, 8 * (layers + layer));
    }
    this.keep(graph);
  }

  protected run(batch: StepBatch): StepReport {
    return this.replayStep(batch);
  }

  protected override release(): void {
    super.release();
    this.nodes?.dispose();
    this.nodes = undefined;
  }
}
