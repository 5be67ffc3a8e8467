/** What the attention wrappers are made with, planned with and run with, and what they give. */
import type { Device } from '../device/device';
import type { Stream } from '../device/stream';
import type { Machine } from '../schedule/machine';
import type { Policy } from '../schedule/schedule';
import type { Tensor } from '../tensor/tensor';
import type { CapacityOptions } from './capacity';
import type { DevicePolicy } from './device-plan';
import type { AttentionVariantOptions } from './variant';

/** Options of both wrappers. */
export interface BatchAttentionOptions extends AttentionVariantOptions {
  device?: Device;
  /** Tokens per page of the caches it will read; default 16. */
  pageSize?: number;
  capacity: CapacityOptions;
  /**
   * Make room for schedules that attend to a prefix once for all requests that share it (`policies.cascade`); default false.
   * A CUDA device then brings a kernel that gathers rows, up to 16 of them in a tile. What `capacity` says goes first.
   */
  sharedPrefixes?: boolean;
  /**
   * Machine to plan for; default: the device's own. Its CTA slots are the grid. On a CUDA device the kernel brings its own
   * tile class.
   */
  machine?: Machine;
  /** Record when each CTA works on what; default false. See `timeline()`. */
  trace?: boolean;
}

/** Options of `plan()`. */
export interface PlanOptions {
  /** Default: `policies.adaptive` for decode, `policies.binarySearch` for prefill. */
  policy?: Policy;
  /** Check the schedule before it is used; default: unless the policy is a built-in one. */
  validate?: boolean;
  /** Milliseconds after which a policy of your own is stopped; default 1,000. */
  timeLimitMs?: number;
  /** Default: the device's default stream; the launch must follow on the same one. */
  stream?: Stream;
}

/** Options of `planOnDevice()`. */
export interface DevicePlanOptions {
  /** Default adaptive. */
  policy?: DevicePolicy;
  /** Query tokens of each request; default 1. */
  qoLen?: number;
  /** Requests of the step, int32 [1] on the device, where that may be fewer than there are lengths. */
  batchSize?: Tensor;
  /** Default: the device's default stream; the launch must follow on the same one. */
  stream?: Stream;
}

/** What a device counts while it plans and runs. */
export interface DeviceStatus {
  /** Page indices out of range, skipped. */
  skippedPages: number;
  /** Lengths that a planner on the device was given and cut to what their pages hold. */
  badLengths: number;
  /** Plans on the device that didn't fit the capacity and split nothing instead. */
  unsplitPlans: number;
}

/** Options of `run()`. */
export interface RunOptions {
  /** Output, dtype of q, shape of q; default: a new tensor. Needed in a capture. Rows that are not planned stay untouched. */
  out?: Tensor;
  /** LSE, float32 [numQoTokens, numQoHeads]; default: a new tensor. Needed in a capture. */
  lse?: Tensor;
  /**
   * Attention sinks, contiguous float32 [numQoHeads]: logits of one more key of each head, neither scaled nor capped, whose
   * value is zero. They count in the LSE; a row that sees no key gives 0 and its head's sink. Wanted exactly where the
   * variant has `sinks`.
   */
  sinks?: Tensor;
  /**
   * Contiguous float32 [numQoHeads]: slope · (key position − query position) is added to each logit, after scale and soft
   * cap; see `alibiSlopes()`. Wanted exactly where the variant has `alibi`.
   */
  alibiSlopes?: Tensor;
  stream?: Stream;
}

/** What a run gives: output and log-sum-exp of every query token and head. */
export interface AttentionResult {
  /** [numQoTokens, numQoHeads, headDim], dtype of q. */
  output: Tensor;
  /** float32 [numQoTokens, numQoHeads], natural logarithm. */
  lse: Tensor;
}
