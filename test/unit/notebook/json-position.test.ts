import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { jsonSyntaxError, lineOfJsonPath } from '../../../src/notebook/run/json-position';

describe('the first syntax error', () => {
  it.each([
    ['{\n "a": 1,\n}', { line: 3, got: '"}"', wanted: 'a property name in double quotes' }],
    ['{\n "a" 1\n}', { line: 2, got: '"1"', wanted: '":"' }],
    ['[1,\n2\n3]', { line: 3, got: '"3"', wanted: '"," or "]"' }],
    ['{"a": [\n\n', { line: 3, got: 'the end of the file', wanted: 'a JSON value' }],
    ['["a\nb"]', { line: 1, got: '"\\n"', wanted: 'the rest of a string' }],
    ['["a\\q"]', { line: 1, got: '"\\\\"', wanted: 'the rest of a string' }],
    ['{}\n{}', { line: 2, got: '"{"', wanted: 'the end of the file' }],
    ['[01]', { line: 1, got: '"1"', wanted: '"," or "]"' }],
    ['', { line: 1, got: 'the end of the file', wanted: 'a JSON value' }],
    ["{'a': 1}", { line: 1, got: '"\'"', wanted: 'a property name in double quotes' }],
  ])('of %j', (text, expected) => {
    expect(() => JSON.parse(text)).toThrow();
    expect(jsonSyntaxError(text)).toEqual(expected);
  });

  it('is found exactly where JSON.parse finds one', () => {
    const damaged = fc
      .tuple(fc.json({ maxDepth: 3 }), fc.nat(), fc.constantFrom('', ',', '}', ']', '"', '\\', '\n', '1', 'x', ':'))
      .map(([text, at, insert]) => {
        const i = at % (text.length + 1);
        return text.slice(0, i) + insert + text.slice(insert === '' ? i + 1 : i);
      });
    fc.assert(
      fc.property(damaged, (text) => {
        let valid = true;
        try {
          JSON.parse(text);
        } catch {
          valid = false;
        }
        expect(jsonSyntaxError(text) === undefined).toBe(valid);
      }),
      { numRuns: 500 },
    );
  });
});

describe('the line of a path', () => {
  const text = '{\n "a": [\n  {"b": 1},\n  {\n   "b": "]}",\n   "c": {}\n  }\n ],\n "d": null\n}';

  it.each([
    [[], 1],
    [['a'], 2],
    [['a', 0, 'b'], 3],
    [['a', 1], 4],
    [['a', 1, 'b'], 5],
    [['a', 1, 'c'], 6],
    [['d'], 9],
    // The nearest enclosing value of what isn't there.
    [['a', 1, 'missing', 'deeper'], 4],
  ])('%j', (path, line) => {
    expect(lineOfJsonPath(text, path)).toBe(line);
  });
});
