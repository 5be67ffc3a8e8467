/**
 * The main thread's end of the wire: requests come in, answers and publications go out through the thread that owns the
 * sockets. Also what only two threads can do: a prompt that blocks, output that survives `process.exit`, and the
 * termination of busy JavaScript. Knows no message type but `input_request`.
 */
import { randomUUID } from 'node:crypto';
import { join } from 'node:path';
import { Worker } from 'node:worker_threads';
import { type ConnectionInfo, type Content, type Message, makeHeader, messageParts } from '../run/protocol';
import {
  interruptHook,
  MayTerminate,
  makeShared,
  PROMPT_OFFSET,
  PromptState,
  type RequestChannel,
  Shared,
  type ToMain,
  type ToWire,
  type WireData,
} from './wire-messages';

/** What the main thread does with what comes in. */
export interface WireHandlers {
  request(channel: RequestChannel, request: Message): void;
  /** The user wants the running cell to stop; called as soon as the event loop turns. */
  interrupt(): void;
  /** Busy JavaScript is about to be terminated. Called in the middle of it: nothing may be scheduled. */
  terminating(): void;
  /** Busy JavaScript has been terminated; what it was part of will never settle. An interrupt comes too. */
  terminated(): void;
  shutdown(): void;
  /** The last moment for messages. */
  beforeExit(): void;
  /** What concerns whoever started the kernel, not the cells. */
  log(text: string): void;
}

/** The process is about to end: messages get this long to reach the sockets. */
const END_MS = 2000;
const PROMPT_POLL_MS = 100;
/** Frames of the hook itself and of the evaluation that calls it. */
const OWN_FRAMES = 2;
const CALLING_LOOPS = /^node:(internal\/(process\/(task_queues|promises)|timers|async_|callback)|async_hooks|timers)/;

export class Wire {
  private readonly worker: Worker;
  private readonly shared: Int32Array;
  private readonly memory: SharedArrayBuffer = makeShared();
  private readonly session: string = randomUUID();

  constructor(connection: ConnectionInfo, file: string, handlers: WireHandlers) {
    this.shared = new Int32Array(this.memory, 0, Shared.WORDS);
    const ownerPid = Number(process.env.JPY_PARENT_PID) || undefined;
    const { memory: shared, session } = this;
    const workerData: WireData = { connection, file, session, parentPid: process.ppid, ownerPid, shared };
    this.worker = new Worker(join(__dirname, 'wire-thread.js'), { workerData, name: 'wire' });
    this.worker.on('message', (message: ToMain) => this.receive(message, handlers));
    this.worker.on('error', (error) => {
      // Without its sockets the kernel can reach nobody.
      handlers.log(error.message);
      process.exit(2);
    });
    // What loads the compiler mustn't be left half way either.
    Atomics.store(this.shared, Shared.COMPILING, 1);
    this.installHook(handlers);
    process.on('exit', () => {
      handlers.beforeExit();
      this.end();
    });
  }

  /** Answers on the channel that the request came from. */
  reply(channel: RequestChannel, request: Message, msgType: string, content: Content, metadata: Content = {}): void {
    const header = makeHeader(msgType, this.session);
    this.send(channel, request.identities, messageParts(header, request.header, metadata, content));
  }

  /** Tells every client, with the request as parent. */
  publish(request: Message | undefined, msgType: string, content: Content, metadata: Content = {}): void {
    const topic = Buffer.from(`kernel.${this.session}.${msgType}`);
    const header = makeHeader(msgType, this.session);
    this.send('iopub', [topic], messageParts(header, request?.header ?? {}, metadata, content));
  }

  /**
   * Asks the client that sent `request` for a line, and blocks this thread until it comes.
   *
   * @returns undefined where the user interrupts.
   */
  prompt(request: Message, prompt: string, password: boolean): string | undefined {
    const { shared } = this;
    Atomics.store(shared, Shared.PROMPT, PromptState.WAITING);
    const header = makeHeader('input_request', this.session);
    this.send('stdin', request.identities, messageParts(header, request.header, {}, { prompt, password }));
    let state: number = PromptState.WAITING;
    while (state === PromptState.WAITING) {
      Atomics.wait(shared, Shared.PROMPT, PromptState.WAITING, PROMPT_POLL_MS);
      state = Atomics.load(shared, Shared.PROMPT);
    }
    Atomics.store(shared, Shared.PROMPT, PromptState.NONE);
    if (state !== PromptState.ANSWERED) return undefined;
    return Buffer.from(this.memory, PROMPT_OFFSET, Atomics.load(shared, Shared.PROMPT_BYTES)).toString('utf8');
  }

  /** Runs `f`, which mustn't be left half way, free from terminations; they come once it is through. */
  protect<T>(f: () => T): T {
    const before = Atomics.exchange(this.shared, Shared.COMPILING, 1);
    try {
      return f();
    } finally {
      Atomics.store(this.shared, Shared.COMPILING, before);
    }
  }

  /** The kernel has started: from now on busy JavaScript may be terminated. */
  started(): void {
    Atomics.store(this.shared, Shared.COMPILING, 0);
  }

  /** Waits until every message has left and the sockets are closed. */
  private end(): void {
    this.post({ type: 'end' });
    Atomics.wait(this.shared, Shared.ENDED, 0, END_MS);
  }

  private send(channel: RequestChannel | 'iopub' | 'stdin', identities: readonly Uint8Array[], parts: string[]): void {
    this.post({ type: 'send', channel, identities, parts });
  }

  private post(message: ToWire): void {
    this.worker.postMessage(message);
  }

  private receive(message: ToMain, handlers: WireHandlers): void {
    const taken = Atomics.load(this.shared, Shared.TAKEN);
    if (message.seq <= taken) return;
    if (message.seq > taken + 1) {
      // A termination ate what came before.
      this.post({ type: 'resend', from: taken + 1 });
      return;
    }
    Atomics.store(this.shared, Shared.TAKEN, message.seq);
    switch (message.type) {
      case 'request':
        handlers.request(message.channel, message.message);
        break;
      case 'interrupt':
        handlers.interrupt();
        break;
      case 'terminated':
        handlers.terminated();
        break;
      case 'shutdown':
        handlers.shutdown();
        break;
      case 'failed':
        handlers.log(message.text);
        break;
    }
  }

  /** Called by the wire thread through the inspector, in the middle of whatever runs. */
  private installHook(handlers: WireHandlers): void {
    const hook = (asked: number): void => {
      const { shared } = this;
      const mayNot = Atomics.load(shared, Shared.COMPILING) === 1 || Atomics.load(shared, Shared.TAKEN) >= asked;
      if (mayNot || !isAtSafePoint()) {
        Atomics.store(shared, Shared.ANSWER, MayTerminate.NO);
        return;
      }
      Atomics.store(shared, Shared.ANSWER, MayTerminate.YES);
      // The termination is to lie in the queue behind this very call, so that no other code runs in between.
      if (Atomics.wait(shared, Shared.TERMINATING, 0, END_MS) === 'timed-out') return;
      handlers.terminating();
      clearAsyncStack();
    };
    Object.defineProperty(globalThis, interruptHook, { value: hook });
  }
}

/**
 * Whether JavaScript can be terminated where it stands. Not where the thread is idle, which leaves nothing but our own
 * frames. And not in the loops of Node that call ticks, timers and promises: a termination takes effect a few steps later,
 * by which time such a loop may have entered the next context, and Node aborts over one that nobody left.
 */
function isAtSafePoint(): boolean {
  const { stackTraceLimit, prepareStackTrace } = Error;
  Error.stackTraceLimit = OWN_FRAMES + 1;
  Error.prepareStackTrace = (_, frames) => frames;
  const holder: { stack?: unknown } = {};
  Error.captureStackTrace(holder, isAtSafePoint);
  const frames = holder.stack as readonly NodeJS.CallSite[];
  Object.assign(Error, { stackTraceLimit, prepareStackTrace });
  const interrupted = frames[OWN_FRAMES];
  return interrupted !== undefined && !CALLING_LOOPS.test(interrupted.getFileName() ?? '');
}

/**
 * A termination leaves frames without running anything of them, so Node's own stack of asynchronous contexts stays as it
 * was and Node aborts ("async hook stack has become corrupted"). Node empties that stack after an uncaught exception;
 * this takes the same way, with nobody told of an exception.
 */
function clearAsyncStack(): void {
  const { _fatalException: fatal } = process as unknown as {
    _fatalException(error: Error, fromPromise: boolean): void;
  };
  const foreign = process.hasUncaughtExceptionCaptureCallback();
  if (!foreign) process.setUncaughtExceptionCaptureCallback(() => undefined);
  try {
    fatal.call(process, new Error('terminated'), false);
  } finally {
    if (!foreign) process.setUncaughtExceptionCaptureCallback(null);
  }
}
