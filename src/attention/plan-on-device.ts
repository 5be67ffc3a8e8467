/** The launch of the planner on the device, and the checks of what it is given. Knows no wrapper. */
import type { Buffer } from '../device/buffer';
import type { Device } from '../device/device';
import type { Stream } from '../device/stream';
import { WarpbookError } from '../errors';
import type { Tensor } from '../tensor/tensor';
import type { DevicePlanValues } from './device-plan';
import type { PageList } from './page-list';
import { PLAN_RULES, planTilesParams } from './plan-params';

/** What the planner reads and writes. */
export interface DevicePlanOperands {
  /** int32 [maxRequests] */
  readonly kvLens: Tensor;
  /** int32 [1]; undefined: as many requests as lengths. */
  readonly batchSize: Tensor | undefined;
  readonly pageList: PageList;
  /** The workspace image. */
  readonly image: Buffer;
}

/**
 * Checks the tensors of a plan on the device and answers with the number of lengths.
 * @throws WarpbookError SHAPE_MISMATCH, DTYPE_MISMATCH, DEVICE_MISMATCH
 */
export function checkLengths(device: Device, kvLens: Tensor, batchSize: Tensor | undefined): number {
  requireVector(device, 'kvLens', kvLens);
  if (batchSize) {
    requireVector(device, 'batchSize', batchSize);
    if (batchSize.numel !== 1) {
      throw new WarpbookError('SHAPE_MISMATCH', `planOnDevice: batchSize is ${batchSize}; wanted int32 [1].`);
    }
  }
  if (kvLens.numel === 0) {
    throw new WarpbookError('SHAPE_MISMATCH', 'planOnDevice: kvLens is empty; wanted a length for each request.');
  }
  return kvLens.numel;
}

function requireVector(device: Device, name: string, tensor: Tensor): void {
  if (tensor.device !== device) {
    throw new WarpbookError(
      'DEVICE_MISMATCH',
      `planOnDevice: ${name} is on ${tensor.device.name}, the wrapper on ${device.name}; use ${name}.to(device).`,
    );
  }
  if (tensor.dtype !== 'int32') {
    throw new WarpbookError('DTYPE_MISMATCH', `planOnDevice: ${name} is ${tensor.dtype}; wanted int32.`);
  }
  if (tensor.ndim !== 1 || !tensor.isContiguous) {
    throw new WarpbookError('SHAPE_MISMATCH', `planOnDevice: ${name} is ${tensor}; wanted a contiguous vector.`);
  }
}

/** Why the page list can't serve as many requests; undefined if it can. */
export function missingPages(numListed: number, maxRequests: number): string | undefined {
  if (numListed >= maxRequests) return undefined;
  return `lengths of ${maxRequests} requests, but the page table that was planned last has ${numListed}`;
}

/** Enqueues the planner. May be captured. */
export function enqueueDevicePlan(stream: Stream, values: DevicePlanValues, operands: DevicePlanOperands): void {
  const { kvLens, batchSize, pageList, image } = operands;
  stream.launch({
    program: 'plan_tiles',
    grid: [PLAN_RULES.plannerCtas, 1, 1],
    params: planTilesParams.pack({
      ...values,
      kv_lens: kvLens.address(),
      num_requests: batchSize?.address() ?? null,
      page_ranges: pageList.ranges(),
      workspace: image.address(),
    }),
    buffers: [kvLens.buffer, ...(batchSize ? [batchSize.buffer] : []), pageList.buffer, image],
  });
}
