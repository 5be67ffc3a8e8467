import { describe, expect, test } from 'vitest';
import { machines } from '../../../src/schedule/machine';
import { policies } from '../../../src/schedule/policies/known';
import { findSharedPrefixes, type SharedPrefix } from '../../../src/schedule/prefixes';
import { kvBytes, makeProblem } from '../../../src/schedule/problem';
import type { Schedule } from '../../../src/schedule/schedule';
import { findViolation, validate } from '../../../src/schedule/validate';

const find = (lists: number[][]) =>
  findSharedPrefixes({
    blockTokens: 16,
    numBlocks: lists.map((list) => list.length),
    blockAt: (request, index) => lists[request][index],
  });
const problemOf = (kvLens: number[], prefixes: SharedPrefix[]) =>
  makeProblem({ kvLens, numQoHeads: 8, numKvHeads: 2, headDim: 128, prefixes });

describe('findSharedPrefixes', () => {
  test('finds prefixes within prefixes, the outer ones first', () => {
    const lists = [[1, 2, 3, 4], [1, 2, 3, 9], [1, 2, 5], [7, 2, 3], [1, 2, 3, 4, 8], []];
    expect(find(lists)).toEqual([
      { length: 32, requests: [0, 1, 2, 4] },
      { length: 48, requests: [0, 1, 4] },
      { length: 64, requests: [0, 4] },
    ]);
  });

  test('equal blocks behind unequal ones are no prefix', () => {
    expect(
      find([
        [1, 2],
        [3, 2],
      ]),
    ).toEqual([]);
  });
});

describe('makeProblem', () => {
  test.each<[string, SharedPrefix[], RegExp]>([
    [
      'part of a page',
      [{ length: 20, requests: [0, 1] }],
      /prefixes\[0\]\.length is 20; wanted whole pages of 16 tokens, say 16/,
    ],
    ['one request', [{ length: 16, requests: [1] }], /prefixes\[0\]\.requests is \[1\]; wanted two or more/],
    ['a request twice', [{ length: 16, requests: [1, 1] }], /wanted two or more different requests/],
    [
      'more than there is',
      [{ length: 128, requests: [0, 2] }],
      /prefixes\[0\] has 128 tokens, but its request 2 has 64/,
    ],
    [
      'a request that is not there',
      [{ length: 16, requests: [0, 5] }],
      /prefixes\[0\]\.requests is 5; wanted an integer from 0 to 2/,
    ],
    [
      'prefixes that cross',
      [
        { length: 16, requests: [0, 1] },
        { length: 32, requests: [1, 2] },
      ],
      /prefixes\[1\] \(32 tokens of requests \[1,2\]\) overlaps with another one at request 2/,
    ],
  ])('refuses %s', (_what, prefixes, message) => {
    expect(() => problemOf([200, 200, 64], prefixes)).toThrow(message);
  });

  test('a function is asked when somebody looks, once', () => {
    let asked = 0;
    const prefixes = () => {
      asked++;
      return [{ length: 16, requests: [0, 1] }];
    };
    const problem = makeProblem({ kvLens: [20, 20], numQoHeads: 2, numKvHeads: 1, headDim: 8, prefixes });
    policies.headGroups(problem, machines.h100);
    expect(asked).toBe(0);
    expect([problem.prefixes, problem.prefixes]).toEqual(Array(2).fill([{ length: 16, requests: [0, 1] }]));
    expect(asked).toBe(1);
  });
});

describe('cascade', () => {
  const shared = [
    { length: 1024, requests: [0, 1, 2, 3] },
    { length: 2048, requests: [1, 3] },
  ];
  const problem = problemOf([1500, 2100, 1024, 4096, 300], shared);

  test('reads what is shared once', () => {
    const schedule = policies.cascade(problem, machines.h100);
    validate(schedule);
    const tokens = 1024 + 1024 + 476 + 52 + 0 + 2048 + 300;
    expect(schedule.kvBytesRead).toBe(tokens * 2 * 128 * 2 * 2);
    expect(kvBytes(problem)).toBe(schedule.kvBytesRead);
    expect(policies.noSplit(problem, machines.h100).kvBytesRead).toBe(9020 * 2 * 128 * 2 * 2);
  });

  test('is valid for nobody who does not share the pages', () => {
    const schedule = policies.cascade(problem, machines.h100);
    expect(findViolation(schedule, { sharesPages: () => false })).toMatch(/whose pages it does not share/);
  });

  test('leaves short prefixes, and those of many rows, to each request', () => {
    const short = problemOf([1500, 1500], [{ length: 112, requests: [0, 1] }]);
    expect(policies.cascade(short, machines.h100).numRows).toBe(0);
    expect(policies.cascade({ minPrefixTokens: 64 })(short, machines.h100).numRows).toBeGreaterThan(0);
    // 16 rows of a request fill a tile: nothing is gathered.
    const rows = { kvLens: [1500, 1500], qoLens: [4, 4], numQoHeads: 8, numKvHeads: 2, headDim: 128 };
    const many = makeProblem({ ...rows, prefixes: [{ length: 1024, requests: [0, 1] }] });
    expect(policies.cascade(many, machines.h100).numRows).toBe(0);
  });

  test('reads a prefix as often as its rows fill tiles', () => {
    const requests = Array.from({ length: 10 }, (_, r) => r);
    const ten = problemOf(Array(10).fill(1024), [{ length: 1024, requests }]);
    // 40 rows in tiles of 16.
    expect(policies.cascade(ten, machines.h100).kvBytesRead).toBe(3 * kvBytes(ten));
  });

  const users = (count: number, shared: number, own: number, heads = { numQoHeads: 32, numKvHeads: 8 }) =>
    makeProblem({
      ...{ ...heads, headDim: 128 },
      kvLens: Array<number>(count).fill(shared + own),
      prefixes: [{ length: shared, requests: Array.from({ length: count }, (_, r) => r) }],
    });
  const tilesOf = (schedule: Schedule) => Array.from({ length: schedule.numTiles }, (_, t) => schedule.tile(t));

  test('the tiles of a prefix are cut alike, and begin together where others leave room', () => {
    for (const problem of [users(8, 4096, 64), users(8, 4096, 512), users(8, 16384, 256), users(5, 1008, 77)]) {
      const schedule = policies.cascade({ always: true })(problem, machines.h100);
      validate(schedule);
      const cuts = new Map<number, string[]>();
      const shared = tilesOf(schedule).filter(({ request }) => request < 0);
      for (const { kvHead, rowStart, kvStart, kvEnd } of shared) {
        const key = kvHead * 1000 + rowStart;
        cuts.set(key, [...(cuts.get(key) ?? []), `${kvStart} ${kvEnd}`]);
      }
      const [first, ...others] = [...cuts.values()].map((list) => list.sort().join());
      for (const other of others) expect(other).toBe(first);
      expect(new Set(shared.map(({ cta }) => cta)).size).toBe(shared.length);
      const begins = shared.filter(({ cta, kvStart, rowStart, kvHead }) => {
        const tile = schedule.tile(schedule.ctaIndptr[cta]);
        return tile.kvStart === kvStart && tile.rowStart === rowStart && tile.kvHead === kvHead;
      });
      expect(begins.length).toBe(shared.length);
    }
  });

  test('as many CTAs end early as are long, so that the next launch begins in time', () => {
    const schedule = policies.cascade(users(8, 4096, 64), machines.h100);
    const tokens = schedule.tokensPerCta();
    expect(schedule.decisions).toMatchObject({ numSharedPrefixes: 1, sharedChunkTokens: 896 });
    expect(tokens.filter((count) => count === 896).length).toBe(64);
    expect(tokens.filter((count) => count <= 512).length).toBe(68);
  });

  test('every second piece of a prefix comes behind own keys, where all CTAs have some', () => {
    const schedule = policies.cascade(users(32, 4096, 256), machines.h100);
    const turns = new Map<number, Set<number>>();
    for (const { request, kvStart, cta } of tilesOf(schedule)) {
      if (request >= 0) continue;
      const place = schedule.tile(schedule.ctaIndptr[cta]).request < 0 ? 0 : 1;
      turns.set(kvStart, (turns.get(kvStart) ?? new Set()).add(place));
    }
    expect([...turns].sort(([a], [b]) => a - b).map(([, places]) => [...places])).toEqual([[0], [1]]);
  });

  test('shares nothing where that is expected to take longer', () => {
    const heads = { numQoHeads: 64, numKvHeads: 8 };
    const short = users(16, 1024, 64, heads);
    const alone = policies.cascade(short, machines.h100);
    validate(alone);
    expect([alone.numRows, alone.decisions.numSharedPrefixes]).toEqual([0, 0]);
    const always = policies.cascade({ always: true })(short, machines.h100);
    validate(always);
    expect(always.numRows).toBeGreaterThan(0);
    // Lengths of one's own choice are taken as they are.
    expect(policies.cascade({ chunkTokens: 512 })(short, machines.h100).decisions).toMatchObject({
      numSharedPrefixes: 1,
      sharedChunkTokens: 512,
      ownChunkTokens: 512,
    });
  });

  test.each([1, 5, 16, 50, 100_000])('pieces of %i tokens', (chunkTokens) => {
    const nested = problemOf(
      [300, 410, 208, 96],
      [
        { length: 96, requests: [0, 1, 2] },
        { length: 208, requests: [1, 2] },
      ],
    );
    const schedule = policies.cascade({ chunkTokens, minPrefixTokens: 16 })(nested, machines.h100);
    validate(schedule);
    expect(schedule.numRows).toBeGreaterThan(0);
    for (const { kvStart, kvEnd } of tilesOf(schedule)) expect(kvEnd - kvStart).toBeLessThanOrEqual(chunkTokens);
  });
});
