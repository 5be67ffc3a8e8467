/** What the strategies need by which a GPU launches work for itself: the device, its driver, and small kernels that decide. */
import { chooseProgram } from '../attention/prepare-kernel';
import type { Buffer } from '../device/buffer';
import type { Device } from '../device/device';
import { loadPrograms } from '../device/programs/load-programs';
import type { ProgramSource } from '../device/programs/program-source';
import type { Launch } from '../device/stream';
import { WarpbookError } from '../errors';
import { fromHost } from '../tensor/create';
import type { Tensor } from '../tensor/tensor';
import type { DecodeModel } from './model';
import { chooseParams } from './step-params';

/** @throws WarpbookError UNSUPPORTED on the CPU device, and for a driver older than `cudaVersion` (12040 for 12.4) */
export function requireCuda(name: string, device: Device, mechanism: string, cudaVersion: number): void {
  const { driverVersion } = device.description;
  if (driverVersion === undefined) {
    throw new WarpbookError(
      'UNSUPPORTED',
      `${name} needs CUDA: it uses ${mechanism}, and device '${device.name}' is of kind '${device.kind}'. On the CPU device run ` +
        'eager, frozen, fixedGrid, persistent, devicePlanned, graphPool or hostUpdate.',
      { mechanism },
    );
  }
  if (driverVersion >= cudaVersion) return;
  throw new WarpbookError(
    'UNSUPPORTED',
    `${name} uses ${mechanism}, which CUDA ${versionText(cudaVersion)} brought; the driver is for CUDA ${versionText(driverVersion)}. ` +
      "Update NVIDIA's driver.",
    { mechanism, wanted: versionText(cudaVersion), got: versionText(driverVersion) },
  );
}

function versionText(version: number): string {
  return `${Math.floor(version / 1000)}.${Math.floor((version % 1000) / 10)}`;
}

/** Loads kernels that decide. */
export async function loadMechanisms(device: Device, sources: readonly ProgramSource[]): Promise<void> {
  await loadPrograms(device, sources);
}

/** The kernel of attention that a wrapper for this model has, as a source. */
export function attentionSource(model: DecodeModel): ProgramSource {
  const { numQoHeads, numKvHeads, headDim, dtype, pageSize, maxBatch } = model;
  const options = { numQoHeads, numKvHeads, headDim, dtype, pageSize, capacity: { maxBatch } };
  return chooseProgram(options, { causal: false, paged: true }, model.device.description.architecture as string)
    .program;
}

/** Sizes of the graphs or bodies that a kernel chooses among: a quarter, half and all of the capacity. */
export function choiceSizes(maxBatch: number): number[] {
  return [...new Set([Math.ceil(maxBatch / 4), Math.ceil(maxBatch / 2), maxBatch])];
}

/** What a choosing kernel reads: sizes, and room for handles. */
export class Choices {
  readonly sizes: Tensor;
  /** 8 bytes each. */
  readonly handles: Buffer;

  constructor(
    private readonly model: DecodeModel,
    private readonly numChoices: readonly number[],
  ) {
    this.sizes = fromHost(Int32Array.from(numChoices), {
      dtype: 'int32',
      device: model.device,
      label: 'sizes to choose from',
    });
    this.handles = model.device.allocate(8 * numChoices.length, { label: 'handles for kernels' });
  }

  /** The launch of `choose_graph` or `choose_body`. */
  launch(program: string): Launch {
    const { state } = this.model.memory;
    return {
      program,
      grid: [1, 1, 1],
      params: chooseParams.pack({
        state: state.address(),
        sizes: this.sizes.address(),
        handles: this.handles.address(),
        num_choices: this.numChoices.length,
      }),
      buffers: [...this.model.memory.buffers, this.sizes.buffer, this.handles],
    };
  }

  dispose(): void {
    this.sizes.dispose();
    this.handles.dispose();
  }
}
