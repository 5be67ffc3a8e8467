import { describe, expect, test } from 'vitest';
import { HEADER, HEADER_WORDS, SECTIONS, workspaceLayout } from '../../../src/schedule/layout';
import { machines } from '../../../src/schedule/machine';
import { largestCapacity, packSchedule, requiredCapacity } from '../../../src/schedule/pack';
import { policies } from '../../../src/schedule/policies/known';
import { makeProblem } from '../../../src/schedule/problem';
import { KV_SEQUENCE, KV_SEQUENCE_STRIDE, TILE, TILE_STRIDE } from '../../../src/schedule/work-tile';

const decode = (kvLens: number[]) => makeProblem({ kvLens, numQoHeads: 32, numKvHeads: 8, headDim: 128 });
const schedule = policies.binarySearch(decode([5000, 0, 700]), machines.h100);
const pageStarts = [7, 400, 401];

describe('workspaceLayout', () => {
  test('sections are aligned to 64 bytes, in order and disjoint', () => {
    const layout = workspaceLayout(requiredCapacity(schedule));
    let end = HEADER_WORDS;
    for (const { name, capacity, stride, extra } of SECTIONS) {
      expect(layout.offsets[name] % 16).toBe(0);
      expect(layout.offsets[name]).toBeGreaterThanOrEqual(end);
      end = layout.offsets[name] + (layout.capacity[capacity] + extra) * stride;
    }
    expect(layout.totalWords).toBeGreaterThanOrEqual(end);
  });

  test('depends on the capacity alone', () => {
    const capacity = largestCapacity(
      requiredCapacity(schedule),
      requiredCapacity(policies.noSplit(decode([1, 2]), machines.h100)),
    );
    expect(workspaceLayout({ ...capacity })).toEqual(workspaceLayout(capacity));
  });
});

describe('packSchedule', () => {
  test('counting mode gives just enough', () => {
    const capacity = requiredCapacity(schedule);
    const layout = workspaceLayout(capacity);
    const image = new Int32Array(layout.totalWords);
    expect(packSchedule(schedule, layout, image, pageStarts)).toBeLessThanOrEqual(layout.totalWords);
    const tight = workspaceLayout({ ...capacity, maxTiles: capacity.maxTiles - 1 });
    expect(() => packSchedule(schedule, tight, image, pageStarts)).toThrow(
      `The plan of policy binarySearch needs maxTiles = ${schedule.numTiles}, the workspace was made for ${schedule.numTiles - 1}; ` +
        'raise the option capacity.maxTiles.',
    );
  });

  test('an overflow leaves the image untouched', () => {
    const layout = workspaceLayout({ ...requiredCapacity(schedule), maxMergeSlots: 0 });
    const image = new Int32Array(layout.totalWords).fill(-7);
    expect(() => packSchedule(schedule, layout, image, pageStarts)).toThrow('needs maxMergeSlots');
    expect(image.every((word) => word === -7)).toBe(true);
  });

  test('header, tiles and pages are where the kernels look', () => {
    const layout = workspaceLayout(
      largestCapacity(requiredCapacity(schedule), { ...requiredCapacity(schedule), maxTiles: 1000 }),
    );
    const image = new Int32Array(layout.totalWords);
    packSchedule(schedule, layout, image, pageStarts, 42);
    expect([image[HEADER.numTiles], image[HEADER.numCtas], image[HEADER.batchSize], image[HEADER.planId]]).toEqual([
      schedule.numTiles,
      132,
      3,
      42,
    ]);
    for (let t = 0; t < schedule.numTiles; t++) {
      const at = layout.offsets.tiles + t * TILE_STRIDE;
      const tile = schedule.tile(t);
      expect(image[at + TILE.kvStart]).toBe(tile.kvStart);
      expect(image[at + TILE.pageStart]).toBe(pageStarts[tile.request]);
    }
    for (let s = 0; s < 3; s++) {
      expect(image[layout.offsets.kvSequences + s * KV_SEQUENCE_STRIDE + KV_SEQUENCE.pageStart]).toBe(pageStarts[s]);
    }
  });
});
