import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { PageAllocator } from '../../../src/attention/page-allocator';

describe('PageAllocator', () => {
  test('hands out the lowest pages first and takes a freed one again', () => {
    const pages = new PageAllocator(8, 16);
    const a = pages.allocate(17);
    const b = pages.allocate(1);
    expect([pages.pages(a), pages.pages(b)]).toEqual([[0, 1], [2]]);
    pages.release(a);
    expect(pages.pages(pages.allocate(20))).toEqual([1, 0]);
  });

  test('an empty request has no page; growth adds them as needed', () => {
    const pages = new PageAllocator(4, 16);
    const id = pages.allocate(0);
    expect(pages.pages(id)).toEqual([]);
    pages.grow(id, 16);
    expect(pages.pages(id)).toEqual([0]);
    pages.grow(id, 1);
    expect([pages.pages(id), pages.kvLen(id)]).toEqual([[0, 1], 17]);
  });

  test('reserve takes pages ahead and leaves the length', () => {
    const pages = new PageAllocator(4, 16);
    const id = pages.allocate(3);
    pages.reserve(id, 50);
    expect([pages.pages(id).length, pages.kvLen(id), pages.numFreePages]).toEqual([4, 3, 0]);
  });

  test('a fork shares whole pages and names the one to copy', () => {
    const pages = new PageAllocator(8, 16);
    const parent = pages.allocate(40);
    const { id, copy } = pages.fork(parent);
    expect([pages.pages(id), copy]).toEqual([[0, 1, 3], { source: 2, target: 3 }]);
    expect([0, 1, 2, 3].map((page) => pages.referenceCount(page))).toEqual([2, 2, 1, 1]);
    expect(pages.fork(parent, 32)).toEqual({ id: id + 1, copy: undefined });
  });

  test('a shared page is free when its last owner goes', () => {
    const pages = new PageAllocator(4, 16);
    const parent = pages.allocate(32);
    const child = pages.fork(parent).id;
    pages.release(parent);
    expect(pages.numFreePages).toBe(2);
    pages.release(child);
    expect(pages.numFreePages).toBe(4);
  });

  test('exhaustion says asked, available and what to raise, and changes nothing', () => {
    const pages = new PageAllocator(4, 16);
    const id = pages.allocate(33);
    expect(() => pages.grow(id, 64)).toThrow(
      `request ${id} needs 4 more pages of 16 tokens, 1 of 4 are free; free a request or create the cache with a larger numPages.`,
    );
    expect([pages.kvLen(id), pages.numFreePages]).toEqual([33, 1]);
  });

  test('a freed request is unknown', () => {
    const pages = new PageAllocator(4, 16);
    const id = pages.allocate(1);
    pages.release(id);
    expect(() => pages.release(id)).toThrow(`The cache has no request ${id}`);
  });

  test('no page is lost or owned twice, whatever the order of calls', () => {
    const step = fc.record({
      kind: fc.constantFrom('allocate', 'grow', 'fork', 'release'),
      pick: fc.nat(),
      tokens: fc.nat(60),
    });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), fc.constantFrom(1, 5, 16), (steps, pageSize) => {
        const pages = new PageAllocator(64, pageSize);
        const live: number[] = [];
        for (const { kind, pick, tokens } of steps) {
          const id = live[pick % Math.max(1, live.length)];
          try {
            if (kind === 'allocate' || id === undefined) live.push(pages.allocate(tokens));
            else if (kind === 'grow') pages.grow(id, tokens);
            else if (kind === 'fork') live.push(pages.fork(id).id);
            else pages.release(live.splice(live.indexOf(id), 1)[0]);
          } catch (error) {
            expect(error).toMatchObject({ code: 'OUT_OF_PAGES' });
          }
        }
        const owners = new Map<number, number>();
        for (const id of live) {
          expect(pages.pages(id).length).toBe(Math.ceil(pages.kvLen(id) / pageSize));
          for (const page of pages.pages(id)) owners.set(page, (owners.get(page) ?? 0) + 1);
        }
        for (let page = 0; page < 64; page++) expect(pages.referenceCount(page)).toBe(owners.get(page) ?? 0);
        expect(pages.numFreePages).toBe(64 - owners.size);
      }),
      { numRuns: 300 },
    );
  });
});
