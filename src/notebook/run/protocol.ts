/**
 * The Jupyter wire protocol (5.3) as both the kernel and the runner speak it: message shape, framing, signatures and
 * the connection file. Hides frames and HMAC; knows no socket, no cell and no notebook.
 *
 * https://jupyter-client.readthedocs.io/en/stable/messaging.html#the-wire-protocol
 */
import { createHmac, randomUUID, timingSafeEqual } from 'node:crypto';
import { WarpbookError } from '../../errors';

export const PROTOCOL_VERSION = '5.3';

const DELIMITER: Buffer = Buffer.from('<IDS|MSG>');

export interface MessageHeader {
  readonly msg_id: string;
  readonly msg_type: string;
  readonly session: string;
  readonly username: string;
  /** ISO 8601 */
  readonly date: string;
  readonly version: string;
}

export type Content = Readonly<Record<string, unknown>>;

export interface Message {
  /** ZeroMQ routing prefix: the client's address on a router, the topic on iopub. */
  readonly identities: readonly Uint8Array[];
  readonly header: MessageHeader;
  /** The header of the request that this message answers; empty for a request. */
  readonly parentHeader: Partial<MessageHeader>;
  readonly metadata: Content;
  readonly content: Content;
}

/** What a connection file holds. Ports of 0 ask the kernel to choose, and to write its choice back into the file. */
export interface ConnectionInfo {
  readonly transport: 'tcp';
  readonly ip: string;
  readonly shell_port: number;
  readonly iopub_port: number;
  readonly stdin_port: number;
  readonly control_port: number;
  readonly hb_port: number;
  /** Secret of the signatures; empty turns signing off. */
  readonly key: string;
  readonly signature_scheme: 'hmac-sha256';
}

/** The ports of a {@link ConnectionInfo} by channel. */
export const CHANNELS = ['shell', 'iopub', 'stdin', 'control', 'hb'] as const;
export type Channel = (typeof CHANNELS)[number];

/**
 * What the kernel says, in a message's `metadata.warpbook`, beyond the protocol: where a failure lies, and that a text
 * on stderr is a failure that came after its cell's reply.
 */
export interface FailureNote {
  /** Set where the failure came outside a running cell: nothing but this marks it, since the reply has gone. */
  readonly late?: 'uncaughtException' | 'unhandledRejection';
  readonly ename: string;
  readonly evalue: string;
  readonly traceback: readonly string[];
  /** Line in the cell's source, from 1; absent where no stack frame lies in a cell. */
  readonly line?: number;
}

/** What the kernel says, in a message's `metadata.warpbook`, where a value's own display failed and its text is shown. */
export interface DisplayNote {
  readonly displayFailure: string;
}

export function makeHeader(msgType: string, session: string): MessageHeader {
  return {
    msg_id: randomUUID(),
    msg_type: msgType,
    session,
    username: 'warpbook',
    date: new Date().toISOString(),
    version: PROTOCOL_VERSION,
  };
}

/** The four signed parts of a message, as JSON. */
export function messageParts(
  header: MessageHeader,
  parentHeader: Partial<MessageHeader>,
  metadata: Content,
  content: Content,
): string[] {
  return [header, parentHeader, metadata, content].map((part) => JSON.stringify(part));
}

/** The frames of a message whose parts are at hand, signed with `key`. */
export function signFrames(identities: readonly Uint8Array[], parts: readonly string[], key: string): Buffer[] {
  const frames = parts.map((part) => Buffer.from(part));
  const addresses = identities.map((id) => Buffer.from(id.buffer, id.byteOffset, id.byteLength));
  return [...addresses, DELIMITER, Buffer.from(sign(frames, key)), ...frames];
}

/** The frames of a message, signed with `key`. */
export function encodeMessage(message: Message, key: string): Buffer[] {
  const { identities, header, parentHeader, metadata, content } = message;
  return signFrames(identities, messageParts(header, parentHeader, metadata, content), key);
}

/**
 * Reads frames and checks their signature.
 *
 * @throws WarpbookError `INVALID_ARGUMENT` for frames that are no message and for a wrong signature.
 */
export function decodeMessage(frames: readonly Buffer[], key: string): Message {
  const at = frames.findIndex((frame) => frame.equals(DELIMITER));
  if (at < 0 || frames.length < at + 6) {
    throw new WarpbookError(
      'INVALID_ARGUMENT',
      `got ${frames.length} frames that are no Jupyter message; message refused.`,
    );
  }
  const parts = frames.slice(at + 2, at + 6);
  const wanted = Buffer.from(sign(frames.slice(at + 2), key));
  const got = frames[at + 1];
  if (key !== '' && (got.length !== wanted.length || !timingSafeEqual(got, wanted))) {
    throw new WarpbookError(
      'INVALID_ARGUMENT',
      'got a message with a wrong signature; wanted one signed with the key of the connection file; message refused.',
    );
  }
  const [header, parentHeader, metadata, content] = parts.map((part) => JSON.parse(part.toString('utf8')));
  return { identities: frames.slice(0, at), header, parentHeader, metadata, content };
}

function sign(parts: readonly Buffer[], key: string): string {
  if (key === '') return '';
  const hmac = createHmac('sha256', key);
  for (const part of parts) hmac.update(part);
  return hmac.digest('hex');
}

/**
 * Parses the text of a connection file.
 *
 * @throws WarpbookError `FILE_FORMAT` naming the field that is missing or unsupported.
 */
export function parseConnectionInfo(text: string, file: string): ConnectionInfo {
  let info: Partial<ConnectionInfo>;
  try {
    info = JSON.parse(text);
  } catch (error) {
    throw new WarpbookError('FILE_FORMAT', `connection file ${file}: ${(error as Error).message}`, { file });
  }
  const fail = (got: string, wanted: string): never => {
    throw new WarpbookError('FILE_FORMAT', `connection file ${file}: got ${got}; wanted ${wanted}.`, { file });
  };
  if (info.transport !== 'tcp') fail(`transport ${JSON.stringify(info.transport)}`, '"tcp"');
  if (typeof info.ip !== 'string') fail('no ip', 'an address such as "127.0.0.1"');
  if (typeof info.key !== 'string') fail('no key', 'the secret of the signatures, or ""');
  if (info.key !== '' && info.signature_scheme !== 'hmac-sha256') {
    fail(`signature_scheme ${JSON.stringify(info.signature_scheme)}`, '"hmac-sha256"');
  }
  for (const channel of CHANNELS) {
    const port = info[`${channel}_port`];
    if (!Number.isInteger(port)) fail(`${channel}_port ${JSON.stringify(port)}`, 'a port number, or 0 for any');
  }
  return info as ConnectionInfo;
}
