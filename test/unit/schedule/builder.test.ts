import { describe, expect, test } from 'vitest';
import { ScheduleBuilder } from '../../../src/schedule/builder';
import type { Dealing } from '../../../src/schedule/deal';
import { machines } from '../../../src/schedule/machine';
import { makeProblem } from '../../../src/schedule/problem';
import { Schedule, type ScheduleTables } from '../../../src/schedule/schedule';
import { findViolation } from '../../../src/schedule/validate';
import { TILE, TILE_FLAG } from '../../../src/schedule/work-tile';

const problem = makeProblem({ kvLens: [64, 40], numQoHeads: 4, numKvHeads: 1, headDim: 64 });
const builder = () => new ScheduleBuilder('mine', problem, machines.h100);
const tile = () => builder().queryTiles()[0];

describe('ScheduleBuilder refuses', () => {
  test.each([-5, 0, 2.5, Number.NaN, 1e-4])('a chunk of %d', (chunk) => {
    expect(() => builder().splitByChunk(tile(), chunk)).toThrow(
      `splitByChunk: chunk is ${chunk}; wanted an integer of at least 1.`,
    );
  });

  test.each([[[64]], [[0]], [[10, 10]], [[20, 10]], [[1.5]], [[99]]])('cuts %j', (cuts) => {
    expect(() => builder().split(tile(), cuts)).toThrow(
      /split: cuts\[\d\] is .* wanted an integer above \d+ and below 64/,
    );
  });

  test('a dealing that it does not know', () => {
    const one = builder();
    one.forEachQueryTile((t) => one.add(t));
    expect(() => one.build('roundrobin' as Dealing)).toThrow("build got the dealing 'roundrobin'; wanted longestFirst");
  });

  test('to build twice, a CTA that is not there, a machine without tile classes', () => {
    const one = builder();
    one.forEachQueryTile((t) => one.add(t, 132));
    expect(() => one.build('explicit')).toThrow('Policy mine put a tile on CTA 132; the machine has 132.');
    expect(() => one.build()).toThrow('build() was called twice');
    expect(() => new ScheduleBuilder('x', problem, { ...machines.h100, tileClasses: [] })).toThrow('it has 0');
  });
});

/** A shared prefix, put together by hand: request 0's first two pages, attended once for rows of both requests. */
function cascade(change: (tables: ScheduleTables) => void = () => undefined): Schedule {
  const tables: ScheduleTables = {
    // tileClass kvHead kvSeq rowStart rowCount kvStart kvEnd segStart segCount partialSlot mergeGroup flags request page base groups
    tiles: Int32Array.of(
      ...[0, 0, 0, 0, 8, 0, 32, 0, 0, 0, 0, TILE_FLAG.gatherRows, -1, 0, 0, 2],
      ...[0, 0, 1, 0, 4, 0, 32, 0, 0, 8, 0, 0, 0, 0, 63, 1],
      ...[0, 0, 2, 4, 4, 0, 8, 0, 0, 12, 1, 0, 1, 0, 38, 1],
    ),
    ctaIndptr: Int32Array.of(0, 3),
    dispatch: 'static',
    // pageStart kvLen positionOffset request
    kvSequences: Int32Array.of(0, 32, 0, 0, 2, 32, 32, 0, 2, 8, 32, 1),
    rows: Int32Array.from(
      [0, 1, 2, 3].flatMap((h) => [0, 0, h, 63]).concat([0, 1, 2, 3].flatMap((h) => [1, 1, h, 39])),
    ),
    segments: new Int32Array(0),
    mergeGroups: Int32Array.of(0, 4, 0, 0, 2, 0, 0, 0, 4, 4, 0, 2, 2, 0, 0, 0),
    mergeSlots: Int32Array.of(0, 8, 4, 12),
    numPartialRows: 16,
  };
  change(tables);
  return new Schedule('cascade', problem, machines.h100, tables);
}
const shared = {
  sharesPages: (a: number, b: number, first: number, count: number) => a + b === 1 && first + count <= 2,
};

describe('a schedule put together by hand', () => {
  test('a shared prefix is valid where the pages are shared, and only there', () => {
    expect(findViolation(cascade(), shared)).toBeUndefined();
    expect(findViolation(cascade())).toContain(
      'gathers a row of request 1 for a KV sequence of request 0, whose pages it does not share',
    );
  });

  const broken: [string, (tables: ScheduleTables) => void, string][] = [
    [
      'a position offset that does not fit its pages',
      (t) => {
        t.kvSequences[6] = 16;
      },
      'KV sequence 1 starts at page 2 with positionOffset 16; wanted 32',
    ],
    [
      'pages before the first',
      (t) => {
        t.kvSequences[4] = -1;
      },
      'KV sequence 1 covers tokens [-16, 16) of request 0',
    ],
    [
      'a sequence of another request',
      (t) => {
        t.tiles[16 + TILE.kvSeq] = 2;
        t.tiles[16 + TILE.kvEnd] = 8;
      },
      'tile 1 of request 0 attends to a KV sequence of request 1',
    ],
    [
      'a wrong position of a gathered row',
      (t) => {
        t.rows[3] = 62;
      },
      'row table entry 0 has qoPosition 62; wanted 63',
    ],
    [
      'tables of another type',
      (t) => {
        t.tiles = Float64Array.from(t.tiles) as never;
      },
      'tiles is no Int32Array',
    ],
    [
      'an unknown dispatch',
      (t) => {
        t.dispatch = 'lottery' as never;
      },
      "dispatch is 'lottery'",
    ],
    [
      'a negative number of partial rows',
      (t) => {
        t.numPartialRows = -5;
      },
      'numPartialRows is -5',
    ],
  ];
  test.each(broken)('%s is refused', (_, change, message) => {
    expect(findViolation(cascade(change), shared)).toContain(message);
  });

  test('a segment without a mask where rows need one is refused', () => {
    const causal = makeProblem({ kvLens: [40], qoLens: [3], numQoHeads: 1, numKvHeads: 1, headDim: 64, causal: true });
    const make = (masked: number) =>
      new Schedule('segments', causal, machines.h100, {
        tiles: Int32Array.of(0, 0, 0, 0, 3, 0, 40, 0, 1, -1, -1, TILE_FLAG.needsMask, 0, 0, 37, 0),
        ctaIndptr: Int32Array.of(0, 1),
        dispatch: 'static',
        kvSequences: Int32Array.of(0, 40, 0, 0),
        rows: new Int32Array(0),
        segments: Int32Array.of(0, 40, masked, 0),
        mergeGroups: new Int32Array(0),
        mergeSlots: new Int32Array(0),
        numPartialRows: 0,
      });
    expect(findViolation(make(1))).toBeUndefined();
    expect(findViolation(make(0))).toContain('needs a mask, but tile 0 has none there');
  });
});
