import { describe, expect, test } from 'vitest';
import { Timeline } from '../../../src/timeline/timeline';
import { timelineOf } from './spans';

describe('Timeline.stats', () => {
  test('busy time, idle share and the tail by CTA', () => {
    const stats = timelineOf(3, [
      { cta: 0, startNs: 0, endNs: 60 },
      { cta: 0, startNs: 60, endNs: 100, item: 1 },
      { cta: 1, startNs: 20, endNs: 40, item: 2 },
      { cta: 1, startNs: 50, endNs: 60, phase: 'merge' },
    ]).stats();
    expect(stats.numLanes).toBe(3);
    expect(stats.numTiles).toBe(3);
    expect(stats.numMerges).toBe(1);
    expect(stats.makespanNs).toBe(100);
    expect([...stats.busyNs]).toEqual([100, 30, 0]);
    expect([...stats.finishNs]).toEqual([100, 60, 0]);
    expect(stats.utilisation).toBeCloseTo(130 / 300, 12);
    expect(stats.idleShare).toBeCloseTo(170 / 300, 12);
    expect(stats.tailShare).toBeCloseTo(140 / 300, 12);
    expect(stats.imbalance).toBeCloseTo(100 / (130 / 3), 12);
    expect(stats.mergeNs).toBe(10);
    expect(stats.longestTile).toEqual({ item: 0, cta: 0, durationNs: 60 });
  });

  test('overlapping spans of a lane count once', () => {
    const stats = timelineOf(1, [
      { cta: 0, startNs: 50, endNs: 100 },
      { cta: 0, startNs: 0, endNs: 60 },
      { cta: 0, startNs: 10, endNs: 20 },
    ]).stats();
    expect([...stats.busyNs]).toEqual([100]);
    expect(stats.utilisation).toBe(1);
    expect(stats.idleShare).toBe(0);
  });

  test('by SM: one lane for each that ran something', () => {
    const timeline = timelineOf(8, [
      { cta: 0, sm: 5, startNs: 0, endNs: 50 },
      { cta: 1, sm: 2, startNs: 0, endNs: 100 },
      { cta: 7, sm: 5, startNs: 50, endNs: 100 },
    ]);
    const stats = timeline.stats('sm');
    expect([...stats.lanes]).toEqual([2, 5]);
    expect([...stats.busyNs]).toEqual([100, 100]);
    expect(stats.utilisation).toBe(1);
    expect(timeline.stats().utilisation).toBeCloseTo(200 / 800, 12);
  });

  test('an empty timeline has zeros, not NaN', () => {
    const stats = timelineOf(4, []).stats();
    expect(stats).toMatchObject({
      makespanNs: 0,
      utilisation: 0,
      idleShare: 0,
      tailShare: 0,
      imbalance: 1,
      longestTile: undefined,
    });
    expect(timelineOf(0, []).stats('sm').numLanes).toBe(0);
  });
});

describe('Timeline', () => {
  test('refuses columns of different lengths and indices outside', () => {
    const timeline = timelineOf(1, [{ cta: 0, startNs: 0, endNs: 1 }]);
    expect(
      () => new Timeline('measured', 1, { ...timeline, cta: timeline.cta, kvHead: new Int32Array(3) } as Timeline),
    ).toThrow("The timeline's column kvHead has 3 entries; wanted 1, as many as cta has.");
    expect(() => timeline.span(1)).toThrow('index is 1; wanted an integer from 0 to 0.');
    expect(() => new Timeline('measured', 1.5, timeline)).toThrow('numCtas is 1.5; wanted an integer of at least 0.');
  });

  test('says what it is', () => {
    const timeline = timelineOf(2, [{ cta: 0, startNs: 0, endNs: 1500 }]);
    expect(String(timeline)).toBe('Timeline(measured: 1 spans on 2 CTAs, 1.5 µs, 50.0 % busy)');
  });
});
