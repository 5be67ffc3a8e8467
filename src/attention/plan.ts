/** A plan: the Schedule that a wrapper's workspace was last rewritten with, and what the rewriting cost. */
import type { Schedule } from '../schedule/schedule';
import type { WrapperCapacity } from './capacity';

export interface PlanCost {
  /** Time of the policy, with its checks where it isn't a built-in one. */
  policyNs: number;
  /** Time of packing and of enqueueing the copies. */
  packNs: number;
  /** Bytes of the copies to the device. */
  uploadedBytes: number;
}

export class Plan {
  /** Counts up with each plan of a wrapper. */
  readonly id: number;
  readonly schedule: Schedule;
  readonly capacity: WrapperCapacity;
  readonly cost: PlanCost;
  private readonly waitForSlot: () => Promise<void>;

  constructor(
    id: number,
    schedule: Schedule,
    capacity: WrapperCapacity,
    cost: PlanCost,
    waitForSlot: () => Promise<void>,
  ) {
    this.id = id;
    this.schedule = schedule;
    this.capacity = capacity;
    this.cost = cost;
    this.waitForSlot = waitForSlot;
  }

  /** Resolves when the next `plan()` will find a free staging slot. */
  ready(): Promise<void> {
    return this.waitForSlot();
  }

  toString(): string {
    return `Plan(${this.schedule}, ${this.cost.uploadedBytes} bytes uploaded)`;
  }
}
