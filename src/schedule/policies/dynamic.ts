/**
 * Dynamic: the schedule only orders the tiles; CTAs draw the next one from an atomic counter when they are done with theirs
 * (self-scheduling; with pieces of a fixed share of the work: C. P. Kruskal, A. Weiss, "Allocating Independent Subtasks on
 * Parallel Processors", 1985). No cost model is needed, and what the machine does unforeseen evens out; a draw costs an atomic
 * operation a tile, and which CTA ran what differs from run to run. The bits don't: merges follow the list's order.
 */
import { requireInteger, WarpbookError } from '../../errors';
import { roundUp } from '../../units';
import { ScheduleBuilder } from '../builder';
import { countTokens } from '../helpers';
import { queryTilesOfHead } from '../query-tiles';
import type { Policy } from '../schedule';
import { MIN_CHUNK_TOKENS } from './binary-search';
import { type ConfigurablePolicy, configurable } from './configurable';

/** Options of `policies.dynamic`. */
export interface DynamicOptions {
  /** Ranges are cut at multiples of this; default: half of an equal share of all keys, in whole KV steps, at least 128. */
  chunkTokens?: number;
  /** Order of the pieces; default longestFirst. */
  order?: 'longestFirst' | 'asGiven';
}

/** An equal share would leave nothing to draw by the time that CTAs differ. */
const SHARES = 2;

export const dynamic: ConfigurablePolicy<DynamicOptions> = configurable(
  'dynamic',
  ({ chunkTokens, order = 'longestFirst' }: DynamicOptions): Policy => {
    if (chunkTokens !== undefined) requireInteger('dynamic: chunkTokens', chunkTokens, 1);
    if (order !== 'longestFirst' && order !== 'asGiven') {
      const what = `dynamic: order is '${String(order)}'; wanted longestFirst or asGiven.`;
      throw new WarpbookError('INVALID_ARGUMENT', what);
    }
    return (problem, machine) => {
      const builder = new ScheduleBuilder('dynamic', problem, machine, { dispatch: 'queue' });
      const { numKvHeads } = problem;
      const { kvStep, queryRows } = machine.tileClasses[builder.tileClass];
      const tiles = queryTilesOfHead(problem, queryRows);
      const share = (countTokens(tiles) * numKvHeads) / (SHARES * builder.numCtas);
      const chunk = chunkTokens ?? Math.max(MIN_CHUNK_TOKENS, roundUp(Math.max(1, share), kvStep));
      for (const tile of tiles) {
        for (tile.kvHead = 0; tile.kvHead < numKvHeads; tile.kvHead++) builder.splitByChunk(tile, chunk);
      }
      if (order === 'longestFirst') builder.sortLongestFirst();
      return builder.build('inOrder', { kvChunkSizeTokens: chunk, order });
    };
  },
);
