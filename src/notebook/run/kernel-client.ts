/**
 * The client's end of the Jupyter protocol: requests that resolve with their reply, and the iopub messages of all.
 * Hides sockets and the handshake; knows no notebook and no process.
 */
import { randomUUID } from 'node:crypto';
import * as zmq from 'zeromq';
import { type ConnectionInfo, type Content, decodeMessage, encodeMessage, type Message, makeHeader } from './protocol';

interface Waiting {
  reply?: Message;
  idle: boolean;
  resolve(reply: Message): void;
  reject(error: Error): void;
}

/** Answers a kernel that asks the user for a line. */
export type AnswerPrompt = (prompt: string, password: boolean) => Promise<string>;

export class KernelClient {
  private readonly key: string;
  private readonly session: string = randomUUID();
  private readonly shell: zmq.Dealer;
  private readonly stdin: zmq.Dealer;
  private readonly control = new zmq.Dealer({ linger: 0, receiveHighWaterMark: 0 });
  private readonly iopub = new zmq.Subscriber({ linger: 0, receiveHighWaterMark: 0 });
  private readonly waiting = new Map<string, Waiting>();
  private readonly onIopub: (message: Message) => void;
  private lost: Error | undefined;

  /**
   * @param onIopub is called with every message that the kernel publishes
   * @param onPrompt answers cells that ask; without it they are told that nobody can
   */
  constructor(info: ConnectionInfo, onIopub: (message: Message) => void, onPrompt?: AnswerPrompt) {
    this.key = info.key;
    this.onIopub = onIopub;
    // The kernel sends its question to the address that the cell came from, on another socket.
    const options = { linger: 0, receiveHighWaterMark: 0, routingId: this.session };
    this.shell = new zmq.Dealer(options);
    this.stdin = new zmq.Dealer(options);
    for (const channel of ['shell', 'control', 'iopub', 'stdin'] as const) {
      this[channel].connect(`${info.transport}://${info.ip}:${info[`${channel}_port`]}`);
    }
    this.iopub.subscribe();
    void this.receive(this.shell, (message) =>
      this.settle(message, (entry) => {
        entry.reply = message;
      }),
    );
    void this.receive(this.control, (message) =>
      this.settle(message, (entry) => {
        entry.reply = message;
      }),
    );
    void this.receive(this.iopub, (message) => this.published(message));
    void this.receive(this.stdin, (message) => void this.answerPrompt(message, onPrompt));
  }

  /**
   * Waits until the kernel answers and its published messages arrive: a subscription takes effect some time after it
   * was asked for, and what is published before is lost.
   */
  async handshake(): Promise<void> {
    for (;;) {
      const asked = this.request('shell', 'kernel_info_request', {}).then(() => true);
      asked.catch(() => undefined);
      const again = new Promise<boolean>((resolve) => setTimeout(resolve, 100, false));
      if (await Promise.race([asked, again])) return;
    }
  }

  /** Sends a request; resolves once both its reply and its idle status have come. */
  request(channel: 'shell' | 'control', msgType: string, content: Content, metadata: Content = {}): Promise<Message> {
    return this.requestWithId(channel, msgType, content, metadata).reply;
  }

  /** As {@link request}; `id` is what the parent header of each answering message names. */
  requestWithId(
    channel: 'shell' | 'control',
    msgType: string,
    content: Content,
    metadata: Content = {},
  ): { id: string; reply: Promise<Message> } {
    const header = makeHeader(msgType, this.session);
    const reply = new Promise<Message>((resolve, reject) => {
      if (this.lost) return reject(this.lost);
      this.waiting.set(header.msg_id, { idle: false, resolve, reject });
      const message = { identities: [], header, parentHeader: {}, metadata, content };
      this[channel].send(encodeMessage(message, this.key)).catch(reject);
    });
    return { id: header.msg_id, reply };
  }

  /** Fails what is waited for, now and from now on; called when the kernel has died. */
  fail(error: Error): void {
    this.lost = error;
    for (const { reject } of this.waiting.values()) reject(error);
    this.waiting.clear();
  }

  close(): void {
    for (const socket of [this.shell, this.control, this.iopub, this.stdin]) socket.close();
    this.fail(new Error('the connection to the kernel is closed'));
  }

  private async receive(socket: zmq.Dealer | zmq.Subscriber, handle: (message: Message) => void): Promise<void> {
    for await (const frames of socket) {
      let message: Message;
      try {
        message = decodeMessage(frames as Buffer[], this.key);
      } catch {
        // Not from our kernel: on loopback any process may connect, and only the key tells.
        continue;
      }
      handle(message);
    }
  }

  private async answerPrompt({ header, content }: Message, onPrompt: AnswerPrompt | undefined): Promise<void> {
    if (header.msg_type !== 'input_request' || !onPrompt) return;
    const value = await onPrompt(String(content.prompt), content.password === true);
    if (this.stdin.closed) return;
    const reply = makeHeader('input_reply', this.session);
    const message = { identities: [], header: reply, parentHeader: header, metadata: {}, content: { value } };
    await this.stdin.send(encodeMessage(message, this.key));
  }

  private published(message: Message): void {
    this.onIopub(message);
    if (message.header.msg_type !== 'status' || message.content.execution_state !== 'idle') return;
    this.settle(message, (entry) => {
      entry.idle = true;
    });
  }

  private settle(message: Message, note: (entry: Waiting) => void): void {
    const id = message.parentHeader.msg_id as string;
    const entry = this.waiting.get(id);
    if (!entry) return;
    note(entry);
    if (!entry.reply || !entry.idle) return;
    this.waiting.delete(id);
    entry.resolve(entry.reply);
  }
}
