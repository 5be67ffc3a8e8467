import { describe, expect, test } from 'vitest';
import { ansiToHtml } from '../../../src/display/ansi';

describe('ansiToHtml', () => {
  test.each([
    ['plain <b> text', 'plain &lt;b&gt; text'],
    ['\x1b[31mred\x1b[0m rest', '<span class="ansi-fg-1">red</span> rest'],
    [
      '\x1b[1;92mok\x1b[22m on\x1b[m off',
      '<span class="ansi-bold ansi-fg-10">ok</span><span class="ansi-fg-10"> on</span> off',
    ],
    ['\x1b[44mblue ground', '<span class="ansi-bg-4">blue ground</span>'],
    ['\x1b[7minverse', '<span class="ansi-fg-inverse ansi-bg-inverse">inverse</span>'],
    [
      '\x1b[38;5;196mcube\x1b[48;5;244mgrey',
      '<span style="color:#ff0000">cube</span><span style="color:#ff0000;background-color:#808080">grey</span>',
    ],
    ['\x1b[38;2;1;999;16mtrue', '<span style="color:#01ff10">true</span>'],
    ['\x1b[38;5mcut short', 'cut short'],
  ])('%j', (text, html) => {
    expect(ansiToHtml(text)).toBe(html);
  });

  test('carriage returns overwrite their line, as progress bars do', () => {
    expect(ansiToHtml('10 %\r50 %\r100 %\ndone\r\nend\r')).toBe('100 %\ndone\nend');
  });

  test('other sequences and hostile parameters are dropped', () => {
    expect(ansiToHtml('a\x1b[2J\x1b]8;;javascript:alert(1)\x07b\x1b]8;;\x07')).toBe('ab');
    expect(ansiToHtml('\x1b[38;2;"><script>m')).not.toContain('<script');
  });
});
