/** Which policies are property-tested: their schedules aren't validated at every plan, nor is there a limit on their time. */
import type { Policy } from './schedule';

const trusted = new WeakSet<Policy>();

/** Marks a policy as property-tested: its schedules are not validated at every plan. */
export function trustPolicy<P extends Policy>(policy: P): P {
  trusted.add(policy);
  return policy;
}

export function isTrusted(policy: Policy): boolean {
  return trusted.has(policy);
}
