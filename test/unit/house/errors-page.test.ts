/** docs/errors.md names tests; here are they looked for. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';

const ROOT = join(__dirname, '..', '..', '..');
const page = readFileSync(join(ROOT, 'docs', 'errors.md'), 'utf8');
const rows = page.split('\n').filter((line) => line.startsWith('| ') && !line.startsWith('| what'));
const named = rows.flatMap((row) =>
  [...row.matchAll(/`([\w./-]+\.test\.ts)`: ([^|]+?) *(?=\|)/g)].map(([, file, name]) => [file, name] as const),
);

/** A test file, and what it imports from test/support: cases that several files register lie there. */
function textOf(file: string): string {
  const text = readFileSync(join(ROOT, 'test', file), 'utf8');
  const support = [...text.matchAll(/from '(?:\.\.\/)+support\/([\w/-]+)'/g)].map(([, name]) =>
    readFileSync(join(ROOT, 'test', 'support', `${name}.ts`), 'utf8'),
  );
  return [text, ...support].join('\n');
}

describe('docs/errors.md', () => {
  it('has a test in every row', () => {
    expect(rows.length).toBeGreaterThan(20);
    expect(rows.filter((row) => !row.includes('.test.ts`: '))).toEqual([]);
  });

  it.each([...new Set(named.map(([file, name]) => `${file}: ${name}`))])('%s', (test) => {
    const [file, name] = test.split(': ');
    expect(textOf(file)).toContain(name);
  });
});
