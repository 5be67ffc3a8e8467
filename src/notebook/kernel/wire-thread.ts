/**
 * The thread that owns the kernel's sockets. It passes messages on, and does itself what must work while a cell keeps
 * the main thread busy: heartbeats, who-are-you, interrupts, shutdown, dying with the parent. Knows nothing of cells.
 */
import { Session } from 'node:inspector';
import { parentPort, workerData } from 'node:worker_threads';
import { type Content, type Message, makeHeader, messageParts } from '../run/protocol';
import { kernelInfo } from './kernel-info';
import { dieWithParent } from './parent-watch';
import { type IncomingChannel, KernelSockets } from './sockets';
import {
  answerOf,
  interruptHook,
  MayTerminate,
  PROMPT_CAPACITY,
  PROMPT_OFFSET,
  PromptState,
  type RequestChannel,
  Shared,
  type ToMain,
  type ToWire,
  type WireData,
} from './wire-messages';

/** The main thread has this long to take up an interrupt by itself. */
const POLITE_MS = 40;
const POLL_MS = 2;
/** What closed sockets take to let go of their receivers. */
const END_MS = 10;
/** And this long to end well after a shutdown request, where nobody kills it earlier (Jupyter does after five seconds). */
const SHUTDOWN_MS = 10_000;

type Unsent = ToMain extends infer M ? (M extends ToMain ? Omit<M, 'seq'> : never) : never;

class WireThread {
  private readonly port = parentPort as NonNullable<typeof parentPort>;
  private readonly data = workerData as WireData;
  private readonly shared = new Int32Array(this.data.shared, 0, Shared.WORDS);
  private readonly sockets = new KernelSockets(this.data.connection);
  private readonly untaken: ToMain[] = [];
  private readonly debuggee = new Session();
  private seq = 0;
  private interrupting = false;
  private ended = false;

  async start(): Promise<void> {
    dieWithParent(this.data.parentPid, this.data.ownerPid);
    this.port.on('message', (message: ToWire) => this.fromMain(message));
    await this.sockets.bind(this.data.file);
    this.publish(undefined, 'status', { execution_state: 'starting' });
    await this.sockets.serve(
      (channel, message) => this.fromClient(channel, message),
      (error) => this.post({ type: 'failed', text: error.message }),
    );
  }

  private fromMain(message: ToWire): void {
    switch (message.type) {
      case 'send':
        this.sockets.send(message.channel, message.identities, message.parts);
        break;
      case 'resend':
        for (const missed of this.untaken) if (missed.seq >= message.from) this.port.postMessage(missed);
        break;
      case 'end':
        // What was sent is in ZeroMQ's hands, which keeps the process until it has left. Receivers end a turn later: a
        // thread that is ended with some still waiting takes the process down with it.
        this.ended = true;
        this.sockets.close();
        this.debuggee.disconnect();
        setTimeout(() => {
          Atomics.store(this.shared, Shared.ENDED, 1);
          Atomics.notify(this.shared, Shared.ENDED);
        }, END_MS);
        break;
    }
  }

  private fromClient(channel: IncomingChannel, message: Message): void {
    if (channel === 'stdin') this.answerPrompt(message);
    else if (message.header.msg_type === 'kernel_info_request') this.answer(channel, message, kernelInfo());
    else if (message.header.msg_type === 'interrupt_request') {
      this.interrupt();
      this.answer(channel, message, { status: 'ok' });
    } else if (message.header.msg_type === 'shutdown_request') {
      this.answer(channel, message, { status: 'ok', restart: message.content.restart === true });
      this.post({ type: 'shutdown' });
      // A busy main thread sees the request once it is terminated; one that is stuck in native code must not outlive it.
      this.interrupt();
      setTimeout(() => process.kill(process.pid, 'SIGKILL'), SHUTDOWN_MS);
    } else this.post({ type: 'request', channel, message });
  }

  /** A message that the main thread takes even if a termination eats the first copy. */
  private post(message: Unsent): number {
    this.seq += 1;
    const numbered = { ...message, seq: this.seq } as ToMain;
    const taken = Atomics.load(this.shared, Shared.TAKEN);
    while (this.untaken.length > 0 && this.untaken[0].seq <= taken) this.untaken.shift();
    this.untaken.push(numbered);
    this.port.postMessage(numbered);
    return this.seq;
  }

  private answer(channel: RequestChannel, request: Message, content: Content): void {
    this.publish(request, 'status', { execution_state: 'busy' });
    const header = makeHeader(request.header.msg_type.replace(/_request$/, '_reply'), this.data.session);
    this.sockets.send(channel, request.identities, messageParts(header, request.header, {}, content));
    this.publish(request, 'status', { execution_state: 'idle' });
  }

  private publish(request: Message | undefined, msgType: string, content: Content): void {
    const topic = Buffer.from(`kernel.${this.data.session}.${msgType}`);
    const header = makeHeader(msgType, this.data.session);
    this.sockets.send('iopub', [topic], messageParts(header, request?.header ?? {}, {}, content));
  }

  /** A prompt blocks the main thread, so its answer goes through shared memory. */
  private answerPrompt(message: Message): void {
    if (Atomics.load(this.shared, Shared.PROMPT) !== PromptState.WAITING) return;
    const bytes = new Uint8Array(this.data.shared, PROMPT_OFFSET, PROMPT_CAPACITY);
    const { written = 0 } = new TextEncoder().encodeInto(answerOf(message.content), bytes);
    Atomics.store(this.shared, Shared.PROMPT_BYTES, written);
    this.endPrompt(PromptState.ANSWERED);
  }

  private endPrompt(state: number): void {
    Atomics.compareExchange(this.shared, Shared.PROMPT, PromptState.WAITING, state);
    Atomics.notify(this.shared, Shared.PROMPT);
  }

  /**
   * Asks the main thread to stop its cell. If it doesn't take the question it is busy: then its JavaScript is terminated
   * where it stands, unless it is in the compiler. Native code can't be terminated; it is waited for.
   */
  private interrupt(): void {
    this.endPrompt(PromptState.INTERRUPTED);
    if (this.interrupting) return;
    this.interrupting = true;
    const asked = this.post({ type: 'interrupt' });
    setTimeout(() => this.insist(asked), POLITE_MS);
  }

  private insist(asked: number): void {
    const isTaken = (): boolean => Atomics.load(this.shared, Shared.TAKEN) >= asked;
    if (isTaken() || this.ended) {
      this.interrupting = false;
      return;
    }
    if (Atomics.load(this.shared, Shared.COMPILING) === 1) {
      setTimeout(() => this.insist(asked), POLITE_MS);
      return;
    }
    Atomics.store(this.shared, Shared.TERMINATING, 0);
    Atomics.store(this.shared, Shared.ANSWER, MayTerminate.UNASKED);
    const expression = `globalThis[Symbol.for(${JSON.stringify(interruptHook.description)})]?.(${asked})`;
    // Connected for as long as it takes: a process that ends with a debugger waits for it.
    this.debuggee.connectToMainThread();
    this.debuggee.post('Runtime.evaluate', { expression, silent: true });
    const poll = setInterval(() => {
      const answer = Atomics.load(this.shared, Shared.ANSWER);
      if (answer === MayTerminate.UNASKED && !isTaken()) return;
      clearInterval(poll);
      if (answer === MayTerminate.YES) {
        this.debuggee.post('Runtime.terminateExecution', () => this.debuggee.disconnect());
        Atomics.store(this.shared, Shared.TERMINATING, 1);
        Atomics.notify(this.shared, Shared.TERMINATING);
        this.post({ type: 'terminated' });
        this.interrupting = false;
      } else {
        this.debuggee.disconnect();
        setTimeout(() => this.insist(asked), POLL_MS);
      }
    }, POLL_MS);
  }
}

void new WireThread().start();
