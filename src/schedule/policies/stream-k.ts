/**
 * Stream-K: the keys of all query tiles, head after head, laid end to end and dealt out in equal shares, one to a CTA,
 * wherever a request happens to end (M. Osama et al., "Stream-K: Work-centric Parallel Decomposition for Dense Matrix-Matrix
 * Multiplication on the GPU", 2023; for attention: R. Sanovar et al., "LeanAttention: Hardware-Aware Scalable Attention
 * Mechanism for the Decode-Phase of Transformers", 2024).
 */
import { requireInteger } from '../../errors';
import { ScheduleBuilder } from '../builder';
import type { Policy } from '../schedule';
import { type ConfigurablePolicy, configurable } from './configurable';
import { units } from './head-groups';

/** Options of `policies.streamK`. */
export interface StreamKOptions {
  /** Tokens of a unit: cuts lie at multiples of it. Default: the tile class's KV step. */
  unitTokens?: number;
}

/**
 * No CTA has more than its share, whatever the lengths, and at most two of its tiles are cut. But the CTAs of a moment walk
 * unlike pages: `headGroups` gives the heads of a page to neighbours instead.
 */
export const streamK: ConfigurablePolicy<StreamKOptions> = configurable(
  'streamK',
  ({ unitTokens }: StreamKOptions): Policy => {
    if (unitTokens !== undefined) requireInteger('streamK: unitTokens', unitTokens, 1);
    return (problem, machine) => {
      const builder = new ScheduleBuilder('streamK', problem, machine);
      const { numCtas } = builder;
      const unit = unitTokens ?? machine.tileClasses[builder.tileClass].kvStep;
      let totalUnits = 0;
      builder.forEachQueryTile((tile) => {
        totalUnits += units(tile.kvStart, tile.kvEnd, unit);
      });
      // CTA c has the units [shareEnd(c - 1), shareEnd(c)).
      const shareEnd = (cta: number): number => Math.floor(((cta + 1) * totalUnits) / numCtas);
      let firstUnit = 0;
      let cta = 0;
      const cuts: number[] = [];
      const ctas: number[] = [];
      builder.forEachQueryTile((tile) => {
        const endUnit = firstUnit + units(tile.kvStart, tile.kvEnd, unit);
        const base = Math.floor(tile.kvStart / unit) - firstUnit;
        while (shareEnd(cta) <= firstUnit) cta++;
        cuts.length = 0;
        ctas.length = 1;
        ctas[0] = cta;
        while (shareEnd(cta) < endUnit) {
          const end = shareEnd(cta++);
          // Fewer units than CTAs: some shares are empty.
          while (shareEnd(cta) === end) cta++;
          cuts.push((base + end) * unit);
          ctas.push(cta);
        }
        builder.split(tile, cuts, ctas);
        firstUnit = endUnit;
      });
      return builder.build('explicit', { unitTokens: unit, unitsPerCta: Math.ceil(totalUnits / numCtas) });
    };
  },
);
