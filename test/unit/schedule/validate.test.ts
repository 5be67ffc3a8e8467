import { describe, expect, test } from 'vitest';
import { ScheduleBuilder } from '../../../src/schedule/builder';
import { machines } from '../../../src/schedule/machine';
import { policies } from '../../../src/schedule/policies/known';
import { makeProblem } from '../../../src/schedule/problem';
import { runPolicy } from '../../../src/schedule/run-policy';
import type { Schedule } from '../../../src/schedule/schedule';
import { findViolation } from '../../../src/schedule/validate';
import { MERGE_GROUP, TILE, TILE_FLAG, TILE_STRIDE } from '../../../src/schedule/work-tile';

const problem = makeProblem({ kvLens: [1000, 300], numQoHeads: 8, numKvHeads: 2, headDim: 64 });
const fresh = (): Schedule => policies.fixedSplitSize(256)(problem, machines.h100);
const tileWhere = (schedule: Schedule, request: number, kvHead: number, kvStart: number): number => {
  for (let t = 0; t < schedule.numTiles; t++) {
    const tile = schedule.tile(t);
    if (tile.request === request && tile.kvHead === kvHead && tile.kvStart === kvStart) return t * TILE_STRIDE;
  }
  throw new Error('no such tile');
};
/** Breaks one word of a valid schedule and returns the message. */
const broken = (change: (schedule: Schedule) => void): string | undefined => {
  const schedule = fresh();
  expect(findViolation(schedule)).toBeUndefined();
  change(schedule);
  return findViolation(schedule);
};

describe('validate names request, KV head and range', () => {
  test('of a key that is covered by no tile', () => {
    const message = broken((s) => {
      s.tiles[tileWhere(s, 0, 1, 256) + TILE.kvEnd] = 500;
    });
    expect(message?.split('\n')).toEqual([
      'Policy fixedSplitSize(256) returned an invalid schedule: request 0, KV head 1: KV range [500, 512) is not covered by any tile.',
      '          0 ┃████████████████████████░███████████████████████┃ 1,000 keys   █ once  ░ never',
      '     tile 5              ████████████                          [256, 500) on CTA 5',
      '     tile 6                          █████████████             [512, 768) on CTA 6',
    ]);
  });

  test('of a key that is covered twice', () => {
    const message = broken((s) => {
      s.tiles[tileWhere(s, 1, 0, 256) + TILE.kvStart] = 200;
    });
    expect(message).toMatch(/request 1, KV head 0: KV range \[200, 256\) is covered twice, by tiles \d+ and \d+\./);
  });

  test('of the end that is missing', () => {
    const message = broken((s) => {
      s.tiles[tileWhere(s, 1, 1, 256) + TILE.kvEnd] = 290;
    });
    expect(message).toContain('request 1, KV head 1: KV range [290, 300) is not covered by any tile');
  });

  test('of a whole row that nobody writes', () => {
    const schedule = new ScheduleBuilder('half', problem, machines.h100);
    schedule.forEachQueryTile((tile) => {
      if (tile.request === 0) schedule.add(tile);
    });
    expect(findViolation(schedule.build())).toContain('request 1, KV head 0: KV range [0, 300) is never attended');
  });

  test('of a row that two outputs write', () => {
    const schedule = new ScheduleBuilder('twice', problem, machines.h100);
    schedule.forEachQueryTile((tile) => {
      schedule.add(tile);
      if (tile.request === 1 && tile.kvHead === 1) schedule.add(tile);
    });
    expect(findViolation(schedule.build())).toContain('request 1, KV head 1: KV range [0, 300) is attended twice');
  });

  test('of a tile that lacks its mask', () => {
    const causal = makeProblem({ kvLens: [40], qoLens: [3], numQoHeads: 1, numKvHeads: 1, headDim: 64, causal: true });
    const schedule = policies.noSplit(causal, machines.h100);
    schedule.tiles[TILE.flags] &= ~TILE_FLAG.needsMask;
    expect(findViolation(schedule)).toContain('needs a mask, but tile 0 has none there');
  });
});

describe('validate refuses broken bookkeeping', () => {
  const cases: [string, (s: Schedule) => void, RegExp][] = [
    [
      'a KV head out of range',
      (s) => {
        s.tiles[TILE.kvHead] = 2;
      },
      /tile 0 has KV head 2 of 2/,
    ],
    [
      'a KV sequence out of range',
      (s) => {
        s.tiles[TILE.kvSeq] = 9;
      },
      /tile 0 has KV sequence 9 of 2/,
    ],
    [
      'a range beyond the sequence',
      (s) => {
        s.tiles[tileWhere(s, 1, 0, 256) + TILE.kvEnd] = 301;
      },
      /covers KV range \[256, 301\) of a KV sequence of 300/,
    ],
    [
      'a tile class out of range',
      (s) => {
        s.tiles[TILE.tileClass] = 7;
      },
      /tile class 7; the machine has 2/,
    ],
    [
      'too many rows',
      (s) => {
        s.tiles[TILE.rowCount] = 17;
      },
      /17 query rows; its tile class takes 1 to 16/,
    ],
    [
      'rows of another request',
      (s) => {
        s.tiles[tileWhere(s, 0, 0, 0) + TILE.rowStart] = 4;
      },
      /request 0 has \[0, 4\)/,
    ],
    [
      'shared partial rows',
      (s) => {
        s.tiles[tileWhere(s, 0, 0, 256) + TILE.partialSlot] = s.tiles[tileWhere(s, 0, 0, 0) + TILE.partialSlot];
      },
      /partial row \d+ is written by tiles/,
    ],
    [
      'a group that waits for nobody',
      (s) => {
        s.tiles[tileWhere(s, 0, 0, 0) + TILE.mergeGroupCount] = 0;
      },
      /arrives at merge groups/,
    ],
    [
      'a slot merged twice',
      (s) => {
        s.mergeSlots[1] = s.mergeSlots[0];
      },
      /is merged twice/,
    ],
    [
      'a group of other rows',
      (s) => {
        s.mergeGroups[MERGE_GROUP.rowStart] = 4;
      },
      /outputs query row 4, but tile \d+ computed row 0/,
    ],
    [
      'a CTA list that does not end',
      (s) => {
        s.ctaIndptr[s.numCtas]--;
      },
      /ctaIndptr runs from 0 to/,
    ],
    [
      'a wrong position',
      (s) => {
        s.tiles[TILE.qoPositionBase]++;
      },
      /qoPositionBase/,
    ],
  ];
  for (const [name, change, message] of cases) {
    test(name, () => expect(broken(change)).toMatch(message));
  }
});

describe('runPolicy', () => {
  test('says which policy threw and what', () => {
    function clumsy(): Schedule {
      throw new TypeError('x is undefined');
    }
    expect(() => runPolicy(clumsy, problem, machines.h100)).toThrow('Policy clumsy threw: x is undefined');
  });

  test('refuses what is no schedule', () => {
    expect(() => runPolicy((() => 7) as never, problem, machines.h100)).toThrow(
      'returned number; wanted a Schedule: return builder.build() of a ScheduleBuilder.',
    );
  });

  test('refuses the schedule of another problem', () => {
    expect(() => runPolicy(() => fresh(), { ...problem }, machines.h100)).toThrow(
      'returned the schedule of another problem',
    );
  });

  test("validates a user's own policy, and not one that is switched off", () => {
    const half = (p: typeof problem, m: typeof machines.h100): Schedule => {
      const builder = new ScheduleBuilder('half', p, m);
      builder.forEachQueryTile((tile) => builder.add({ ...tile, kvEnd: tile.kvEnd >> 1 }));
      return builder.build();
    };
    expect(() => runPolicy(half, problem, machines.h100)).toThrow(
      'Policy half returned an invalid schedule: request 0, KV head 0: KV range [500, 1000)',
    );
    expect(runPolicy(half, problem, machines.h100, { validate: false }).numTiles).toBe(4);
  });
});
