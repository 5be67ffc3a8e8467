/**
 * Every CTA takes all KV heads of its share of the keys, a warp a head: the keys of all query tiles, laid end to end, are
 * dealt to the CTAs in equal shares. So all CTAs of the machine have work, and a page that holds all heads is read by one
 * CTA at one time. The warps of a CTA never meet, which is what long shares want; short ones leave too little to each warp.
 */
import { ScheduleBuilder } from '../builder';
import { type Machine, numCtaSlots } from '../machine';
import type { AttentionProblem } from '../problem';
import type { Schedule } from '../schedule';

/** Keys that a warp takes at a time: cuts are multiples. */
const UNIT_TOKENS = 16;

/** Equal shares for CTAs, all KV heads of a range each, drained side by side (dispatch `warps`). */
export function allHeads(problem: AttentionProblem, machine: Machine): Schedule {
  const builder = new ScheduleBuilder('allHeads', problem, machine, { dispatch: 'warps' });
  const numCtas = numCtaSlots(machine);
  let totalUnits = 0;
  builder.forEachQueryTile((tile) => {
    if (tile.kvHead === 0) totalUnits += units(tile.kvStart, tile.kvEnd);
  });
  // CTA c has the units [shareEnd(c - 1), shareEnd(c)).
  const shareEnd = (cta: number): number => Math.floor(((cta + 1) * totalUnits) / numCtas);

  let firstUnit = 0;
  let cta = 0;
  const cuts: number[] = [];
  const ctas: number[] = [];
  builder.forEachQueryTile((tile) => {
    if (tile.kvHead === 0) {
      cuts.length = ctas.length = 0;
      const endUnit = firstUnit + units(tile.kvStart, tile.kvEnd);
      const base = Math.floor(tile.kvStart / UNIT_TOKENS) - firstUnit;
      while (shareEnd(cta) <= firstUnit) cta++;
      ctas.push(cta);
      while (shareEnd(cta) < endUnit) {
        cuts.push((base + shareEnd(cta)) * UNIT_TOKENS);
        do cta++;
        while (shareEnd(cta) === shareEnd(cta - 1));
        ctas.push(cta);
      }
      firstUnit = endUnit;
    }
    builder.split(tile, cuts, ctas);
  });
  return builder.build('explicit', { unitTokens: UNIT_TOKENS });
}

/** Units that a KV range touches; an empty one still costs a turn. */
function units(kvStart: number, kvEnd: number): number {
  return Math.max(1, Math.ceil(kvEnd / UNIT_TOKENS) - Math.floor(kvStart / UNIT_TOKENS));
}
