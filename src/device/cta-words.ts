/** What a launch has otherwise than its program, as the addon takes it: eight words in one typed array, which is reused. */
import type { CtaOverrides } from './backend';

const AS_PROGRAM = -1;

/** See the file head. */
export class CtaWords {
  private readonly words: Int32Array = new Int32Array(8);

  /** Valid until the next call. */
  pack({ threads, sharedMemoryBytes, cooperative, pdl, clusterSize, deviceUpdatable }: CtaOverrides): Int32Array {
    const { words } = this;
    for (let axis = 0; axis < 3; axis++) words[axis] = threads?.[axis] ?? 0;
    words[3] = sharedMemoryBytes ?? AS_PROGRAM;
    words[4] = cooperative === undefined ? AS_PROGRAM : Number(cooperative);
    words[5] = pdl === undefined ? AS_PROGRAM : Number(pdl);
    words[6] = clusterSize ?? AS_PROGRAM;
    words[7] = Number(deviceUpdatable ?? false);
    return words;
  }
}
