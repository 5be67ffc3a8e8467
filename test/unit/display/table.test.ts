import { table as arqueroTable, from } from 'arquero';
import { describe, expect, test } from 'vitest';
import { table } from '../../../src/display/table';

const rows = [
  { policy: 'noSplit', tiles: 192, makespan: 1812.25, share: 0.412 },
  { policy: 'fixedSplitSize(512)', tiles: 14120, makespan: 401.5, share: 0.9 },
];

describe('table() as text', () => {
  test('aligns columns, numbers to the right, units in the headers', () => {
    expect(table(rows, { title: 'Policies', units: { makespan: 'µs' } }).toText()).toBe(
      [
        'Policies',
        'policy                tiles  makespan (µs)  share',
        '───────────────────  ──────  ─────────────  ─────',
        'noSplit                 192          1,812  0.412',
        'fixedSplitSize(512)  14,120            402  0.900',
      ].join('\n'),
    );
  });

  test('cuts the widest text columns to the terminal, never a number', () => {
    const wide = [{ a: 'x'.repeat(80), b: 123456789, c: 'y'.repeat(30) }];
    const lines = table(wide).toText(60).split('\n');
    expect(Math.max(...lines.map((line) => line.length))).toBeLessThanOrEqual(60);
    expect(lines[2]).toContain('123,456,789');
    expect(lines[2]).toContain('x…');
    expect(lines[2]).toContain('y'.repeat(10));
  });

  test('rows that are told apart by their ends stay apart, and what is too wide goes on below', () => {
    const names = ['graphPool', 'graphPoolBuckets', 'graphPoolPiecewise'];
    const wide = names.map((name, i) => ({
      name,
      first: 1000 + i,
      second: 2000 + i,
      third: 3000 + i,
      note: 'within tolerance',
    }));
    const narrow = table(wide, { title: 'Pools' }).toText(42).split('\n');
    expect(Math.max(...narrow.map((line) => line.length))).toBeLessThanOrEqual(42);
    expect(narrow).toEqual([
      'Pools',
      'name                first  second  third',
      '──────────────────  ─────  ──────  ─────',
      'graphPool           1,000   2,000  3,000',
      'graphPoolBuckets    1,001   2,001  3,001',
      'graphPoolPiecewise  1,002   2,002  3,002',
      '',
      'name                note',
      '──────────────────  ────────────────',
      'graphPool           within tolerance',
      'graphPoolBuckets    within tolerance',
      'graphPoolPiecewise  within tolerance',
    ]);
    const cut = table(wide).toText(50).split('\n').slice(2);
    expect(new Set(cut.map((line) => line.slice(0, 11))).size).toBe(3);
    expect(cut).toHaveLength(3);
  });

  test('a first column that differs too far on is cut as others are', () => {
    const paths = ['a', 'b'].map((end) => ({ path: `${'x'.repeat(90)}${end}`, n: 1, m: 2 }));
    expect(table(paths).toText(60).split('\n')[2]).toMatch(/^x{53}… {2}1 {2}2$/);
  });

  test('aligns wide characters by the columns they take', () => {
    expect(
      table([
        { name: '日本語', n: 1 },
        { name: 'abc', n: 22 },
      ]).toText(),
    ).toBe(['name     n', '──────  ──', '日本語   1', 'abc     22'].join('\n'));
  });
});

describe('formats of numbers', () => {
  const column = (values: unknown[], decimals?: number): string[] => {
    const shown = table(
      values.map((value) => ({ v: value })),
      decimals === undefined ? {} : { decimals: { v: decimals } },
    );
    return shown
      .toText()
      .split('\n')
      .slice(2)
      .map((line) => line.trim());
  };
  test.each([
    ['integers', [1, 1234567, -5], ['1', '1,234,567', '-5']],
    ['big integers', [1n, 2n ** 60n], ['1', '1,152,921,504,606,846,976']],
    ['decimals by the largest and the smallest value', [123.456, 0.0123], ['123.456', '0.012']],
    ['no decimals that are zero everywhere', [0.5, 1.5], ['0.5', '1.5']],
    ['a span above a million-fold', [1.5, 2.5e9], ['1.500e+0', '2.500e+9']],
    ['tiny values', [1.5e-9, 0], ['1.500e-9', '0']],
    ['values that are not finite', [1.25, Number.NaN, Number.NEGATIVE_INFINITY], ['1.25', 'NaN', '-Infinity']],
    ['missing values', [1, null, 3, undefined], ['1', '', '3', '']],
  ])('%s', (_, values, want) => {
    expect(column(values)).toEqual(want.at(-1) === '' ? want.slice(0, -1).concat('') : want);
  });
  test('fixed decimals', () => expect(column([1, 2.345], 2)).toEqual(['1.00', '2.35']));
  test('mixed columns are text', () => expect(column([1, 'a', true])).toEqual(['1', 'a', 'true']));
  test('objects, arrays and dates', () => {
    expect(column([{ a: 1 }, [1, 2, 3], new Date(0)])).toEqual(['{ a: 1 }', '[ 1, 2, 3 ]', '1970-01-01T00:00:00.000Z']);
  });
});

describe('table() of an arquero table', () => {
  test('shows its rows in its order, after its filters', () => {
    const shown = arqueroTable({ request: ['a', 'b', 'c'], tokens: [3000, 1, 200] })
      .filter((row: { tokens: number }) => row.tokens > 100)
      .orderby('tokens');
    expect(table(shown).toText()).toBe(
      ['request  tokens', '───────  ──────', 'c           200', 'a         3,000'].join('\n'),
    );
    expect(
      table(from(rows), { columns: ['tiles', 'policy'] })
        .toText()
        .split('\n')[0],
    ).toBe(' tiles  policy');
  });
});

describe('table() as HTML', () => {
  test('aligns by column', () => {
    expect(table([{ a: 'x', n: 1.5 }], { title: 'T' }).toHtml()).toBe(
      '<table><caption style="text-align:left"><strong>T</strong></caption><thead><tr><th style="text-align:left">a</th><th style="text-align:right">n</th></tr></thead><tbody>\n' +
        '<tr><td style="text-align:left">x</td><td style="text-align:right">1.5</td></tr>\n</tbody></table>',
    );
  });

  test('escapes every string', () => {
    const hostile = '<img src=x onerror=alert(1)>"\'&\x1b[31m';
    const shown = table([{ [hostile]: hostile, n: 1 }], { title: hostile, units: { n: hostile } });
    expect(shown.toHtml()).not.toContain('<img');
    expect(shown.toHtml()).not.toContain('\x1b');
    expect(shown.toHtml().match(/&lt;img src=x onerror=alert\(1\)&gt;&quot;&#39;&amp;/g)).toHaveLength(4);
    expect(shown.toText()).not.toContain('\x1b');
  });

  test('has both representations in its bundle', () => {
    expect(Object.keys(table(rows).bundle())).toEqual(['text/html', 'text/plain']);
  });
});

describe('long, empty and bad tables', () => {
  test('rows beyond maxRows are counted', () => {
    const many = Array.from({ length: 1500 }, (_, i) => ({ i }));
    expect(table(many, { maxRows: 2 }).toText().split('\n').slice(2)).toEqual(['0', '1', '… and 1,498 more rows']);
    expect(table(many, { maxRows: 1499 }).toHtml()).toContain(
      '<tfoot><tr><td colspan="1">… and 1 more row</td></tr></tfoot>',
    );
  });

  test('no rows', () => {
    expect(table([]).toText()).toContain('(no rows)');
    expect(table(arqueroTable({ a: [] })).toText()).toBe(['a', '─', '(no rows)'].join('\n'));
  });

  test('keys that rows lack are empty cells, inherited ones too', () => {
    expect(table([{ a: 1 }, { constructor: 'x' }]).toText()).toBe(
      ['a  constructor', '─  ───────────', '1', '   x'].join('\n'),
    );
  });

  test('what is no table', () => {
    expect(() => table(3 as never)).toThrow('table() wants an array of objects, one per row, or an arquero table.');
    expect(() => table([1] as never)).toThrow('table() wants an array of objects');
    expect(() => table(rows, { columns: ['nope'] })).toThrow(
      'The table has no column nope; it has policy, tiles, makespan, share.',
    );
  });
});
