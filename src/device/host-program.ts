/**
 * Programs that run at once, on the caller's thread and over the caller's memory: what fills a staging slot faster than
 * JavaScript does. They are those of the CPU device, by name, and need no device; so they are on this side of the seam, as
 * staging memory is.
 */
import type { Addon } from '../native/addon';
import { loadAddon } from '../native/load';
import type { ParamField } from './params';

/** Memory that a program reads or writes; it has to be as large as the program takes it for. */
export type HostMemory = Int32Array | Uint8Array;

/** See the file head. Parameters are kept packed, so that a call sets only the words that changed. */
export class HostProgram {
  /** The parameters as int32 words. */
  readonly words: Int32Array;
  private readonly addon: Addon;
  private readonly index: number;
  private readonly params: Uint8Array;
  private readonly offsets: Int32Array;

  /**
   * @param params packed by the program's layout
   * @param addresses the fields that memory is given for, in the order in which {@link run} gets it; others stay as packed
   */
  constructor(name: string, params: Uint8Array, addresses: readonly ParamField[]) {
    this.addon = loadAddon();
    this.index = this.addon.cpu_program_names().indexOf(name);
    this.params = params.slice();
    this.words = new Int32Array(this.params.buffer);
    this.offsets = Int32Array.from(addresses, ({ offset }) => offset);
  }

  /** Runs it with a grid of one CTA, and returns when it has ended. Throws `NATIVE` where it can't be. */
  run(memory: readonly HostMemory[]): void {
    this.addon.cpu_run_program(this.index, this.params, this.offsets, memory);
  }
}
