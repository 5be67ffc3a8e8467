import { describe, expect, test } from 'vitest';
import { machines } from '../../../src/schedule/machine';
import { policies } from '../../../src/schedule/policies/known';
import { findSharedPrefixes, type SharedPrefix } from '../../../src/schedule/prefixes';
import { kvBytes, makeProblem } from '../../../src/schedule/problem';
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
});
