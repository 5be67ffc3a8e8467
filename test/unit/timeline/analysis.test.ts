/** Critical path, idle time by cause, differences, achieved rates and zoom, on timelines small enough to check by hand. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { IDLE_CAUSES } from '../../../src/timeline/idle';
import type { Span } from '../../../src/timeline/timeline';
import { Timeline } from '../../../src/timeline/timeline';
import { timelineOf } from './spans';

const tile = (cta: number, item: number, startNs: number, endNs: number, more: Partial<Span> = {}) =>
  ({ cta, item, startNs, endNs, ...more }) as const;

/** Two CTAs split request 0 (tiles 0 and 1, merged by CTA 1); CTA 2 has two tiles of request 1; CTA 3 has nothing. */
const SPLIT = timelineOf(4, [
  tile(0, 0, 0, 50, { partial: true }),
  tile(1, 1, 10, 70, { partial: true }),
  tile(1, 0, 75, 100, { phase: 'merge' }),
  tile(2, 2, 0, 20, { request: 1 }),
  tile(2, 3, 30, 60, { request: 1 }),
]);

describe('criticalPath', () => {
  test('goes through the last partial tile of a merge', () => {
    const path = SPLIT.criticalPath();
    expect(path.steps.map(({ span, after, waitNs }) => [span, after, waitNs])).toEqual([
      [1, 'launch', 10],
      [2, 'cta', 5],
    ]);
    expect(path).toMatchObject({ tileNs: 60, mergeNs: 25, waitNs: 15, durationNs: 100 });
  });

  test('crosses CTAs where the last partial tile is another one’s', () => {
    const path = timelineOf(2, [
      tile(0, 0, 0, 90, { partial: true }),
      tile(1, 1, 0, 20, { partial: true }),
      tile(1, 0, 92, 100, { phase: 'merge' }),
    ]).criticalPath();
    expect(path.steps.map(({ span, after }) => [span, after])).toEqual([
      [0, 'launch'],
      [2, 'partial'],
    ]);
    expect(path.waitNs).toBe(2);
  });

  test('follows the dependencies that are given, not the labels', () => {
    const base = timelineOf(3, [
      tile(0, 0, 0, 80, { partial: true, request: 0 }),
      tile(1, 1, 0, 40, { partial: true, request: 0 }),
      tile(2, 0, 85, 100, { phase: 'merge', request: 0 }),
    ]);
    const mergeGroup = Int32Array.of(3, 0, -1);
    const given = new Timeline('measured', 3, { ...base, mergeGroup } as Timeline);
    expect(base.criticalPath().steps[0].span).toBe(0);
    expect(given.criticalPath().steps[0].span).toBe(1);
    const range = new Timeline('measured', 3, {
      ...base,
      mergeGroup: Int32Array.of(-1, -1, -1).fill(0, 0, 2),
      mergeGroupCount: Int32Array.of(1, 1, 0),
    } as Timeline);
    expect(range.criticalPath().steps[0].span).toBe(0);
  });

  test('a CTA that came later to an SM follows what ended there', () => {
    const path = timelineOf(3, [
      tile(0, 0, 0, 40, { sm: 0 }),
      tile(1, 1, 0, 30, { sm: 0 }),
      tile(2, 2, 42, 100, { sm: 0 }),
    ]).criticalPath();
    expect(path.steps.map(({ span, after, waitNs }) => [span, after, waitNs])).toEqual([
      [0, 'launch', 0],
      [2, 'sm', 2],
    ]);
  });

  test('ends where clocks are coarse and nothing is there', () => {
    expect(timelineOf(2, []).criticalPath()).toEqual({ steps: [], tileNs: 0, mergeNs: 0, waitNs: 0, durationNs: 0 });
    // A merge that seems to begin before its partial tile has ended, and spans without length.
    const path = timelineOf(2, [
      tile(0, 0, 0, 64, { partial: true }),
      tile(1, 0, 32, 96, { phase: 'merge' }),
      tile(1, 1, 32, 32),
    ]).criticalPath();
    expect(path.tileNs + path.mergeNs + path.waitNs).toBe(96);
  });
});

describe('idle', () => {
  test('every cause by hand', () => {
    const idle = SPLIT.idle();
    // Last tile begins at 30 and ends at 70.
    const lanes = (cause: keyof typeof idle.perLane) => [...idle.perLane[cause]];
    expect(lanes('launch')).toEqual([0, 10, 0, 0]);
    expect(lanes('gap')).toEqual([0, 0, 10, 0]);
    expect(lanes('imbalance')).toEqual([0, 0, 0, 30]);
    expect(lanes('tail')).toEqual([20, 0, 10, 40]);
    expect(lanes('merge')).toEqual([30, 5, 30, 30]);
    expect(idle.areaNs).toBe(400);
    expect(idle.busyNs).toBe(50 + 85 + 50);
  });

  test('a merge amid tiles that waits for its partial states', () => {
    const idle = timelineOf(2, [
      tile(0, 0, 0, 30, { partial: true }),
      tile(1, 1, 0, 10, { partial: true }),
      tile(1, 0, 35, 40, { phase: 'merge' }),
      tile(1, 2, 40, 60, { request: 1 }),
    ]).idle();
    expect([idle.perLane.merge[1], idle.perLane.gap[1]]).toEqual([20, 5]);
  });

  test('causes and busy time add up to the area, whatever the timeline', () => {
    const span = fc.record({
      cta: fc.integer({ min: 0, max: 5 }),
      start: fc.integer({ min: 0, max: 1000 }),
      length: fc.integer({ min: 0, max: 300 }),
      merge: fc.boolean(),
      partial: fc.boolean(),
    });
    fc.assert(
      fc.property(fc.array(span, { maxLength: 30 }), fc.constantFrom('cta' as const, 'sm' as const), (spans, by) => {
        const timeline = timelineOf(
          6,
          spans.map(({ cta, start, length, merge, partial }, item) => ({
            ...tile(cta, item, start, start + length, { sm: cta >> 1, partial: partial && !merge }),
            phase: merge ? ('merge' as const) : ('tile' as const),
          })),
        );
        const idle = timeline.idle(by);
        const total = IDLE_CAUSES.reduce((sum, cause) => sum + idle.byCause[cause], 0);
        expect(total + idle.busyNs).toBeCloseTo(idle.areaNs, 6);
        expect(idle.idleNs).toBeCloseTo(total, 6);
        for (const cause of IDLE_CAUSES) for (const ns of idle.perLane[cause]) expect(ns).toBeGreaterThanOrEqual(0);
        const path = timeline.criticalPath();
        expect(path.tileNs + path.mergeNs + path.waitNs).toBeCloseTo(path.durationNs, 6);
      }),
    );
  });
});

describe('difference', () => {
  test('finish, busy and tiles, relative to the other', () => {
    const measured = timelineOf(3, [tile(0, 0, 0, 100), tile(1, 1, 0, 50)]);
    const simulated = timelineOf(3, [tile(0, 0, 0, 90), tile(1, 1, 10, 70)], 'simulated');
    const difference = simulated.difference(measured);
    expect(difference.durationPct).toBeCloseTo(-10, 9);
    expect([...difference.finishNs]).toEqual([-10, 20, 0]);
    expect([...difference.busyNs]).toEqual([-10, 10, 0]);
    expect(difference.worstCta).toBe(1);
    // CTA 2 did nothing and has no relative error.
    expect(difference.finish).toEqual({ count: 2, meanPct: 25, medianPct: 10, p95Pct: 40, worstPct: 40 });
    expect(difference.tiles).toMatchObject({ count: 2, worstPct: 20 });
    expect(difference.unmatched).toBe(0);
  });

  test('counts items of other schedules, and refuses another grid', () => {
    const a = timelineOf(2, [tile(0, 0, 0, 10), tile(1, 1, 0, 10)]);
    expect(a.difference(timelineOf(2, [tile(0, 0, 0, 10)])).unmatched).toBe(1);
    expect(() => a.difference(timelineOf(3, []))).toThrow('difference() got timelines of 2 and 3 CTAs');
    expect(timelineOf(2, []).difference(timelineOf(2, [])).finish.count).toBe(0);
  });
});

describe('achieved', () => {
  test('rates in all and over time', () => {
    const timeline = timelineOf(2, [tile(0, 0, 0, 50), tile(1, 1, 0, 100), tile(0, 0, 90, 100, { phase: 'merge' })]);
    const rates = timeline.achieved({ bytes: [500, 2000], flops: [1e6, 3e6], mergeBytes: [10] }, { bins: 2 });
    expect(rates).toMatchObject({ bytes: 2510, flops: 4e6, gbps: 25.1, tflops: 40, binNs: 50 });
    expect([...rates.gbpsOverTime]).toEqual([30, 20.2]);
    expect([...rates.tflopsOverTime]).toEqual([50, 30]);
  });

  test('refuses the work of another schedule', () => {
    const timeline = timelineOf(1, [tile(0, 7, 0, 50)]);
    expect(() => timeline.achieved({ bytes: [1], flops: [1] })).toThrow(
      'The timeline shows tile 7, the work given knows 1; wanted the work of the schedule that ran',
    );
    expect(timelineOf(1, []).achieved({ bytes: [], flops: [] })).toMatchObject({ bytes: 0, gbps: 0 });
  });
});

describe('zoom', () => {
  test('to a request, an SM, a stretch of time', () => {
    expect(
      SPLIT.zoom({ request: 0 })
        .spans()
        .map(({ cta, phase }) => [cta, phase]),
    ).toEqual([
      [0, 'tile'],
      [1, 'tile'],
      [1, 'merge'],
    ]);
    expect(
      SPLIT.zoom({ sm: 2, fromNs: 20 })
        .spans()
        .map(({ item }) => item),
    ).toEqual([3]);
    expect(
      SPLIT.zoom({ fromNs: 60, toNs: 75 })
        .spans()
        .map(({ item }) => item),
    ).toEqual([1]);
    expect(SPLIT.zoom({ request: 9 })).toMatchObject({ numSpans: 0, numCtas: 4 });
  });

  test('says what it wants', () => {
    expect(() => SPLIT.zoom({})).toThrow('zoom() got nothing to zoom to; wanted one or more of request, sm');
    expect(() => SPLIT.zoom({ fromNs: 5, toNs: 1 })).toThrow('a window from 5 to 1 ns');
  });
});
