/**
 * Longest first within groups of heads whose keys fit the L2 cache (FlashAttention-3's `SingleTileLPTScheduler`,
 * Dao-AILab/flash-attention, hopper/tile_scheduler.hpp). Longest first alone spreads the tiles that read the same keys over the
 * whole list. Here (request, KV head) pairs form sections of as many as fit the cache together; a section's tiles come longest
 * first, and one section after the other, so that keys are read again while they are still in the cache.
 */
import { WarpbookError } from '../../errors';
import { ScheduleBuilder } from '../builder';
import { type QueryTile, queryTilesOfHead } from '../query-tiles';
import type { Policy } from '../schedule';
import { type ConfigurablePolicy, configurable } from './configurable';

/** Options of `policies.longestFirstByHeadGroups`. */
export interface LongestFirstByHeadGroupsOptions {
  /** Share of the machine's L2 cache that a section's keys and values may fill; default 0.64, the original's 32 of 50 MB. */
  l2Share?: number;
}

/** For prefill over many keys: many query tiles of a head read the same ones. Requests with most work come first. */
export const longestFirstByHeadGroups: ConfigurablePolicy<LongestFirstByHeadGroupsOptions> = configurable(
  'longestFirstByHeadGroups',
  ({ l2Share = 0.64 }: LongestFirstByHeadGroupsOptions): Policy => {
    if (!(l2Share > 0 && l2Share <= 1)) {
      const what = `longestFirstByHeadGroups: l2Share is ${l2Share}; wanted a share above 0 and up to 1.`;
      throw new WarpbookError('INVALID_ARGUMENT', what);
    }
    return (problem, machine) => {
      const builder = new ScheduleBuilder('longestFirstByHeadGroups', problem, machine, { dispatch: 'queue' });
      const { batchSize, numKvHeads, kvLens } = problem;
      const tiles: QueryTile[][] = Array.from({ length: batchSize }, () => []);
      const work = new Float64Array(batchSize);
      for (const tile of queryTilesOfHead(problem, machine.tileClasses[builder.tileClass].queryRows)) {
        tiles[tile.request].push(tile);
        work[tile.request] += tile.kvEnd - tile.kvStart;
      }
      const requests = Uint32Array.from({ length: batchSize }, (_, r) => r);
      requests.sort((a, b) => work[b] - work[a] || a - b);

      const room = l2Share * machine.l2Bytes;
      const tokenBytes = problem.headDim * 2 * problem.kvElementBytes;
      let section: QueryTile[] = [];
      let bytes = 0;
      let numSections = 0;
      const close = (): void => {
        if (section.length === 0) return;
        // Stable: of equal lengths those of one head stay together.
        section.sort((a, b) => b.kvEnd - b.kvStart - (a.kvEnd - a.kvStart));
        for (const tile of section) builder.add(tile);
        section = [];
        bytes = 0;
        numSections++;
      };
      for (const r of requests) {
        const headBytes = kvLens[r] * tokenBytes;
        for (let kvHead = 0; kvHead < numKvHeads; kvHead++) {
          if (bytes + headBytes > room) close();
          for (const tile of tiles[r]) section.push({ ...tile, kvHead });
          bytes += headBytes;
        }
      }
      close();
      return builder.build('inOrder', { numSections });
    };
  },
);
