/**
 * What the kernel's two threads tell each other. The wire thread owns the sockets and never runs a cell, so heartbeats,
 * interrupts and shutdowns are answered whatever a cell does; the main thread runs cells and owns no socket. Types and
 * numbers alone.
 */
import type { Channel, ConnectionInfo, Content, Message } from '../run/protocol';

/** Channels on which clients ask. */
export type RequestChannel = 'shell' | 'control';

/** What the wire thread is started with. */
export interface WireData {
  readonly connection: ConnectionInfo;
  /** The connection file, into which ports are written back. */
  readonly file: string;
  readonly session: string;
  readonly parentPid: number;
  /** The process that Jupyter names as owner; a wrapper script may stand between it and the kernel. */
  readonly ownerPid?: number;
  /** See {@link Shared}. */
  readonly shared: SharedArrayBuffer;
}

/** To the main thread. */
export type ToMain =
  | { readonly type: 'request'; readonly seq: number; readonly channel: RequestChannel; readonly message: Message }
  /** The user wants the running cell to stop. */
  | { readonly type: 'interrupt'; readonly seq: number }
  /** JavaScript was terminated where it stood: promises that waited for it will never settle. */
  | { readonly type: 'terminated'; readonly seq: number }
  | { readonly type: 'shutdown'; readonly seq: number }
  | { readonly type: 'failed'; readonly seq: number; readonly text: string };

/** To the wire thread. */
export type ToWire =
  | {
      readonly type: 'send';
      readonly channel: Exclude<Channel, 'hb'>;
      readonly identities: readonly Uint8Array[];
      /** Header, parent header, metadata and content as JSON: the thread signs and frames them. */
      readonly parts: readonly string[];
    }
  /** Something was missed: send again what came from this number on. */
  | { readonly type: 'resend'; readonly from: number }
  /** The process ends: hand everything to the sockets, close them, and say so in {@link Shared.ENDED}. */
  | { readonly type: 'end' };

/** Words of the memory that both threads see: the one way to reach a thread that is busy or waits. */
export const Shared = {
  /** Number of the last message that the main thread took. */
  TAKEN: 0,
  /** 1 while the main thread is in the compiler, which must not be terminated half way. */
  COMPILING: 1,
  /** Answer of the main thread to the question whether it may be terminated; see {@link MayTerminate}. */
  ANSWER: 2,
  /** 1 once the termination lies in the main thread's queue. */
  TERMINATING: 3,
  ENDED: 4,
  /** State of a prompt that blocks the main thread; see {@link PromptState}. */
  PROMPT: 5,
  /** Bytes of the prompt's answer, which follow at {@link PROMPT_OFFSET}. */
  PROMPT_BYTES: 6,
  WORDS: 8,
} as const;

export const MayTerminate = { UNASKED: 0, NO: 1, YES: 2 } as const;

export const PromptState = { NONE: 0, WAITING: 1, ANSWERED: 2, INTERRUPTED: 3 } as const;

/** Where the answer of a prompt begins, in bytes. */
export const PROMPT_OFFSET: number = Shared.WORDS * Int32Array.BYTES_PER_ELEMENT;
/** Longer answers are cut, as by a terminal's line buffer. */
export const PROMPT_CAPACITY = 65_536;

/** The function of the main thread that the wire thread calls in the middle of busy code. */
export const interruptHook: unique symbol = Symbol.for('warpbook.interruptHook') as never;

export function makeShared(): SharedArrayBuffer {
  return new SharedArrayBuffer(PROMPT_OFFSET + PROMPT_CAPACITY);
}

/** An input request's answer, as it goes into the shared memory. */
export function answerOf(content: Content): string {
  return typeof content.value === 'string' ? content.value : '';
}
