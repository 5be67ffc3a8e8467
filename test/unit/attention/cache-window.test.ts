import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { openDevice } from '../../../src/attention/open-device';
import { PagedKvCache } from '../../../src/attention/paged-kv';
import type { Device } from '../../../src/device/device';

describe('PagedKvCache.window', () => {
  let device: Device;
  beforeAll(async () => {
    device = await openDevice('cpu', { threads: 1 });
  });
  afterAll(() => device.dispose());
  const make = (): PagedKvCache =>
    new PagedKvCache({ numPages: 8, pageSize: 4, numKvHeads: 1, headDim: 8, dtype: 'float32', device });

  test('is a view of some pages, with ids from 0 and no memory of its own', async () => {
    const cache = make();
    const before = device.memory().usedBytes;
    const window = cache.window(2, 3);
    expect(device.memory().usedBytes).toBe(before);
    expect(window).toMatchObject({ numPages: 3, pageSize: 4, numFreePages: 3 });
    cache.k.fill(1);
    window.k.fill(2);
    const values = await cache.k.data();
    expect([values[2 * 32 - 1], values[2 * 32], values[5 * 32 - 1], values[5 * 32]].map(Number)).toEqual([1, 2, 2, 1]);
    const request = window.allocate(12);
    expect([...window.pageTable([request]).pagedKvIndices].sort()).toEqual([0, 1, 2]);
    expect(cache.numFreePages).toBe(8);
    window.dispose();
    expect(Number((await cache.k.data())[0])).toBe(1);
    cache.dispose();
  });

  test('refuses pages that the pool has not', () => {
    const cache = make();
    expect(() => cache.window(6, 3)).toThrow(/numPages is 3; wanted an integer from 1 to 2/);
    cache.dispose();
    expect(() => cache.window(0, 1)).toThrow(expect.objectContaining({ code: 'DISPOSED' }));
  });
});
