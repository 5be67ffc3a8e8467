/** A plan: what a wrapper's workspace was last rewritten with, by the host or by a planner on the device. */
import type { Schedule } from '../schedule/schedule';
import type { WrapperCapacity } from './capacity';
import type { DevicePolicy } from './device-plan';

/** What a plan cost the host, in nanoseconds, and what it sent. */
export interface PlanCost {
  /**
   * Time of the policy, with its checks where it isn't a built-in one; and of packing, where native code does both in one (see
   * `BatchDecode.plan()`).
   */
  policyNs: number;
  /** Time of packing and of enqueueing the copies. */
  packNs: number;
  /** Bytes of the copies to the device. */
  uploadedBytes: number;
}

/** What a {@link Plan} is made of. */
export interface PlanParts {
  readonly capacity: WrapperCapacity;
  readonly cost: PlanCost;
  readonly numQoTokens: number;
  /** Gives the schedule, when somebody looks at it: native code writes plans without making one. */
  readonly schedule: () => Schedule;
  readonly ready: () => Promise<void>;
}

/** Made by `plan()`. */
export class Plan {
  /** Counts up with each plan of a wrapper. */
  readonly id: number;
  readonly capacity: WrapperCapacity;
  readonly cost: PlanCost;
  /** Query tokens of the batch. */
  readonly numQoTokens: number;
  private readonly waitForSlot: () => Promise<void>;
  private readonly makeSchedule: () => Schedule;
  private made: Schedule | undefined;

  constructor(id: number, parts: PlanParts) {
    this.id = id;
    this.capacity = parts.capacity;
    this.cost = parts.cost;
    this.numQoTokens = parts.numQoTokens;
    this.waitForSlot = parts.ready;
    this.makeSchedule = parts.schedule;
  }

  /** What the plan consists of. */
  get schedule(): Schedule {
    this.made ??= this.makeSchedule();
    return this.made;
  }

  /** The schedule, as `DevicePlan` has it. */
  async readSchedule(): Promise<Schedule> {
    return this.schedule;
  }

  /** Resolves when the next `plan()` will find a free staging slot. */
  ready(): Promise<void> {
    return this.waitForSlot();
  }

  toString(): string {
    return `Plan(${this.schedule}, ${this.cost.uploadedBytes} bytes uploaded)`;
  }
}

/** What a {@link DevicePlan} needs of its wrapper. */
export interface DevicePlanOwner {
  readonly capacity: WrapperCapacity;
  /** Reads the workspace back. */
  read(plan: DevicePlan): Promise<Schedule>;
  ready(): Promise<void>;
}

/** Made by `planOnDevice()`: the schedule is in device memory, and another one after each replay that plans. */
export class DevicePlan {
  /** Counts up with each plan of a wrapper; a graph's stays the same. */
  readonly id: number;
  readonly policy: DevicePolicy;
  /** Requests at most. */
  readonly maxRequests: number;
  /** Query tokens of each request. */
  readonly qoLen: number;
  private readonly owner: DevicePlanOwner;

  constructor(id: number, policy: DevicePolicy, maxRequests: number, qoLen: number, owner: DevicePlanOwner) {
    this.id = id;
    this.policy = policy;
    this.maxRequests = maxRequests;
    this.qoLen = qoLen;
    this.owner = owner;
  }

  get capacity(): WrapperCapacity {
    return this.owner.capacity;
  }

  /** Query tokens of the batch at most. */
  get numQoTokens(): number {
    return this.maxRequests * this.qoLen;
  }

  /**
   * The schedule that the workspace holds after everything enqueued so far. Waits for it.
   * @throws WarpbookError INVALID_ARGUMENT where the wrapper has been planned anew since, or this plan hasn't run yet
   */
  readSchedule(): Promise<Schedule> {
    return this.owner.read(this);
  }

  /** Resolves when the next `plan()` will find a free staging slot. */
  ready(): Promise<void> {
    return this.owner.ready();
  }

  toString(): string {
    return `DevicePlan(${this.policy}: up to ${this.maxRequests} requests of ${this.qoLen} query tokens)`;
  }
}
