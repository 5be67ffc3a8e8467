/**
 * The five ZeroMQ sockets of a kernel: bound to the ports of the connection file (0: any, written back), messages
 * signed and checked. Hides ZeroMQ; knows no message type.
 */
import { renameSync, writeFileSync } from 'node:fs';
import * as zmq from 'zeromq';
import { CHANNELS, type Channel, type ConnectionInfo, decodeMessage, type Message, signFrames } from '../run/protocol';

/** Channels that clients send on. */
export type IncomingChannel = 'shell' | 'control' | 'stdin';

// zeromq.js lets 512 messages a tick through and then refuses with EBUSY; a send timeout of 0 lifts that limit, and a
// high water mark of 0 keeps a slow client from losing output. Linger gives the last messages time to leave.
const SENDING = { sendTimeout: 0, sendHighWaterMark: 0, linger: 2000 } as const;
const ROUTING = { ...SENDING, receiveHighWaterMark: 0 } as const;

export class KernelSockets {
  private readonly sockets: { [channel in Channel]: zmq.Socket };
  private readonly info: ConnectionInfo;

  constructor(info: ConnectionInfo) {
    this.info = info;
    this.sockets = {
      shell: new zmq.Router(ROUTING),
      iopub: new zmq.Publisher(SENDING),
      stdin: new zmq.Router(ROUTING),
      control: new zmq.Router(ROUTING),
      hb: new zmq.Reply({ linger: 0 }),
    };
  }

  /** Binds every socket. Ports that were 0 are written back into `file`, in one step. */
  async bind(file: string): Promise<void> {
    const ports: Partial<Record<`${Channel}_port`, number>> = {};
    for (const channel of CHANNELS) {
      const socket = this.sockets[channel];
      const port = this.info[`${channel}_port`];
      await socket.bind(`${this.info.transport}://${this.info.ip}:${port === 0 ? '*' : port}`);
      if (port === 0) ports[`${channel}_port`] = Number((socket.lastEndpoint as string).split(':').at(-1));
    }
    if (Object.keys(ports).length === 0) return;
    // A reader sees the old ports or the new ones, never half a file.
    writeFileSync(`${file}.tmp`, JSON.stringify({ ...this.info, ...ports }), { mode: 0o600 });
    renameSync(`${file}.tmp`, file);
  }

  /** Hands every well-signed message to `handle`; `refuse` hears of the others. Returns once the sockets close. */
  async serve(
    handle: (channel: IncomingChannel, message: Message) => void,
    refuse: (error: Error) => void,
  ): Promise<void> {
    const receive = async (channel: IncomingChannel): Promise<void> => {
      for await (const frames of this.sockets[channel] as zmq.Router) {
        let message: Message;
        try {
          message = decodeMessage(frames, this.info.key);
        } catch (error) {
          refuse(error as Error);
          continue;
        }
        handle(channel, message);
      }
    };
    const echo = async (): Promise<void> => {
      const heartbeat = this.sockets.hb as zmq.Reply;
      for await (const frames of heartbeat) await heartbeat.send(frames);
    };
    await Promise.all([receive('shell'), receive('control'), receive('stdin'), echo()]);
  }

  /** Signs and sends; `parts` are header, parent header, metadata and content as JSON. */
  send(channel: Exclude<Channel, 'hb'>, identities: readonly Uint8Array[], parts: readonly string[]): void {
    const socket = this.sockets[channel];
    if (socket.closed) return;
    // Handed to ZeroMQ's own thread before this returns. A client that has gone is no concern of the kernel.
    void (socket as zmq.Router).send(signFrames(identities, parts, this.info.key)).catch(() => undefined);
  }

  close(): void {
    for (const channel of CHANNELS) this.sockets[channel].close();
  }
}
