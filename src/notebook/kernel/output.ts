/**
 * The output of one cell, in the order in which it was made. Prints are gathered into few messages (a print each would
 * cost 200,000 messages), and what comes after a display whose bundle is still being made waits for it. Knows no
 * socket: `publish` sends one iopub message with the cell's request as parent.
 */
import type { Content } from '../run/protocol';
import { bundleOf } from './mime';

export type Publish = (msgType: string, content: Content, metadata?: Content) => void;
export type StreamName = 'stdout' | 'stderr';

/** Text is sent at once above this size, so that a busy loop's prints don't pile up in memory. */
const FLUSH_CHARACTERS = 65_536;
/** And at the latest this long after it was printed, as far as the cell lets timers run. */
const FLUSH_MS = 30;

interface Item {
  readonly msgType: string;
  /** Undefined while a bundle is being made. */
  content?: Content;
  metadata?: Content;
  /** Parts of a stream's text, not yet joined. */
  readonly parts?: string[];
  readonly stream?: StreamName;
}

export class CellOutput {
  private readonly publish: Publish;
  private readonly items: Item[] = [];
  private readonly pending = new Set<Promise<void>>();
  private characters = 0;
  private lastFlush = 0;
  private timer: NodeJS.Timeout | undefined;
  private closed = false;

  constructor(publish: Publish) {
    this.publish = publish;
  }

  /** Text printed by the cell. */
  write(stream: StreamName, text: string): void {
    if (text === '' || this.closed) return;
    const last = this.items.at(-1);
    if (last?.stream === stream && last.parts) last.parts.push(text);
    else this.items.push({ msgType: 'stream', content: {}, stream, parts: [text] });
    this.characters += text.length;
    // The clock covers busy code, which never lets the timer run: a cell's first print goes out at once.
    if (this.characters > FLUSH_CHARACTERS || performance.now() - this.lastFlush > 2 * FLUSH_MS) this.flush();
    else this.timer ??= setTimeout(() => this.flush(), FLUSH_MS).unref();
  }

  /** A message whose content is at hand. */
  send(msgType: string, content: Content, metadata?: Content): void {
    if (this.closed) return;
    this.items.push({ msgType, content, metadata });
    this.drain();
  }

  /** Shows a value; its place is held while its bundle is made. `content` makes the message's content. */
  show(msgType: string, value: unknown, content: (data: Content) => Content): void {
    if (this.closed) return;
    const item: Item = { msgType };
    this.items.push(item);
    const made = bundleOf(value).then(({ data, failure }) => {
      if (failure !== undefined) item.metadata = { warpbook: { displayFailure: failure } };
      // An empty bundle says: nothing to show.
      if (Object.keys(data).length > 0) item.content = content(data);
      else if (this.items.includes(item)) this.items.splice(this.items.indexOf(item), 1);
      this.flush();
    });
    this.pending.add(made);
    void made.finally(() => this.pending.delete(made));
  }

  /** Waits until every display has its bundle, then sends what is left. */
  async settle(): Promise<void> {
    while (this.pending.size > 0) await Promise.all(this.pending);
    this.flush();
  }

  /** Gives up displays whose bundle isn't made: what makes them may have been stopped. */
  dropPending(): void {
    this.pending.clear();
    const made = this.items.filter((item) => item.content !== undefined);
    this.items.splice(0, this.items.length, ...made);
    this.flush();
  }

  /** Sends what is left; whatever comes later is dropped. */
  close(): void {
    this.dropPending();
    this.closed = true;
  }

  /** Sends what can be sent without passing a display that is still being made. */
  flush(): void {
    this.lastFlush = performance.now();
    this.drain();
  }

  private drain(): void {
    clearTimeout(this.timer);
    this.timer = undefined;
    this.characters = 0;
    while (this.items.length > 0 && this.items[0].content !== undefined) {
      const { msgType, content, metadata, parts, stream } = this.items.shift() as Required<Item>;
      this.publish(msgType, parts ? { name: stream, text: parts.join('') } : content, metadata);
    }
  }
}
