import { describe, expect, it } from 'vitest';
import { requireInteger, WarpbookError } from '../../src/errors';

describe('WarpbookError', () => {
  it('carries a code, facts and a cause', () => {
    const cause = new Error('below');
    const error = new WarpbookError('OUT_OF_PAGES', 'got 3 pages; wanted 4.', { asked: 4, available: 3 }, { cause });
    expect(error).toBeInstanceOf(Error);
    expect(error).toMatchObject({
      name: 'WarpbookError',
      code: 'OUT_OF_PAGES',
      details: { asked: 4, available: 3 },
      cause,
    });
    expect(String(error)).toBe('WarpbookError: got 3 pages; wanted 4.');
    expect(error.stack).toContain('errors.test.ts');
  });

  it('has no facts by default', () => {
    expect(new WarpbookError('TIMEOUT', 'late').details).toEqual({});
  });
});

describe('requireInteger', () => {
  it.each([
    [0, 0],
    [5, 0, 5],
    [-3, -3],
    [Number.MAX_SAFE_INTEGER, 0],
  ])('accepts %d from %d', (value, min, max?) => {
    expect(() => requireInteger('count', value, min, max)).not.toThrow();
  });

  it.each([
    [-1, 0, undefined, 'count is -1; wanted an integer of at least 0.'],
    [1.5, 0, undefined, 'count is 1.5; wanted an integer of at least 0.'],
    [Number.NaN, 0, undefined, 'count is NaN; wanted an integer of at least 0.'],
    [Number.POSITIVE_INFINITY, 0, undefined, 'count is Infinity; wanted an integer of at least 0.'],
    [6, 1, 5, 'count is 6; wanted an integer from 1 to 5.'],
    ['2' as unknown as number, 1, 5, 'count is 2; wanted an integer from 1 to 5.'],
  ])('refuses %s from %d to %s', (value, min, max, message) => {
    expect(() => requireInteger('count', value, min, max)).toThrow(
      expect.objectContaining({ code: 'INVALID_ARGUMENT', message, details: { what: 'count', value } }),
    );
  });
});
