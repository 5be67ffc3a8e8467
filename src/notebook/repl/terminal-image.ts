/**
 * PNG images in terminals that draw them. The two protocols carry the file as it is, so this is a matter of a few escape
 * sequences. Knows no value.
 *
 * https://sw.kovidgoyal.net/kitty/graphics-protocol/, https://iterm2.com/documentation-images.html
 */

export type ImageProtocol = 'kitty' | 'iterm2';

/** Payload of one kitty sequence, in characters; a multiple of four. */
const KITTY_CHUNK = 4096;

/** What the terminal of this environment can draw; undefined where it can't, or where a multiplexer stands between. */
export function imageProtocol(env: NodeJS.ProcessEnv): ImageProtocol | undefined {
  const { TERM = '', TERM_PROGRAM = '', KITTY_WINDOW_ID, TMUX, STY } = env;
  if (TMUX || STY) return undefined;
  if (KITTY_WINDOW_ID || TERM === 'xterm-kitty' || TERM === 'xterm-ghostty' || TERM_PROGRAM === 'ghostty')
    return 'kitty';
  return TERM_PROGRAM === 'iTerm.app' || TERM_PROGRAM === 'WezTerm' ? 'iterm2' : undefined;
}

/** The sequence that draws a base64 PNG where the cursor stands, and a line feed after it. */
export function drawImage(protocol: ImageProtocol, base64: string): string {
  const data = base64.replace(/\s/g, '');
  if (protocol === 'iterm2') return `\u001b]1337;File=inline=1;preserveAspectRatio=1:${data}\u0007\n`;
  const chunks = data.match(new RegExp(`.{1,${KITTY_CHUNK}}`, 'g')) ?? [];
  const sequences = chunks.map((chunk, i) => {
    const more = i < chunks.length - 1 ? 1 : 0;
    // The first one says: transmit and show (a=T) a PNG (f=100).
    return `\u001b_G${i === 0 ? 'a=T,f=100,' : ''}m=${more};${chunk}\u001b\\`;
  });
  return `${sequences.join('')}\n`;
}
