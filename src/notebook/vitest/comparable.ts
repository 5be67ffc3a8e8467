/**
 * Outputs as a text that two runs of the same notebook share: streams and plain texts, kinds of rich outputs, with times,
 * rates, addresses and paths taken out. Knows the format alone.
 */
import type { IOutput, MultilineString } from '@jupyterlab/nbformat';
import { joinLines } from '../run/notebook-file';
import type { Sanitizer } from './options';

/** What differs from run to run and from machine to machine. */
const BUILT_IN: readonly Sanitizer[] = [
  // Terminal colours.
  // biome-ignore lint/suspicious/noControlCharactersInRegex: that is what they are
  [/\u001b\[[\d;]*m/g, ''],
  [/\b\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:?\d\d)?/g, '<time>'],
  [/\b\d[\d,]*(\.\d+)?([eE][+-]?\d+)?\s?(ns|µs|us|ms|s|min|h)\b/g, '<duration>'],
  [/\b\d[\d,]*(\.\d+)?\s?([kMGT]?i?B\/s|[GT]?FLOPS?|[GT]?FLOP\/s|tok(ens)?\/s)(?!\w)/g, '<rate>'],
  [/\b0x[0-9a-f]+\b/gi, '<address>'],
  [/(file:\/\/)?(\/[\w.@-]+)+\/(?=[\w.@-]+)/g, '<path>/'],
];

export function comparableText(outputs: readonly IOutput[], sanitizers: readonly Sanitizer[] = []): string {
  const blocks: { kind: string; text: string }[] = [];
  for (const output of outputs) {
    const block = blockOf(output);
    const last = blocks.at(-1);
    // Streams are split as the machine pleases.
    if (last && output.output_type === 'stream' && last.kind === block.kind) last.text += block.text;
    else blocks.push(block);
  }
  let text = blocks.map((block) => `[${block.kind}]\n${block.text.replace(/\n?$/, '\n')}`).join('');
  for (const [pattern, replacement] of [...BUILT_IN, ...sanitizers]) text = text.replace(pattern, replacement);
  return text;
}

function blockOf(output: IOutput): { kind: string; text: string } {
  if (output.output_type === 'stream') {
    return { kind: String(output.name), text: joinLines(output.text as MultilineString) };
  }
  if (output.output_type === 'error') return { kind: 'error', text: `${output.ename}: ${output.evalue}` };
  const data = (output.data ?? {}) as Record<string, unknown>;
  const plain = data['text/plain'];
  const text = plain === undefined ? '' : joinLines(plain as MultilineString);
  return { kind: Object.keys(data).sort().join(', '), text };
}
