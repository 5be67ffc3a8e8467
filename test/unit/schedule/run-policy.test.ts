/** What is said of a policy that goes wrong: each message names the request and its range, and shows them. */
import { describe, expect, test } from 'vitest';
import { WarpbookError } from '../../../src/errors';
import { ScheduleBuilder } from '../../../src/schedule/builder';
import { machines } from '../../../src/schedule/machine';
import { policies } from '../../../src/schedule/policies/known';
import type { PolicyError } from '../../../src/schedule/policy-error';
import { makeProblem } from '../../../src/schedule/problem';
import { runPolicy } from '../../../src/schedule/run-policy';
import type { Policy } from '../../../src/schedule/schedule';
import { boundedCall, isTimeout } from '../../../src/time-limit';

const problem = makeProblem({ kvLens: [1000, 300], numQoHeads: 8, numKvHeads: 2, headDim: 64 });
const failureOf = (policy: Policy, options = {}): PolicyError => {
  try {
    runPolicy(policy, problem, machines.h100, options);
  } catch (error) {
    expect(error).toBeInstanceOf(WarpbookError);
    return error as PolicyError;
  }
  throw new Error('it did not fail');
};

/** Adds whole tiles, and does something at request 1. */
const at1 =
  (something: (builder: ScheduleBuilder) => void): Policy =>
  (p, m) => {
    const builder = new ScheduleBuilder('at1', p, m);
    builder.forEachQueryTile((tile) => {
      if (tile.request === 1) {
        builder.split({ ...tile, kvEnd: 200 }, [100]);
        something(builder);
      }
      builder.add(tile);
    });
    return builder.build();
  };

describe('a policy that throws', () => {
  test('is told with the request and range that it was at, and what that one has so far', () => {
    const clumsy = at1(() => {
      throw new TypeError('x is undefined');
    });
    const error = failureOf(clumsy);
    expect([error.code, error.summary]).toEqual([
      'INVALID_POLICY',
      'Policy (anonymous) threw: x is undefined (at request 1, KV head 0, KV range [0, 200), after 4 tiles)',
    ]);
    expect(error.message.split('\n').slice(1)).toEqual([
      '          0 ┃████████████████████████████████░░░░░░░░░░░░░░░░┃ 300 keys   █ once  ░ never',
      '     tile 2  ████████████████                                  [0, 100)',
      '     tile 3                  ████████████████                  [100, 200)',
    ]);
    expect(error.details).toMatchObject({ request: 1, kvHead: 0, kvStart: 0, kvEnd: 200 });
    expect((error.cause as Error).message).toBe('x is undefined');
  });

  test('before it has a builder is told without a place', () => {
    const early: Policy = () => {
      throw new RangeError('not so many');
    };
    expect(failureOf(early).message).toBe('Policy early threw: not so many');
  });
});

describe('a policy that loops', () => {
  test('is stopped, and told with its place', () => {
    const loop = at1(() => {
      for (;;);
    });
    const started = performance.now();
    const error = failureOf(loop, { timeLimitMs: 100 });
    expect(performance.now() - started).toBeLessThan(3000);
    expect(error.code).toBe('INVALID_POLICY');
    expect(error.summary).toBe(
      'Policy (anonymous) was stopped after 0.1 s (at request 1, KV head 0, KV range [0, 200), after 4 tiles). Does it loop? If ' +
        'it needs the time, raise the option timeLimitMs.',
    );
    expect(error.message).toContain('░ never');
  });

  test('is stopped in spite of its own catch and finally', () => {
    const stubborn: Policy = () => {
      for (;;) {
        try {
          for (;;);
        } catch {
          // Goes on.
        } finally {
          for (;;);
        }
      }
    };
    expect(failureOf(stubborn, { timeLimitMs: 50 }).message).toMatch(
      /^Policy stubborn was stopped after 0.05 s\. Does it loop/,
    );
    expect(runPolicy((p, m) => policies.noSplit(p, m), problem, machines.h100).numTiles).toBe(4);
  });

  test('with promises is stopped, too', async () => {
    const promising: Policy = () => {
      for (;;) void Promise.resolve(1).then(() => 2);
    };
    expect(failureOf(promising, { timeLimitMs: 50 }).message).toMatch(/was stopped/);
    await Promise.resolve();
  });

  test('while it adds tiles is stopped before memory is gone', () => {
    const greedy: Policy = (p, m) => {
      const builder = new ScheduleBuilder('greedy', p, m);
      const [tile] = builder.queryTiles();
      for (;;) builder.add(tile);
    };
    expect(() => runPolicy(greedy, problem, machines.h100, { timeLimitMs: 60_000 })).toThrow(
      /Policy greedy added more than 4194304 tiles for 2 requests; does it loop\?/,
    );
  }, 60_000);

  test('while it fills an array is stopped before memory is gone, by the limit that holds without a word', () => {
    const growing: Policy = (p, m) => {
      const builder = new ScheduleBuilder('growing', p, m);
      builder.forEachQueryTile((tile) => {
        const step = Math.floor(tile.kvEnd / 64 / p.pageSize) * p.pageSize;
        const cuts: number[] = [];
        for (let cut = step; cut < tile.kvEnd; cut += step) cuts.push(cut);
        builder.split(tile, cuts);
      });
      return builder.build();
    };
    expect(failureOf(growing).summary).toMatch(
      /was stopped after 1 s \(at request 0, KV head 0, KV range \[0, 1000\), after 0 tiles\)/,
    );
  }, 20_000);

  test('among the candidates of auto is stopped', () => {
    const hang: Policy = () => {
      for (;;);
    };
    const auto = policies.auto({ score: (s) => s.numTiles, candidates: [policies.noSplit, hang] });
    expect(() => runPolicy(auto, problem, machines.h100, { timeLimitMs: 100 })).toThrow(/was stopped after 0.1 s/);
  });

  test.each([0, -1, Number.NaN])('a limit of %d is refused', (timeLimitMs) => {
    expect(() => runPolicy(() => undefined as never, problem, machines.h100, { timeLimitMs })).toThrow(
      /timeLimitMs is .*; wanted a number above 0, or Infinity/,
    );
  });
});

describe('a policy that returns nonsense', () => {
  test.each<[string, unknown, string]>([
    ['nothing', undefined, 'returned undefined; wanted a Schedule: return builder.build()'],
    ['a promise', Promise.resolve(), 'returned a Promise; wanted a Schedule: a policy is synchronous'],
    ['null', null, 'returned null; wanted a Schedule'],
  ])('%s', (_what, value, message) => {
    expect(failureOf((() => value) as never).message).toContain(message);
  });

  test('no function at all', () => {
    expect(() => runPolicy(7 as never, problem, machines.h100)).toThrow(
      'policy is number; wanted a function (problem, machine) → Schedule.',
    );
  });

  test('a problem with other lengths than before', () => {
    const sorting: Policy = (p, m) => {
      p.kvLens.sort();
      return policies.noSplit(p, m);
    };
    expect(failureOf(sorting).message).toBe(
      'Policy noSplit changed problem.kvLens[0] from 1000 to 300; a policy is a pure function: work on a copy.',
    );
    problem.kvLens.set([1000, 300]);
  });
});

describe('a policy that covers a range twice', () => {
  test('is shown where', () => {
    const twice: Policy = (p, m) => {
      const builder = new ScheduleBuilder('twice', p, m);
      builder.forEachQueryTile((tile) => builder.split(tile, [100]));
      const schedule = builder.build();
      // The second piece of request 1, head 1, begins too early.
      for (let t = 0; t < schedule.numTiles; t++) {
        const tile = schedule.tile(t);
        if (tile.request === 1 && tile.kvHead === 1 && tile.kvStart === 100) schedule.tiles[t * 16 + 5] = 50;
      }
      return schedule;
    };
    const error = failureOf(twice);
    expect(error.code).toBe('INVALID_SCHEDULE');
    expect(error.message.split('\n')).toEqual([
      'Policy twice returned an invalid schedule: request 1, KV head 1: KV range [50, 100) is covered twice, by tiles 6 and 7.',
      '          0 ┃████████▓▓▓▓▓▓▓▓████████████████████████████████┃ 300 keys   █ once  ▓ more than once',
      '     tile 6  ████████████████                                  [0, 100) on CTA 6',
      '     tile 7          ████████████████████████████████████████  [50, 300) on CTA 7',
    ]);
  });

  test('a small fault in a long request stays visible, and a range beyond the end is marked', () => {
    const long = makeProblem({ kvLens: [100_000], numQoHeads: 1, numKvHeads: 1, headDim: 64 });
    const lacking =
      (end: number): Policy =>
      (p, m) => {
        const builder = new ScheduleBuilder('lacking', p, m);
        builder.forEachQueryTile((tile) => builder.add({ ...tile, kvEnd: end }));
        return builder.build();
      };
    expect(() => runPolicy(lacking(99_999), long, machines.h100)).toThrow(/██░┃ 100,000 keys {3}█ once {2}░ never/);
    expect(() => runPolicy(lacking(120_000), long, machines.h100)).toThrow(
      /█!!!!!!!!┃ 120,000 keys {3}█ once {2}! beyond its keys/,
    );
  });
});

describe('boundedCall', () => {
  test('passes values and errors on, and nests', () => {
    expect(boundedCall(() => boundedCall(() => 7, 1000) + 1, 1000)).toBe(8);
    expect(boundedCall(() => 7, Number.POSITIVE_INFINITY)).toBe(7);
    expect(() =>
      boundedCall(() => {
        throw new RangeError('own');
      }, 1000),
    ).toThrow(new RangeError('own'));
  });

  test('an outer limit ends an inner call', () => {
    let failure: unknown;
    try {
      boundedCall(
        () =>
          boundedCall(() => {
            for (;;);
          }, 60_000),
        50,
      );
    } catch (error) {
      failure = error;
    }
    expect(isTimeout(failure)).toBe(true);
    expect(isTimeout(new Error('another'))).toBe(false);
  });
});
