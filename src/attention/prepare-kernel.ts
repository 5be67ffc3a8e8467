/**
 * The kernel behind a wrapper, made ready before the wrapper is: on a CUDA device the build that its variant needs is
 * compiled or taken from the cache, and loaded; the CPU device has one program for all.
 */
import type { Device } from '../device/device';
import { loadPrograms } from '../device/programs/load-programs';
import type { ProgramSource } from '../device/programs/program-source';
import type { Machine, TileClass } from '../schedule/machine';
import { ceilDiv } from '../units';
import type { CapacityOptions } from './capacity';
import { attentionProgram, mostDecodeRows, selectKernel, tileClassOf } from './kernel-variants';
import { machineOf } from './machine-of';
import { findPrefillKernel, prefillProgram, prefillTileClass } from './prefill-variants';
import { type AttentionVariantOptions, makeVariant } from './variant';

/** What a launch needs to know of its kernel. */
export interface PreparedKernel {
  /** Name of the program. */
  readonly program: string;
  /** The machine to plan for: its first tile class is the kernel's. */
  readonly machine: Machine;
}

interface Wanted extends AttentionVariantOptions {
  readonly pageSize?: number;
  readonly capacity: CapacityOptions;
  readonly machine?: Machine;
  readonly trace?: boolean;
  readonly sharedPrefixes?: boolean;
}

/**
 * Answers with the loaded kernel. `options.machine` says how many SMs to use; its tile classes count on the CPU device only.
 * @throws WarpbookError UNSUPPORTED where the device has no kernel for the variant, or it can't be had; COMPILATION_FAILED
 */
export async function prepareKernel(
  device: Device,
  options: Wanted,
  defaults: { causal: boolean; paged: boolean },
): Promise<PreparedKernel> {
  const machine = options.machine ?? machineOf(device);
  const { architecture } = device.description;
  if (architecture === undefined) return { program: 'attention', machine };
  const { program, tileClass } = chooseProgram(options, defaults, architecture);
  await loadPrograms(device, [program]);
  return { program: program.name, machine: { ...machine, tileClasses: [tileClass] } };
}

/**
 * Rows of a build for wrappers that gather rows. Twice as many would read a prefix half as often, but were slower or as fast in all
 * cases that were measured (docs/policies.md), and slow the tiles that gather none.
 */
const GATHERED_ROWS = 16;

/**
 * The program for a wrapper and the tile class that it is planned with: the decode kernel where the capacity leaves a request no
 * more query rows than one pass of it takes, the prefill kernel where it leaves more. Either takes any batch.
 * @throws WarpbookError UNSUPPORTED
 */
export function chooseProgram(
  options: Wanted,
  defaults: { causal: boolean; paged: boolean },
  architecture: string,
): { program: ProgramSource; tileClass: TileClass } {
  const variant = makeVariant(options, defaults.causal);
  const { maxBatch, maxQoTokens = maxBatch, maxSegments = 0 } = options.capacity;
  const { sharedPrefixes = false } = options;
  const maxRows = options.capacity.maxRows ?? (sharedPrefixes ? maxQoTokens * variant.numQoHeads : 0);
  const rowsOfRequest = (variant.numQoHeads / variant.numKvHeads) * ceilDiv(maxQoTokens, Math.max(1, maxBatch));
  // Gathered tiles hold rows of several requests, to read what these share once.
  const rows = Math.max(rowsOfRequest, Math.min(maxRows, GATHERED_ROWS));
  const traced = options.trace ?? false;
  const prefill = rows > mostDecodeRows(variant.headDim) ? findPrefillKernel(variant, traced, architecture) : undefined;
  if (prefill) {
    return { program: prefillProgram(prefill, architecture), tileClass: prefillTileClass(prefill, architecture) };
  }
  const pageSize = defaults.paged ? (options.pageSize ?? 16) : 1;
  const decode = selectKernel(variant, { rows, pageSize, traced, maxSegments, maxRows });
  return { program: attentionProgram(decode, architecture), tileClass: tileClassOf(decode, architecture) };
}
