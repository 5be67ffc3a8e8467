import { Writable } from 'node:stream';
import { describe, expect, it } from 'vitest';
import { drawImage, imageProtocol } from '../../../src/notebook/repl/terminal-image';
import { TerminalOutput } from '../../../src/notebook/repl/terminal-output';
import { type Content, type Message, makeHeader } from '../../../src/notebook/run/protocol';

function terminal(options: { isTTY?: boolean; env?: NodeJS.ProcessEnv; colors?: boolean } = {}) {
  const texts = { out: '', err: '' };
  const into = (name: 'out' | 'err') =>
    new Writable({
      write(chunk, _encoding, done) {
        texts[name] += chunk;
        done();
      },
    });
  const stdout = Object.assign(into('out'), { isTTY: options.isTTY ?? false });
  const { env = {}, colors = false } = options;
  const output = new TerminalOutput({ stdout, stderr: into('err'), env, colors });
  const show = (msgType: string, content: Content): void => {
    const message: Message = {
      identities: [],
      header: makeHeader(msgType, ''),
      parentHeader: {},
      metadata: {},
      content,
    };
    output.show(message);
  };
  return { texts, output, show };
}

const display = (text: string, id: string, more: Content = {}): Content => ({
  data: { 'text/plain': text, ...more },
  transient: { display_id: id },
});

describe('output on a terminal', () => {
  it('keeps streams as they are, and starts results on a line of their own', () => {
    const { texts, show, output } = terminal();
    show('stream', { name: 'stdout', text: 'a' });
    show('stream', { name: 'stderr', text: 'warned\n' });
    show('stream', { name: 'stdout', text: 'b' });
    show('execute_result', { data: { 'text/plain': '42' } });
    output.endLine();
    expect(texts).toEqual({ out: 'ab\n42\n', err: 'warned\n' });
  });

  it('writes an updated display over the old one, as long as nothing came since', () => {
    const { texts, show } = terminal({ isTTY: true });
    show('display_data', display('one\ntwo', 'd'));
    show('update_display_data', display('three', 'd'));
    show('update_display_data', display('four', 'd'));
    show('stream', { name: 'stdout', text: 'x\n' });
    show('update_display_data', display('five', 'd'));
    expect(texts.out).toBe('one\ntwo\n\u001b[2F\u001b[0Jthree\n\u001b[1F\u001b[0Jfour\nx\n');
  });

  it('spares a pipe the updates', () => {
    const { texts, show } = terminal();
    show('display_data', display('one', 'd'));
    show('update_display_data', display('two', 'd'));
    expect(texts.out).toBe('one\n');
  });

  it('colours errors, where colours are wanted', () => {
    const content = {
      ename: 'Error',
      evalue: 'x',
      traceback: ['Error: x', '    at cell 1, line 2, column 3', '  2 | x', '    | ^'],
    };
    const plain = terminal();
    plain.show('error', content);
    expect(plain.texts.err).toBe('Error: x\n    at cell 1, line 2, column 3\n  2 | x\n    | ^\n');
    const coloured = terminal({ colors: true });
    coloured.show('error', content);
    expect(coloured.texts.err).toContain('\u001b[31mError: x');
    expect(coloured.texts.err).toContain('\u001b[31m    | ^');
  });

  it('draws images where the terminal can', () => {
    const png = 'A'.repeat(5000);
    const { texts, show } = terminal({ isTTY: true, env: { TERM: 'xterm-kitty' } });
    show('display_data', display('chart', 'd', { 'image/png': png }));
    expect(texts.out).toBe(`\u001b_Ga=T,f=100,m=1;${'A'.repeat(4096)}\u001b\\\u001b_Gm=0;${'A'.repeat(904)}\u001b\\\n`);
    expect(drawImage('iterm2', 'QUJD\n')).toBe('\u001b]1337;File=inline=1;preserveAspectRatio=1:QUJD\u0007\n');
    const piped = terminal({ env: { TERM: 'xterm-kitty' } });
    piped.show('display_data', display('chart', 'd', { 'image/png': png }));
    expect(piped.texts.out).toBe('chart\n');
  });

  it.each([
    [{ KITTY_WINDOW_ID: '1' }, 'kitty'],
    [{ TERM: 'xterm-ghostty' }, 'kitty'],
    [{ TERM_PROGRAM: 'iTerm.app' }, 'iterm2'],
    [{ TERM_PROGRAM: 'WezTerm' }, 'iterm2'],
    [{ TERM: 'xterm-256color' }, undefined],
    [{ TERM: 'xterm-kitty', TMUX: '/tmp/x' }, undefined],
  ])('knows what %j can draw', (env, protocol) => {
    expect(imageProtocol(env)).toBe(protocol);
  });
});
