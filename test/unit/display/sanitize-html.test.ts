import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { staticMarkup } from '../../../src/display/sanitize-html';
import { table } from '../../../src/display/table';

describe('staticMarkup', () => {
  test("keeps warpbook's own tables as they are", () => {
    const html = table([{ a: '<b>&amp;"\'', n: 1 }], { title: 'a & b', maxRows: 0 }).toHtml();
    expect(staticMarkup(html)).toBe(html);
  });

  test('keeps text markup, entities and spans of cells; drops classes and other styles', () => {
    expect(
      staticMarkup('<td colspan=2 class="x" style="color:red; text-align : right" id=a>1 &lt; 2 &nbsp;&amp; & 3</td>'),
    ).toBe('<td colspan="2" style="text-align:right">1 &lt; 2 &nbsp;&amp; &amp; 3</td>');
    expect(staticMarkup('<!-- note --><p align="center">a<br/>b</p>')).toBe('<p style="text-align:center">a<br>b</p>');
  });

  test.each([
    '<script>alert(1)</script>',
    '<img src=x onerror=alert(1)>',
    '<a href="javascript:alert(1)">x</a>',
    '<style>*{}</style>',
    '<svg onload=alert(1)>',
    '<iframe src=x></iframe>',
    '<form action=x></form>',
    'a < b',
    '<b',
    '<b>unclosed',
    '</b>',
    '<b></i></b>',
    '<p <script>x</p>',
    '<!-- open',
    '<td style="x"onmouseover=alert(1)>x</td>',
    '<xmp><p></p></xmp>',
  ])('does not let through: %s', (html) => {
    expect(staticMarkup(html)).toBeUndefined();
  });

  test('handlers on allowed tags are dropped', () => {
    expect(staticMarkup('<p onclick="alert(1)" ONMOUSEOVER=x style="background:url(x);text-align:left">x</p>')).toBe(
      '<p style="text-align:left">x</p>',
    );
  });

  test('whatever it lets through has allowed tags and attributes alone, and is stable', () => {
    const piece = fc.oneof(
      fc.constantFrom(
        '<b>',
        '</b>',
        '<td ',
        'style="text-align:left"',
        '>',
        '<',
        '/',
        "'",
        '"',
        '&lt;',
        '&',
        '<!--',
        '-->',
        '<p>',
        '</p>',
        'onclick=',
        '<script>',
        '<br>',
        ' ',
        'x',
      ),
      fc.string({ maxLength: 3 }),
    );
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 12 }), (pieces) => {
        const output = staticMarkup(pieces.join(''));
        if (output === undefined) return;
        const tags = output.match(/<[^>]*>?/g) ?? [];
        for (const tag of tags) expect(tag).toMatch(/^<(\/(b|p|td)|(b|p|td|br|u|i|s)( style="text-align:left")*)>$/);
        expect(staticMarkup(output)).toBe(output);
      }),
      { numRuns: 2000 },
    );
  });
});
