/**
 * What CTAs with more to read than the others gain on them. Each CTA has a window of keys on their way, two steps of its main loop. Where
 * memory is busy it serves CTAs by how much they have asked for; and CTAs whose last keys are on their way ask for less and less, while
 * those with more to come keep their windows full. So up to about a window more is read in the same time.
 */
import type { Schedule } from '../schedule/schedule';
import { type CostModel, drawnGbs } from './cost-model';
import type { TileCosts } from './tile-costs';

/** Steps of the main loop that a CTA has on their way (docs/kernels.md). */
const WINDOW_STEPS = 2;
/** A tile's stream keeps this share at least. */
const LEAST_SHARE = 0.25;

/** How much shorter the stream of each CTA's last tile is than if all were served alike, ns; float64 [numCtas]. */
export function gains(schedule: Schedule, costs: TileCosts, { dram }: CostModel): Float64Array {
  const { numCtas, ctaIndptr, dispatch, machine } = schedule;
  const gain = new Float64Array(numCtas);
  const cost = costs.classes[0];
  if (dispatch !== 'static' || machine.tileClasses[0].ctasPerSm > 1) return gain;
  let busy = 0;
  let asked = 0;
  for (let cta = 0; cta < numCtas; cta++) {
    const first = ctaIndptr[cta];
    if (first === ctaIndptr[cta + 1]) continue;
    busy++;
    asked += costs.coldBytes[first] / Math.max(1, costs.streamNs[first]);
  }
  if (asked <= dram.demandGbs[0]) return gain;
  const pace = Math.min(1, drawnGbs(dram, asked * costs.slowness) / asked);
  const totals = new Float64Array(numCtas);
  let sum = 0;
  for (let cta = 0; cta < numCtas; cta++) {
    const last = ctaIndptr[cta + 1] - 1;
    // While a tile ends the CTA's window is full: the end counts as what is read in that time.
    for (let t = ctaIndptr[cta]; t <= last; t++) totals[cta] += costs.streamNs[t] + (t < last ? pace * cost.tileNs : 0);
    sum += totals[cta];
  }
  const window = WINDOW_STEPS * cost.stepNs * (1 - pace);
  for (let cta = 0; cta < numCtas; cta++) {
    const more = totals[cta] - sum / busy;
    // Whoever has several tiles asks for nothing while one ends, and gains nothing.
    if (more <= 0 || ctaIndptr[cta + 1] - ctaIndptr[cta] > 1) continue;
    gain[cta] = Math.min(more, window, (1 - LEAST_SHARE) * costs.streamNs[ctaIndptr[cta + 1] - 1]);
  }
  return gain;
}
