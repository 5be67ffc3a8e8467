import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { WarpbookError } from '../../../src/errors';
import { type BatchSnapshot, snapshot, snapshots } from '../../../src/workload/snapshot';
import { syntheticTrace } from '../../../src/workload/synthetic';
import { traceOf } from './support';

/** `id:kvLen(generated+remaining)` of each running request. */
const show = ({ requests }: BatchSnapshot): string =>
  requests.map((r) => `${r.id}:${r.kvLen}(${r.generated}+${r.remaining})`).join(' ');

describe('requests that always wait', () => {
  // Two slots. Request 0 runs in steps 0, 1 and 2; request 1 in step 0; so request 2 in 1 and 2. Request 3, of one
  // token, is finished by its prefill before step 3, and request 4 takes its slot at once.
  const trace = traceOf([0, 10, 4], [0, 20, 2], [0, 30, 3], [0, 40, 1], [0, 50, 2]);

  it.each([
    [0, '0:11(1+3) 1:21(1+1)'],
    [1, '0:12(2+2) 2:31(1+2)'],
    [2, '0:13(3+1) 2:32(2+1)'],
    [3, '4:51(1+1)'],
    [4, ''],
    [1000, ''],
  ])('step %i', (step, expected) => {
    const batch = snapshot(trace, { concurrency: 2, at: { step } });
    expect(show(batch)).toBe(expected);
    expect(batch.step).toBe(step);
    expect(batch.kvLens).toEqual(Int32Array.from(batch.requests, (r) => r.kvLen));
    expect(batch).not.toHaveProperty('timeNs');
  });

  it('finds the step of a request', () => {
    expect(snapshot(trace, { concurrency: 2, at: { request: 2 } }).step).toBe(1);
    expect(snapshot(trace, { concurrency: 1, at: { request: 4 } }).step).toBe(6);
  });

  it('runs one after the other with one slot, all at once with many', () => {
    expect(show(snapshot(trace, { concurrency: 1, at: { step: 3 } }))).toBe('1:21(1+1)');
    expect(show(snapshot(trace, { concurrency: 99, at: { step: 0 } }))).toBe('0:11(1+3) 1:21(1+1) 2:31(1+2) 4:51(1+1)');
  });

  it('ignores arrival times', () => {
    const late = traceOf([0, 10, 4], [1e12, 20, 2]);
    expect(show(snapshot(late, { concurrency: 2, at: { step: 0 } }))).toBe('0:11(1+3) 1:21(1+1)');
  });
});

describe('requests that arrive in time', () => {
  // Steps of 10 ns. Request 1 arrives at 15 ns: the first step that starts later is 2.
  const trace = traceOf([0, 100, 3], [15, 200, 4], [15, 300, 2], [70, 400, 2]);
  const at = (timeNs: number): BatchSnapshot => snapshot(trace, { concurrency: 2, stepNs: 10, at: { timeNs } });

  it('admits no request before it arrives', () => {
    expect(show(at(0))).toBe('0:101(1+2)');
    expect(show(at(19))).toBe('0:102(2+1)');
    expect(show(at(20))).toBe('1:201(1+3) 2:301(1+1)');
    expect(show(at(30))).toBe('1:202(2+2)');
    expect(show(at(60))).toBe('');
    expect(show(at(70))).toBe('3:401(1+1)');
    expect(at(39)).toMatchObject({ step: 3, timeNs: 30 });
  });

  it('keeps later requests waiting while the slots are full', () => {
    const one = snapshot(trace, { concurrency: 1, stepNs: 10, at: { request: 2 } });
    expect(one).toMatchObject({ step: 5, timeNs: 50 });
    expect(show(one)).toBe('2:301(1+1)');
  });
});

describe('drawn moments', () => {
  const trace = syntheticTrace({ requests: 19_366 });

  it('are the same for a seed, spread in order, and full', () => {
    const options = { concurrency: 128, count: 50, seed: 3 };
    const batches = snapshots(trace, options);
    expect(batches).toEqual(snapshots(trace, options));
    expect(batches).not.toEqual(snapshots(trace, { ...options, seed: 4 }));
    expect(batches.map((batch) => batch.step)).toEqual(batches.map((batch) => batch.step).sort((a, b) => a - b));
    for (const batch of batches) expect(batch.requests).toHaveLength(128);
    // Past the first wave: the requests of a batch are at different points of their answers.
    expect(new Set(batches[0].requests.map((r) => r.generated)).size).toBeGreaterThan(40);
  });

  it('give one snapshot by default', () => {
    expect(snapshot(trace, { concurrency: 8, seed: 5 })).toEqual(
      snapshots(trace, { concurrency: 8, seed: 5, count: 1 })[0],
    );
  });

  it('may be none, and come from an empty trace', () => {
    expect(snapshots(trace, { concurrency: 8, count: 0 })).toEqual([]);
    expect(snapshot(traceOf(), { concurrency: 8 })).toEqual({ step: 0, requests: [], kvLens: new Int32Array(0) });
  });
});

it('carries hash ids', () => {
  const mooncake = syntheticTrace({ kind: 'mooncake-conversation', requests: 50 });
  const [running] = snapshot(mooncake, { concurrency: 4, at: { step: 0 } }).requests;
  expect(running.hashIds).toBe(mooncake.requests[running.id].hashIds);
});

it('agrees with a simulation that goes step by step', () => {
  const row = fc.record({ gapNs: fc.nat(30), inputLength: fc.nat(50), outputLength: fc.nat(8) });
  fc.assert(
    fc.property(
      fc.array(row, { maxLength: 30 }),
      fc.integer({ min: 1, max: 5 }),
      fc.option(fc.constant(10)),
      (rows, concurrency, stepNs) => {
        let arrivalNs = 0;
        const trace = traceOf(
          ...rows.map((r): [number, number, number] => {
            arrivalNs += r.gapNs;
            return [arrivalNs, r.inputLength, r.outputLength];
          }),
        );
        const waiting = [...trace.requests];
        let running: { id: number; kvLen: number; generated: number; remaining: number }[] = [];
        for (let step = 0; waiting.length > 0 || running.length > 0; step++) {
          while (
            waiting.length > 0 &&
            running.length < concurrency &&
            (stepNs === null || waiting[0].arrivalNs <= step * stepNs)
          ) {
            const { id, inputLength, outputLength } = waiting.shift() as (typeof waiting)[0];
            if (outputLength > 1)
              running.push({ id, kvLen: inputLength + 1, generated: 1, remaining: outputLength - 1 });
          }
          expect(snapshot(trace, { concurrency, stepNs: stepNs ?? undefined, at: { step } }).requests).toEqual(running);
          running = running
            .map((r) => ({ ...r, kvLen: r.kvLen + 1, generated: r.generated + 1, remaining: r.remaining - 1 }))
            .filter((r) => r.remaining > 0);
        }
      },
    ),
    { numRuns: 300 },
  );
});

describe('bad arguments', () => {
  const trace = traceOf([0, 1, 2]);
  it.each<[string, () => unknown, string]>([
    ['concurrency', () => snapshot(trace, { concurrency: 0 }), 'concurrency is 0; wanted an integer of at least 1.'],
    [
      'stepNs',
      () => snapshot(trace, { concurrency: 1, stepNs: 0 }),
      'stepNs is 0; wanted a positive number of nanoseconds.',
    ],
    [
      'step',
      () => snapshot(trace, { concurrency: 1, at: { step: -1 } }),
      'at.step is -1; wanted an integer of at least 0.',
    ],
    [
      'request',
      () => snapshot(trace, { concurrency: 1, at: { request: 1 } }),
      'at.request is 1; wanted an integer from 0 to 0.',
    ],
    [
      'request of an empty trace',
      () => snapshot(traceOf(), { concurrency: 1, at: { request: 0 } }),
      'at.request was given for an empty trace.',
    ],
    [
      'time without steps',
      () => snapshot(trace, { concurrency: 1, at: { timeNs: 5 } }),
      'at.timeNs was given without stepNs; say how long a decode step takes.',
    ],
    [
      'seed',
      () => snapshot(trace, { concurrency: 1, seed: -1 }),
      'seed is -1; wanted an integer from 0 to 4294967295.',
    ],
  ])('%s', (_, call, message) => {
    expect(call).toThrow(
      expect.objectContaining({ code: 'INVALID_ARGUMENT', message } satisfies Partial<WarpbookError>),
    );
  });
});
