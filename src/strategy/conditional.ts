/** A SWITCH node: one graph with a body for each of several configurations, of which a kernel chooses one at each replay. */
import { capture } from '../graph/capture';
import { ChoosingStrategy } from './choosing';
import { type Choices, loadMechanisms, requireCuda } from './mechanism';
import { mechanismPrograms } from './step-programs';
import type { StrategyExplanation } from './strategy';

/** The node behind the kernel that chooses. */
const SWITCH_NODE = 1;

export class ConditionalStrategy extends ChoosingStrategy {
  readonly name: string = 'conditional';

  explain(): StrategyExplanation {
    return {
      name: this.name,
      does: 'One graph with a SWITCH node: a kernel reads how many requests run and sets which body, of as many rows, is run.',
      follows: ['batch size, by choosing a body', 'lengths', 'pages'],
      freezes: ['rows, in each body', 'capacity', 'policy'],
      cannot: [
        { what: 'hold a launcher kernel', why: 'dynamic parallelism may not stand in a conditional body' },
        { what: 'begin early', why: 'a conditional node has no programmatic edges: the chain of kernels breaks there' },
        { what: 'be launched by a kernel', why: 'CUDA instantiates no graph with conditional nodes for the device' },
      ],
      needs: 'CUDA 12.8',
    };
  }

  protected override requireDevice(): void {
    requireCuda(this.name, this.model.device, 'a SWITCH node', 12080);
  }

  protected override load(): Promise<void> {
    return loadMechanisms(this.model.device, [mechanismPrograms.chooseBody]);
  }

  protected prepareChoices(choices: Choices): void {
    const { device } = this.model;
    const bodies = this.sizes.map((size) => capture(device, () => this.enqueueStep(size)));
    const graph = capture(device, () => {
      device.stream.launch(choices.launch('choose_body'));
      device.stream.launchConditional('switch', bodies);
    });
    for (const body of bodies) body.dispose();
    this.keep(graph);
    graph.writeHandle(SWITCH_NODE, choices.handles);
  }
}
