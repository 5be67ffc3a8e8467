/** A pool whose dispatcher is a kernel: it launches one of several graphs that lie ready on the device, the smallest that fits. */
import { capture } from '../graph/capture';
import { ChoosingStrategy } from './choosing';
import { type Choices, loadMechanisms, requireCuda } from './mechanism';
import { mechanismPrograms } from './step-programs';
import type { StrategyExplanation } from './strategy';

export class DeviceGraphStrategy extends ChoosingStrategy {
  readonly name: string = 'deviceGraph';

  explain(): StrategyExplanation {
    return {
      name: this.name,
      does: 'A kernel reads how many requests run and launches the smallest of several graphs that fits, behind itself (tail launch).',
      follows: ['batch size, by choosing a graph', 'lengths', 'pages'],
      freezes: ['rows, in each graph', 'capacity', 'policy'],
      cannot: [
        {
          what: 'launch a graph with conditional nodes or kernels that launch kernels',
          why: 'CUDA instantiates none for the device',
        },
        { what: 'launch a graph twice at a time', why: 'an instance runs once at a time; a second launch is an error' },
        { what: 'be changed while it runs', why: 'an instance that was updated has to be uploaded anew by the host' },
      ],
      needs: 'CUDA 12.0',
    };
  }

  protected override requireDevice(): void {
    requireCuda(this.name, this.model.device, 'graphs that kernels launch', 12000);
  }

  protected override load(): Promise<void> {
    return loadMechanisms(this.model.device, [mechanismPrograms.chooseGraph]);
  }

  protected prepareChoices(choices: Choices): void {
    const { device } = this.model;
    const chooser = this.keep(capture(device, () => device.stream.launch(choices.launch('choose_graph'))));
    for (const [index, size] of this.sizes.entries()) {
      const exec = this.keep(
        capture(device, () => this.enqueueStep(size, { pdl: false })),
        true,
      );
      exec.writeHandle(choices.handles, 8 * index);
    }
    this.execs.splice(this.execs.indexOf(chooser), 1);
    this.execs.unshift(chooser);
  }
}
