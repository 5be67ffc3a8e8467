/** Schedules that are kept as the pieces of one head: the same tables as tile by tile with a ScheduleBuilder. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { ScheduleBuilder } from '../../../src/schedule/builder';
import { dealToGroups, groupWidth } from '../../../src/schedule/deal';
import { HeadTiles } from '../../../src/schedule/head-tiles';
import { workspaceLayout } from '../../../src/schedule/layout';
import { cpuMachine, machines } from '../../../src/schedule/machine';
import { packSchedule, requiredCapacity } from '../../../src/schedule/pack';
import { policies } from '../../../src/schedule/policies/known';
import { cutAtChunks } from '../../../src/schedule/policies/pieces';
import { type AttentionProblem, makeProblem } from '../../../src/schedule/problem';
import {
  collectQueryTiles,
  forEachQueryTile,
  QUERY_TILE_STRIDE,
  type QueryTile,
} from '../../../src/schedule/query-tiles';
import { Schedule } from '../../../src/schedule/schedule';
import { problemArbitrary } from '../../support/problems';

/** The cuts of a query tile at multiples of `chunk`. */
function cutsOf({ kvStart, kvEnd }: QueryTile, chunk: number): number[] {
  const cuts: number[] = [];
  for (let cut = (Math.floor(kvStart / chunk) + 1) * chunk; cut < kvEnd; cut += chunk) cuts.push(cut);
  return cuts;
}

/** Divisors of the heads that leave groups on 12 CTAs. */
const widthsOf = (problem: AttentionProblem): number[] =>
  [1, 2, 4, 8].filter((width) => problem.numKvHeads % width === 0);

describe('HeadTiles', () => {
  const machine = cpuMachine(12);
  const { queryRows } = machine.tileClasses[0];

  test('collects the query tiles that forEachQueryTile visits', () => {
    fc.assert(
      fc.property(problemArbitrary, (problem) => {
        const visited: number[] = [];
        forEachQueryTile(problem, queryRows, (t) => {
          if (t.kvHead > 0) return;
          visited.push(t.request, t.rowStart, t.rowCount, t.kvStart, t.kvEnd, t.fullStart, t.fullEnd, 0);
        });
        expect(Array.from(collectQueryTiles(problem, queryRows))).toEqual(visited);
      }),
    );
  });

  test('writes what a builder makes of the same cuts and groups', () => {
    fc.assert(
      fc.property(problemArbitrary, fc.integer({ min: 30, max: 3000 }), fc.nat(), (problem, chunk, seed) => {
        for (const width of widthsOf(problem)) {
          // Where a CTA takes several heads, the order of their pieces is the table's own; whole tiles have one each.
          const length = width === problem.numKvHeads ? chunk : 2 ** 30;
          const pieces = cutAtChunks(collectQueryTiles(problem, queryRows), length);
          const blocks = problem.numKvHeads / width;
          const numGroups = Math.floor(12 / width);
          const groups = Int32Array.from(
            { length: pieces.pieceStarts.length * blocks },
            (_, item) => ((item + 1) * (seed % 97)) % numGroups,
          );
          const tiles = new HeadTiles(problem, pieces, { numCtas: 12, width, groups });
          const lazy = new Schedule('x', problem, machine, tiles);
          const builder = new ScheduleBuilder('x', problem, machine);
          let q = -1;
          builder.forEachQueryTile((tile) => {
            if (tile.kvHead === 0) q++;
            const first = pieces.pieceIndptr[q];
            const ctas = Array.from({ length: pieces.pieceIndptr[q + 1] - first }, (_, i) => {
              const item = (first + i) * blocks + Math.floor(tile.kvHead / width);
              return groups[item] * width + (tile.kvHead % width);
            });
            builder.split(tile, cutsOf(tile, length), ctas);
          });
          expect(lazy.tables).toEqual(builder.build('explicit').tables);
        }
      }),
      { numRuns: 300 },
    );
  });

  test('packs the same image before and after its tables were looked at', () => {
    const problem = makeProblem({ kvLens: [5000, 0, 700, 33], numQoHeads: 32, numKvHeads: 8, headDim: 64 });
    const schedule = policies.headGroups(problem, machines.h100);
    const layout = workspaceLayout(requiredCapacity(schedule));
    const pack = (): Int32Array => {
      const image = new Int32Array(layout.totalWords);
      packSchedule(schedule, layout, image, [3, 500, 501, 600]);
      return image;
    };
    const before = pack();
    const { numTiles } = schedule;
    expect(schedule.tiles.length).toBe(numTiles * 16);
    expect(pack()).toEqual(before);
    // Who writes into the tables packs what was written.
    schedule.kvSequences[1] = 77;
    expect(pack()).not.toEqual(before);
  });

  test('a schedule is not made of another one by spreading it', () => {
    const problem = makeProblem({ kvLens: [5], numQoHeads: 1, numKvHeads: 1, headDim: 64 });
    const schedule = policies.noSplit(problem, machines.h100);
    expect(() => new Schedule('x', problem, machines.h100, { ...schedule } as unknown as Schedule)).toThrow(
      expect.objectContaining({
        code: 'INVALID_SCHEDULE',
        message: expect.stringContaining('{ ...schedule.tables, … }'),
      }),
    );
    expect(new Schedule('x', problem, machines.h100, { ...schedule.tables, dispatch: 'queue' }).dispatch).toBe('queue');
  });
});

describe('groups of CTAs', () => {
  test('are as wide as the heads where that uses nearly all CTAs', () => {
    expect([1, 4, 8, 12, 32, 40, 48, 128].map((heads) => groupWidth(heads, 132))).toEqual([
      1, 4, 8, 12, 32, 10, 16, 128,
    ]);
    expect(groupWidth(8, 3)).toBe(1);
  });

  test('longest first: alike items in turn, others to the least loaded', () => {
    expect(Array.from(dealToGroups(Int32Array.of(5, 5, 5, 5, 5), 1, 2))).toEqual([0, 1, 0, 1, 0]);
    expect(Array.from(dealToGroups(Int32Array.of(100, 900, 500, 300), 1, 2))).toEqual([1, 0, 1, 1]);
    expect(Array.from(dealToGroups(Int32Array.of(1000, 10), 2, 3))).toEqual([0, 1, 2, 2]);
  });

  test('are no less even than their number allows', () => {
    const kvLens = Array.from({ length: 128 }, (_, r) => 200 + ((r * r * 37) % 4000));
    const problem = makeProblem({ kvLens, numQoHeads: 32, numKvHeads: 8, headDim: 128 });
    const tokens = policies.noSplit(problem, machines.h100).tokensPerCta();
    const mean = kvLens.reduce((sum, length) => sum + length, 0) / 16;
    expect(Math.max(...tokens)).toBeLessThan(1.03 * mean);
  });
});

test('query tiles take eight words', () => {
  const problem = makeProblem({ kvLens: [5, 6], numQoHeads: 1, numKvHeads: 1, headDim: 64 });
  expect(collectQueryTiles(problem, 8)).toHaveLength(2 * QUERY_TILE_STRIDE);
});
