/**
 * Where the CTAs of a launch run and when they start, in a chain of launches: on the places that the launch before leaves, in the order in
 * which it leaves them. Knows no tiles.
 */
import type { Schedule } from '../schedule/schedule';
import type { CostModel, KernelCost } from './cost-model';

/** Where the CTAs of a launch run, and from when on. */
export interface Places {
  /** SM of each CTA; int32 [numCtas]. */
  readonly sm: Int32Array;
  /** ns after the release; float64 [numCtas]. */
  readonly starts: Float64Array;
}

/** All at once, CTAs of an SM side by side. */
export function emptyMachine({ numCtas, machine }: Schedule, { numThreads }: CostModel): Places {
  const ctasPerSm = numThreads === undefined ? machine.tileClasses[0].ctasPerSm : 1;
  const sm = Int32Array.from({ length: numCtas }, (_, cta) => Math.floor(cta / ctasPerSm) % machine.numSms);
  return { sm, starts: new Float64Array(numCtas) };
}

/**
 * CTA c of the next launch takes the c-th place that becomes free, and needs a prologue from then on. Where CTAs share SMs that is
 * also what decides who shares one with whom: CTAs beside each other where SMs had nothing to do, and otherwise, since the older CTA
 * of an SM ends first, one an SM before the second ones.
 */
export function placesAfter(
  { finishNs, sm }: { readonly finishNs: Float64Array; readonly sm: Int32Array },
  { prologueNs, hiddenNs }: KernelCost,
  sharesSms: boolean,
): Places {
  const release = lastOf(finishNs) + hiddenNs;
  const starts = finishNs.slice().sort();
  for (let c = 0; c < starts.length; c++) {
    starts[c] = Math.min(prologueNs, Math.max(0, starts[c] + prologueNs - release));
  }
  if (!sharesSms) return { sm, starts };
  const order = Int32Array.from(sm.keys()).sort((a, b) => finishNs[a] - finishNs[b] || sm[a] - sm[b]);
  return { sm: order.map((cta) => sm[cta]), starts };
}

/** Where an SM stands among the others, −1 to 1: evenly spread, in no order (multiples of the golden ratio). */
export function rankOf(sm: number): number {
  return 2 * ((sm * 0.6180339887498949) % 1) - 1;
}

/** The last of these times. */
export function lastOf(values: Float64Array): number {
  let most = 0;
  for (const value of values) if (value > most) most = value;
  return most;
}
