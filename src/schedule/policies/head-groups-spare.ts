/**
 * Head groups (head-groups.ts) that leave no CTA idle: those that make no whole group, 4 of 132 with 8 KV heads, form a
 * last, slower one, in which each takes several heads, one after the other. Worth it where shares are long; the same as
 * `headGroups` where they are short.
 */
import { ScheduleBuilder } from '../builder';
import { type Machine, numCtaSlots } from '../machine';
import type { AttentionProblem } from '../problem';
import type { Schedule } from '../schedule';
import { headGroups, TILE_UNITS, units } from './head-groups';

/**
 * Units of a whole group's share from which on the CTAs that are left over get work too. Where shares are smaller, the
 * cuts that this adds cost more than three per cent of the machine give (docs/kernels.md).
 */
const SPARE_GROUP_UNITS = 128;

/** As `headGroups`, with a share in proportion for the CTAs that are left over. */
export function headGroupsSpare(problem: AttentionProblem, machine: Machine): Schedule {
  const { numKvHeads } = problem;
  const builder = new ScheduleBuilder('headGroupsSpare', problem, machine);
  const unitTokens = machine.tileClasses[builder.tileClass].kvStep;
  const numCtas = numCtaSlots(machine);
  const numWhole = Math.floor(numCtas / numKvHeads);
  const numSpare = numCtas - numWhole * numKvHeads;
  let totalUnits = 0;
  builder.forEachQueryTile((tile) => {
    if (tile.kvHead === 0) totalUnits += units(tile.kvStart, tile.kvEnd, unitTokens) + TILE_UNITS;
  });
  if (numWhole === 0 || numSpare === 0 || totalUnits < SPARE_GROUP_UNITS * numWhole)
    return headGroups(problem, machine);

  const headsPerSpare = Math.ceil(numKvHeads / numSpare);
  const numGroups = numWhole + 1;
  // What the groups do together in the time in which a whole one does 1.
  const pace = numWhole + 1 / headsPerSpare;
  // Group g has the units [shareEnd(g - 1), shareEnd(g)). A share that ends among a tile's TILE_UNITS, which come last,
  // ends with the tile's keys. Shares are long here, so none is empty; they are rounded up, as what is left over counts
  // headsPerSpare times.
  const shareEnd = (group: number): number =>
    group + 1 >= numGroups ? totalUnits : Math.ceil(((group + 1) * totalUnits) / pace);
  const ctaOf = (group: number, kvHead: number): number =>
    group < numWhole ? group * numKvHeads + kvHead : numWhole * numKvHeads + Math.floor(kvHead / headsPerSpare);

  let firstUnit = 0;
  let group = 0;
  const cuts: number[] = [];
  const groups: number[] = [];
  const ctas: number[] = [];
  builder.forEachQueryTile((tile) => {
    if (tile.kvHead === 0) {
      cuts.length = groups.length = 0;
      const endUnit = firstUnit + units(tile.kvStart, tile.kvEnd, unitTokens);
      const base = Math.floor(tile.kvStart / unitTokens) - firstUnit;
      while (shareEnd(group) <= firstUnit) group++;
      groups.push(group);
      while (shareEnd(group) < endUnit) {
        cuts.push((base + shareEnd(group)) * unitTokens);
        groups.push(++group);
      }
      firstUnit = endUnit + TILE_UNITS;
    }
    ctas.length = 0;
    for (const g of groups) ctas.push(ctaOf(g, tile.kvHead));
    builder.split(tile, cuts, ctas);
  });
  return builder.build('explicit', { numGroups, numSpare, unitTokens });
}
