/**
 * Oracle: how good could it get? For a small batch (up to 12 tiles on 4 CTAs) every dealing of the tiles is tried, by branch
 * and bound, for each of several ways to cut; the best is the schedule. Beyond that, finding it would take too long
 * (minimum makespan is NP-hard: M. R. Garey, D. S. Johnson, "Computers and Intractability", 1979), so tiles are dealt longest
 * first (R. L. Graham, 1969) and a lower bound says what no dealing can beat.
 *
 * Both measure a schedule by its longest CTA, where a tile costs its keys and a fixed part, or what `cost` says.
 */
import { requireInteger } from '../../errors';
import { orderByCta } from '../builder';
import { FIXED_TOKENS } from '../deal';
import { packByLeastLoad } from '../helpers';
import { type Machine, numCtaSlots } from '../machine';
import type { AttentionProblem } from '../problem';
import { forEachQueryTile } from '../query-tiles';
import { runPolicy } from '../run-policy';
import { type Policy, Schedule } from '../schedule';
import { TILE, TILE_STRIDE } from '../work-tile';
import { binarySearch } from './binary-search';
import { type ConfigurablePolicy, configurable } from './configurable';
import { headGroups } from './head-groups';
import { noSplit } from './no-split';
import { streamK } from './stream-k';

/** Options of `policies.oracle`. */
export interface OracleOptions {
  /** Policies whose cuts are tried; their dealing isn't kept. Default: noSplit, binarySearch, streamK, headGroups. */
  cuts?: readonly Policy[];
  /** What a tile costs, any unit; default: its tokens + 32. */
  cost?: (tokens: number, rows: number) => number;
  /** Most tiles for which all dealings are tried; default 12. */
  maxTiles?: number;
  /** Most CTAs for which all dealings are tried; default 4. */
  maxCtas?: number;
}

/** A dealing, and how good it is. */
interface Dealt {
  readonly ctas: Int32Array;
  readonly makespan: number;
  readonly exact: boolean;
}

/** The best of all dealings for a small batch, and for a large one a good dealing with a lower bound. */
export const oracle: ConfigurablePolicy<OracleOptions> = configurable(
  'oracle',
  ({
    cuts = [noSplit, binarySearch, streamK, headGroups],
    cost = (tokens) => tokens + FIXED_TOKENS,
    maxTiles = 12,
    maxCtas = 4,
  }: OracleOptions): Policy => {
    requireInteger('oracle: cuts.length', cuts.length, 1);
    requireInteger('oracle: maxTiles', maxTiles, 0, 16);
    requireInteger('oracle: maxCtas', maxCtas, 1, 8);
    return (problem, machine) => {
      const numCtas = numCtaSlots(machine);
      let best: (Dealt & { readonly cut: Schedule }) | undefined;
      for (const policy of cuts) {
        const cut = runPolicy(policy, problem, machine);
        const costs = tileCosts(cut, cost);
        const small = costs.length <= maxTiles && numCtas <= maxCtas;
        const dealt = small ? dealBest(costs, numCtas) : dealLongestFirst(costs, numCtas);
        if (!best || dealt.makespan < best.makespan) best = { ...dealt, cut };
      }
      const { cut, ctas, makespan, exact } = best as NonNullable<typeof best>;
      const { ordered, ctaIndptr } = orderByCta('oracle', cut.tiles.slice(), cut.numTiles, ctas, numCtas);
      const tables = { ...cut.tables, tiles: ordered, ctaIndptr, dispatch: 'static' as const };
      const lowerBound = workBound(problem, machine, cost);
      const decisions = { cut: cut.policy, dealing: exact ? 'the best of all' : 'longest first', makespan, lowerBound };
      return new Schedule('oracle', problem, machine, tables, decisions);
    };
  },
);

function tileCosts(schedule: Schedule, cost: NonNullable<OracleOptions['cost']>): Float64Array {
  const costs = new Float64Array(schedule.numTiles);
  const { tiles } = schedule;
  for (let t = 0, at = 0; t < costs.length; t++, at += TILE_STRIDE) {
    costs[t] = cost(tiles[at + TILE.kvEnd] - tiles[at + TILE.kvStart], tiles[at + TILE.rowCount]);
  }
  return costs;
}

/** What no dealing of any cut can beat, if cutting a tile costs something and each request is attended on its own. */
function workBound(problem: AttentionProblem, machine: Machine, cost: NonNullable<OracleOptions['cost']>): number {
  let total = 0;
  forEachQueryTile(problem, machine.tileClasses[0].queryRows, (tile) => {
    total += cost(tile.kvEnd - tile.kvStart, tile.rowCount);
  });
  return total / numCtaSlots(machine);
}

function dealLongestFirst(costs: Float64Array, numCtas: number): Dealt {
  const ctas = packByLeastLoad(costs, numCtas);
  const loads = new Float64Array(numCtas);
  for (let t = 0; t < costs.length; t++) loads[ctas[t]] += costs[t];
  return { ctas, makespan: loads.reduce((most, load) => Math.max(most, load), 0), exact: false };
}

/**
 * The least longest CTA over all dealings: depth first, longest tile first, without branches that can't beat the best so far
 * or that only rename CTAs.
 */
export function dealBest(costs: Float64Array, numCtas: number): Dealt {
  const order = Array.from(costs.keys()).sort((a, b) => costs[b] - costs[a]);
  let total = 0;
  for (const cost of costs) total += cost;
  const bound = Math.max(total / numCtas, costs.length > 0 ? costs[order[0]] : 0);
  const start = dealLongestFirst(costs, numCtas);
  let { makespan } = start;
  const best = start.ctas;
  const ctas = new Int32Array(costs.length);
  const loads = new Float64Array(numCtas);
  const search = (depth: number): void => {
    if (depth === order.length) {
      makespan = loads.reduce((most, load) => Math.max(most, load), 0);
      best.set(ctas);
      return;
    }
    const tile = order[depth];
    for (let cta = 0; cta < numCtas && makespan > bound; cta++) {
      const load = loads[cta];
      if (load + costs[tile] >= makespan || loads.indexOf(load) < cta) continue;
      ctas[tile] = cta;
      loads[cta] += costs[tile];
      search(depth + 1);
      loads[cta] = load;
    }
  };
  if (makespan > bound) search(0);
  return { ctas: best, makespan, exact: true };
}
