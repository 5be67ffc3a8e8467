/**
 * What a kernel publishes, on a terminal or a pipe: streams as they are, results and displays as text or as images where
 * the terminal can, errors in colour; a display that is updated is written over. Knows no kernel.
 */
import pc from 'picocolors';
import type { Content, Message } from '../run/protocol';
import { drawImage, imageProtocol } from './terminal-image';

export interface OutputStreams {
  readonly stdout: NodeJS.WritableStream & { readonly isTTY?: boolean };
  readonly stderr: NodeJS.WritableStream;
  readonly env: NodeJS.ProcessEnv;
  readonly colors: boolean;
}

export class TerminalOutput {
  private readonly streams: OutputStreams;
  private readonly colors: ReturnType<typeof pc.createColors>;
  private atLineStart = true;
  /** The display that was written last, with nothing behind it. */
  private last: { id: string; lines: number } | undefined;

  constructor(streams: OutputStreams) {
    this.streams = streams;
    this.colors = pc.createColors(streams.colors);
  }

  show({ header, content }: Message): void {
    switch (header.msg_type) {
      case 'stream':
        this.write(String(content.text), content.name === 'stderr');
        break;
      case 'execute_result':
      case 'display_data':
        this.display(content);
        break;
      case 'update_display_data':
        this.update(content);
        break;
      case 'error':
        this.error(content);
        break;
    }
  }

  /** Text that isn't of a cell. */
  write(text: string, toStderr: boolean = false): void {
    if (text === '') return;
    this.last = undefined;
    this.atLineStart = text.endsWith('\n');
    (toStderr ? this.streams.stderr : this.streams.stdout).write(text);
  }

  /** Ends a line that a cell has left open, so that a prompt stands at the start of its own. */
  endLine(): void {
    if (!this.atLineStart) this.write('\n');
  }

  private display(content: Content): void {
    const data = content.data as Record<string, unknown>;
    const protocol = this.streams.stdout.isTTY ? imageProtocol(this.streams.env) : undefined;
    const png = data['image/png'];
    this.endLine();
    if (protocol && typeof png === 'string') {
      this.write(drawImage(protocol, png));
      return;
    }
    const text = textOf(data);
    if (text === undefined) return;
    this.write(`${text}\n`);
    const id = displayId(content);
    if (id !== undefined) this.last = { id, lines: text.split('\n').length };
  }

  /** Written over its old text where nothing has come since; a pipe gets the first text alone. */
  private update(content: Content): void {
    const { last } = this;
    const text = textOf(content.data as Record<string, unknown>);
    if (!this.streams.stdout.isTTY || !last || last.id !== displayId(content) || text === undefined) return;
    this.write(`\u001b[${last.lines}F\u001b[0J${text}\n`);
    this.last = { id: last.id, lines: text.split('\n').length };
  }

  private error({ ename, evalue, traceback }: Content): void {
    this.endLine();
    const { red, dim, bold } = this.colors;
    const lines = (traceback as string[]).flatMap((entry) => entry.split('\n'));
    const shown = lines.length > 0 ? lines : [`${ename}: ${evalue}`];
    const coloured = shown.map((line, i) => {
      if (i === 0) return bold(red(line));
      return /^\s+at /.test(line) ? dim(line) : /^\s*\|\s*\^+\s*$/.test(line) ? red(line) : line;
    });
    this.write(`${coloured.join('\n')}\n`, true);
  }
}

function textOf(data: Readonly<Record<string, unknown>>): string | undefined {
  const text = data['text/plain'] ?? data['text/markdown'];
  return text === undefined ? undefined : String(text).replace(/\n$/, '');
}

function displayId(content: Content): string | undefined {
  return (content.transient as { display_id?: string } | undefined)?.display_id;
}
