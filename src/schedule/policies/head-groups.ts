/**
 * Stream-K over head groups. CTAs form groups of as many as there are KV heads; the keys of all query tiles, laid end to
 * end, are dealt to the groups in equal shares, and within a group each CTA takes one head. So the CTAs of a group read
 * the same pages at the same time (where a page holds all heads, whole pages), and no group has more than its share,
 * however uneven the requests (stream-K: M. Osama et al., "Stream-K: Work-centric Parallel Decomposition for Dense
 * Matrix-Matrix Multiplication on the GPU", 2023).
 */
import { ScheduleBuilder } from '../builder';
import { type Machine, numCtaSlots } from '../machine';
import type { AttentionProblem } from '../problem';
import type { Schedule } from '../schedule';

/**
 * What a query tile costs beyond its keys, in units: putting the warps' states together and writing the result takes
 * about as long as another step of the main loop.
 */
const TILE_UNITS = 1;

/**
 * Shares from which on the CTAs that make no whole group get work too. Where shares are smaller, the cuts that this adds
 * cost more than three per cent of the machine give (docs/kernels.md).
 */
const SPARE_GROUP_UNITS = 128;

/** Equal shares for groups of CTAs, one KV head each; cuts at multiples of the kernel's KV step. */
export function headGroups(problem: AttentionProblem, machine: Machine): Schedule {
  const { numKvHeads } = problem;
  const builder = new ScheduleBuilder('headGroups', problem, machine);
  // A unit is a step of the main loop: a boundary that leaves slivers costs more than an uneven share.
  const unitTokens = machine.tileClasses[builder.tileClass].kvStep;
  const numCtas = numCtaSlots(machine);
  const numWhole = Math.max(1, Math.floor(numCtas / numKvHeads));

  let totalUnits = 0;
  builder.forEachQueryTile((tile) => {
    if (tile.kvHead === 0) totalUnits += units(tile.kvStart, tile.kvEnd, unitTokens) + TILE_UNITS;
  });
  // A last, slower group of the CTAs that are left over: each takes several heads, one after the other.
  const numSpare = totalUnits >= SPARE_GROUP_UNITS * numWhole ? Math.max(0, numCtas - numWhole * numKvHeads) : 0;
  const headsPerSpare = Math.ceil(numKvHeads / numSpare);
  const numGroups = numSpare > 0 ? numWhole + 1 : numWhole;
  // What the groups do together in the time in which a whole one does 1.
  const pace = numSpare > 0 ? numWhole + 1 / headsPerSpare : numWhole;
  // Group g has the units [shareEnd(g - 1), shareEnd(g)). A share that ends among a tile's TILE_UNITS, which come last,
  // ends with the tile's keys.
  const shareEnd = (group: number): number =>
    group + 1 >= numGroups ? totalUnits : Math.floor(((group + 1) * totalUnits) / pace);
  const ctaOf = (group: number, kvHead: number): number =>
    group < numWhole
      ? (group * numKvHeads + kvHead) % numCtas
      : numWhole * numKvHeads + Math.floor(kvHead / headsPerSpare);

  // Shares without a unit are skipped, so that all work is on the first CTAs: behind another kernel they start first.
  let firstUnit = 0;
  let group = 0;
  let used = 0;
  const cuts: number[] = [];
  const groups: number[] = [];
  const ctas: number[] = [];
  builder.forEachQueryTile((tile) => {
    if (tile.kvHead === 0) {
      cuts.length = groups.length = 0;
      const endUnit = firstUnit + units(tile.kvStart, tile.kvEnd, unitTokens);
      const base = Math.floor(tile.kvStart / unitTokens) - firstUnit;
      if (shareEnd(group) <= firstUnit) {
        if (firstUnit > 0) used++;
        while (shareEnd(group) <= firstUnit) group++;
      }
      groups.push(used);
      while (shareEnd(group) < endUnit) {
        cuts.push((base + shareEnd(group)) * unitTokens);
        do group++;
        while (shareEnd(group) === shareEnd(group - 1));
        groups.push(++used);
      }
      firstUnit = endUnit + TILE_UNITS;
    }
    ctas.length = 0;
    for (const g of groups) ctas.push(ctaOf(g, tile.kvHead));
    builder.split(tile, cuts, ctas);
  });
  return builder.build('explicit', { numGroups, unitTokens });
}

/** Units that a KV range touches; an empty one still costs a turn. */
function units(kvStart: number, kvEnd: number, unitTokens: number): number {
  return Math.max(1, Math.ceil(kvEnd / unitTokens) - Math.floor(kvStart / unitTokens));
}
