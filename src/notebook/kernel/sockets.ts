/**
 * The five ZeroMQ sockets of a kernel: bound to the ports of the connection file (0: any, written back), messages
 * signed and checked. Hides ZeroMQ; knows no message type.
 */
import { renameSync, writeFileSync } from 'node:fs';
import * as zmq from 'zeromq';
import {
  CHANNELS,
  type Channel,
  type ConnectionInfo,
  type Content,
  decodeMessage,
  encodeMessage,
  type Message,
  makeHeader,
} from '../run/protocol';

export type RequestChannel = 'shell' | 'control';

// zeromq.js lets 512 messages a tick through and then refuses with EBUSY; a send timeout of 0 lifts that limit, and a
// high water mark of 0 keeps a slow client from losing output. Linger gives the last messages time to leave.
const SENDING = { sendTimeout: 0, sendHighWaterMark: 0, linger: 2000 } as const;
const ROUTING = { ...SENDING, receiveHighWaterMark: 0 } as const;

export class KernelSockets {
  private readonly sockets: { [channel in Channel]: zmq.Socket };
  private readonly info: ConnectionInfo;
  private readonly session: string;

  constructor(info: ConnectionInfo, session: string) {
    this.info = info;
    this.session = session;
    this.sockets = {
      shell: new zmq.Router(ROUTING),
      iopub: new zmq.Publisher(SENDING),
      stdin: new zmq.Router(ROUTING),
      control: new zmq.Router(ROUTING),
      hb: new zmq.Reply({ linger: 0 }),
    };
  }

  /** Binds every socket. With a `file`, ports that were 0 are written back into it, in one step. */
  async bind(file?: string): Promise<void> {
    const ports: Partial<Record<`${Channel}_port`, number>> = {};
    for (const channel of CHANNELS) {
      const socket = this.sockets[channel];
      const port = this.info[`${channel}_port`];
      await socket.bind(`${this.info.transport}://${this.info.ip}:${port === 0 ? '*' : port}`);
      if (port === 0) ports[`${channel}_port`] = Number((socket.lastEndpoint as string).split(':').at(-1));
    }
    if (file === undefined || Object.keys(ports).length === 0) return;
    // A reader sees the old ports or the new ones, never half a file.
    writeFileSync(`${file}.tmp`, JSON.stringify({ ...this.info, ...ports }), { mode: 0o600 });
    renameSync(`${file}.tmp`, file);
  }

  /** Hands every well-signed request to `handle`; `refuse` hears of the others. Returns once the sockets close. */
  async serve(
    handle: (channel: RequestChannel, request: Message) => void,
    refuse: (error: Error) => void,
  ): Promise<void> {
    const receive = async (channel: RequestChannel): Promise<void> => {
      for await (const frames of this.sockets[channel] as zmq.Router) {
        let request: Message;
        try {
          request = decodeMessage(frames, this.info.key);
        } catch (error) {
          refuse(error as Error);
          continue;
        }
        handle(channel, request);
      }
    };
    const echo = async (): Promise<void> => {
      const heartbeat = this.sockets.hb as zmq.Reply;
      for await (const frames of heartbeat) await heartbeat.send(frames);
    };
    await Promise.all([receive('shell'), receive('control'), echo()]);
  }

  /** Answers on the channel that the request came from. */
  reply(channel: RequestChannel, request: Message, msgType: string, content: Content, metadata: Content = {}): void {
    this.send(channel, { ...this.answer(request, msgType, content, metadata), identities: request.identities });
  }

  /** Tells every client, with the request as parent. */
  publish(request: Message | undefined, msgType: string, content: Content, metadata: Content = {}): void {
    const topic = Buffer.from(`kernel.${this.session}.${msgType}`);
    this.send('iopub', { ...this.answer(request, msgType, content, metadata), identities: [topic] });
  }

  close(): void {
    for (const channel of CHANNELS) this.sockets[channel].close();
  }

  private answer(request: Message | undefined, msgType: string, content: Content, metadata: Content): Message {
    const header = makeHeader(msgType, this.session);
    return { identities: [], header, parentHeader: request?.header ?? {}, metadata, content };
  }

  private send(channel: RequestChannel | 'iopub', message: Message): void {
    const socket = this.sockets[channel];
    if (socket.closed) return;
    // Handed to ZeroMQ's own thread before this returns. A client that has gone is no concern of the kernel.
    void (socket as zmq.Router).send(encodeMessage(message, this.info.key)).catch(() => undefined);
  }
}
