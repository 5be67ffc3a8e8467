import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { cleanLabel, cleanText, displayWidth, escapeHtml, escapeScriptJson, pad } from '../../../src/display/escape';

describe('escapeHtml', () => {
  test('escapes markup in content and in attributes of either quote', () => {
    expect(escapeHtml(`<img src=x onerror="a('b')"> & more`)).toBe(
      '&lt;img src=x onerror=&quot;a(&#39;b&#39;)&quot;&gt; &amp; more',
    );
  });

  test('of any string leaves no markup, no quote and no control character', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), (text) => {
        // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is looked for
        expect(escapeHtml(text)).not.toMatch(/[<>"'\x00-\x08\x0b-\x1f\x7f-\x9f]/);
      }),
    );
  });
});

test('escapeScriptJson can be the content of a script element and parses back', () => {
  const value = { label: '</script><!-- \u2028 & <script>', n: [1, null] };
  const json = escapeScriptJson(value);
  expect(json).not.toMatch(/[<>&\u2028]/);
  expect(JSON.parse(json)).toEqual(value);
});

describe('cleanText', () => {
  test('drops what steers a terminal and keeps newlines and tabs', () => {
    const hostile =
      'a\x1b[31mred\x1b[0m\tb\r\nc\x1b]0;title\x07d\x1b]52;c;ZWNobyBw\x1b\\e\x9b2Jf\x07g\x00h\x1bci\rj\u202ek\ufffel\ud800m';
    expect(cleanText(hostile)).toBe('ared\tb\ncdefghijklm');
  });

  test('keeps emoji and other astral characters whole', () => {
    expect(cleanText('tokens 🚀 𝛼')).toBe('tokens 🚀 𝛼');
  });
});

test('cleanLabel is one line, cut by characters and not by halves of them', () => {
  expect(cleanLabel('  a\n\tb   c ')).toBe('a b c');
  expect(cleanLabel('🚀'.repeat(10), 4)).toBe('🚀🚀🚀…');
});

test('displayWidth counts terminal columns, pad fills them', () => {
  expect(displayWidth('abc')).toBe(3);
  expect(displayWidth('日本')).toBe(4);
  expect(displayWidth('e\u0301')).toBe(1);
  expect(pad('日本', 6)).toBe('日本  ');
  expect(pad('7', 3, 'right')).toBe('  7');
  expect(pad('too long', 3)).toBe('too long');
});
