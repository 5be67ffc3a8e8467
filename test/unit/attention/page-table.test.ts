import { describe, expect, test } from 'vitest';
import { PageTable } from '../../../src/attention/page-table';

const base = { pagedKvIndptr: [0, 2, 2, 3], pagedKvIndices: [4, 9, 0], pagedKvLastPageLen: [5, 0, 16], pageSize: 16 };

describe('PageTable', () => {
  test('lengths follow from pages and last page lengths', () => {
    expect(Array.from(new PageTable(base).kvLens)).toEqual([21, 0, 16]);
  });

  test('last page lengths follow from lengths, with pages reserved ahead', () => {
    const table = new PageTable({ ...base, pagedKvLastPageLen: undefined, kvLens: [3, 0, 16] });
    expect(Array.from(table.pagedKvLastPageLen)).toEqual([3, 0, 16]);
    expect(Array.from(table.withLengths([32, 0, 1]).pagedKvLastPageLen)).toEqual([16, 0, 1]);
  });

  test('withLengths refuses what does not fit', () => {
    expect(() => new PageTable(base).withLengths([33, 0, 1])).toThrow(
      'Request 0 has 33 tokens, which need 3 pages of 16; its page table has 2.',
    );
  });

  const broken: [string, object, string][] = [
    ['an indptr that does not start at 0', { pagedKvIndptr: [1, 2, 2, 3] }, 'pagedKvIndptr starts with 1; wanted 0.'],
    ['an indptr that decreases', { pagedKvIndptr: [0, 2, 1, 3] }, 'pagedKvIndptr decreases at request 1: 2 → 1.'],
    [
      'an indptr that ends elsewhere',
      { pagedKvIndptr: [0, 2, 2, 4] },
      'pagedKvIndptr ends with 4, but pagedKvIndices has 3 entries.',
    ],
    ['an empty indptr', { pagedKvIndptr: [] }, 'pagedKvIndptr is empty'],
    [
      'a last page longer than a page',
      { pagedKvLastPageLen: [17, 0, 16] },
      'pagedKvLastPageLen[0] is 17; wanted 1 to 16 tokens.',
    ],
    ['an empty last page', { pagedKvLastPageLen: [0, 0, 16] }, 'pagedKvLastPageLen[0] is 0; wanted 1 to 16 tokens.'],
    [
      'tokens without a page',
      { pagedKvLastPageLen: [5, 3, 16] },
      'pagedKvLastPageLen[1] is 3, but request 1 has no page; wanted 0.',
    ],
    ['a negative page', { pagedKvIndices: [4, -1, 0] }, 'pagedKvIndices[1] of request 0 is -1; wanted at least 0.'],
    ['a page beyond the pool', { numPages: 9 }, 'pagedKvIndices[1] of request 0 is 9; wanted 0 to 8.'],
    [
      'a page used twice by one request',
      { pagedKvIndices: [4, 4, 0] },
      'Request 0 uses page 4 twice (pagedKvIndices[1]).',
    ],
    ['neither lengths nor last page lengths', { pagedKvLastPageLen: undefined }, 'needs pagedKvLastPageLen or kvLens'],
  ];
  for (const [name, change, message] of broken) {
    test(`refuses ${name}`, () => {
      let caught: unknown;
      try {
        new PageTable({ ...base, ...change });
      } catch (error) {
        caught = error;
      }
      expect(caught).toMatchObject({ code: 'INVALID_PAGE_TABLE', message: expect.stringContaining(message) });
    });
  }

  test('a page may be shared by several requests', () => {
    expect(new PageTable({ ...base, pagedKvIndices: [4, 9, 4] }).maxPage).toBe(9);
  });
});
