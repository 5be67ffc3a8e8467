/**
 * What the kernel answers to each message, and in which order: cells queue up, questions don't. Knows no socket
 * and nothing of how a cell runs.
 */
import { serialize } from 'node:v8';
import type { Content, Message } from '../run/protocol';
import type { CellOutcome, CellRunner } from './cell-runner';
import { complete } from './completion';
import { History } from './history';
import { inspect } from './inspection';
import { waitForQuiet } from './quiet';
import type { Wire } from './wire';
import type { RequestChannel } from './wire-messages';

interface Waiting {
  readonly channel: RequestChannel;
  readonly request: Message;
}

/** After a termination, how long a cell may take to be concluded by the ordinary way. */
const RECOVERY_MS = 1500;
/** Requests that wait for the cells sent before them. */
const QUEUED: readonly string[] = ['execute_request', 'warpbook_value_request'];

export class KernelServer {
  private readonly wire: Wire;
  private readonly runner: Promise<CellRunner>;
  private readonly history = new History();
  private queue: Waiting[] = [];
  private executing: Waiting | undefined;

  /** @param runner may still be starting */
  constructor(wire: Wire, runner: Promise<CellRunner>) {
    this.wire = wire;
    this.runner = runner;
  }

  handle(channel: RequestChannel, request: Message): void {
    if (QUEUED.includes(request.header.msg_type)) {
      this.queue.push({ channel, request });
      void this.drain();
    } else {
      void this.answer(channel, request);
    }
  }

  /** To be called when JavaScript was terminated: it may have been this very class. */
  recover(): void {
    const lost = this.executing;
    if (!lost) return;
    setTimeout(() => {
      if (this.executing !== lost) return;
      const evalue = 'The cell was interrupted.';
      const content = { status: 'error', execution_count: 0, ename: 'Interrupted', evalue, traceback: [evalue] };
      this.wire.reply(lost.channel, lost.request, lost.request.header.msg_type.replace(/_request$/, '_reply'), content);
      this.status(lost.request, 'idle');
      this.executing = undefined;
      void this.drain();
    }, RECOVERY_MS);
  }

  private async answer(channel: RequestChannel, request: Message): Promise<void> {
    const { msg_type: msgType } = request.header;
    this.status(request, 'busy');
    try {
      const content = await this.contentFor(msgType, request);
      if (content) this.wire.reply(channel, request, msgType.replace(/_request$/, '_reply'), content);
    } catch (error) {
      this.wire.reply(channel, request, msgType.replace(/_request$/, '_reply'), errorContent(error));
    } finally {
      this.status(request, 'idle');
    }
  }

  private async contentFor(msgType: string, request: Message): Promise<Content | undefined> {
    const { content } = request;
    switch (msgType) {
      case 'is_complete_request': {
        const { completed, indent } = (await this.runner).compiler.tslab.isCompleteCode(String(content.code));
        return completed ? { status: 'complete' } : { status: 'incomplete', indent: indent ?? '' };
      }
      case 'complete_request':
        return complete(await this.runner, String(content.code), Number(content.cursor_pos));
      case 'inspect_request':
        return inspect(await this.runner, String(content.code), Number(content.cursor_pos));
      case 'comm_info_request':
        return { status: 'ok', comms: {} };
      case 'history_request':
        return { status: 'ok', history: this.history.answer(content) };
      case 'warpbook_quiet_request':
        return { status: 'ok', quiet: await waitForQuiet(Number(content.timeout_ms)) };
      case 'comm_open':
        // No target is known here; the protocol wants such a comm closed at once.
        this.wire.publish(request, 'comm_close', { comm_id: content.comm_id, data: {} });
        return undefined;
      default:
        return undefined;
    }
  }

  private async drain(): Promise<void> {
    if (this.executing) return;
    const next = this.queue.shift();
    if (!next) return;
    this.executing = next;
    if (next.request.header.msg_type === 'execute_request') await this.execute(next);
    else await this.value(next);
    // The loop goes on unless it was given up meanwhile.
    if (this.executing !== next) return;
    this.executing = undefined;
    void this.drain();
  }

  private async execute({ channel, request }: Waiting): Promise<void> {
    const { content } = request;
    this.status(request, 'busy');
    // Whatever happens a reply follows: a client without one waits forever.
    const outcome = await this.run(request).catch((error: unknown): CellOutcome => {
      const evalue = `the kernel failed: ${error instanceof Error ? error.message : String(error)}`;
      return { executionCount: 0, failure: { ename: 'KernelError', evalue, traceback: [evalue] } };
    });
    const { executionCount, failure, expressions } = outcome;
    if (failure && content.stop_on_error !== false) await this.abortQueued();
    const { ename, evalue, traceback } = failure ?? {};
    const reply = failure
      ? { status: 'error', execution_count: executionCount, ename, evalue, traceback }
      : { status: 'ok', execution_count: executionCount, payload: [], user_expressions: expressions ?? {} };
    this.wire.reply(channel, request, 'execute_reply', reply, failure ? { warpbook: failure } : {});
    this.status(request, 'idle');
  }

  private async run(request: Message): Promise<CellOutcome> {
    const { content, metadata } = request;
    const runner = await this.runner;
    const label = (metadata.warpbook as { cell?: unknown } | undefined)?.cell;
    const code = String(content.code);
    const silent = content.silent === true;
    const storeHistory = content.store_history !== false && !silent;
    if (storeHistory) this.history.add(code);
    return runner.run({
      code,
      silent,
      storeHistory,
      label: label === undefined ? undefined : String(label),
      expressions: (content.user_expressions ?? {}) as Record<string, string>,
      publish: (msgType, body, note) => this.wire.publish(request, msgType, body, note),
      prompt: content.allow_stdin === true ? (text, password) => this.wire.prompt(request, text, password) : undefined,
    });
  }

  /** A value of the notebook for a program; not of the protocol. `v8` holds types that JSON has not. */
  private async value({ channel, request }: Waiting): Promise<void> {
    this.status(request, 'busy');
    let content: Content;
    try {
      const value = await (await this.runner).valueOf(String(request.content.expression));
      content = { status: 'ok', v8: serialize(value).toString('base64') };
    } catch (error) {
      content = errorContent(error);
    }
    this.wire.reply(channel, request, 'warpbook_value_reply', content);
    this.status(request, 'idle');
  }

  /**
   * Drops the cells that were sent before the client could know of the failure. They may still lie in the socket if the
   * failed cell kept the loop busy, so it turns a few times first; what comes after the failed cell's reply is run.
   */
  private async abortQueued(): Promise<void> {
    for (let turn = 0; turn < 5; turn++) await new Promise((resolve) => setImmediate(resolve));
    const aborted = this.queue;
    this.queue = [];
    for (const { channel, request } of aborted) {
      this.status(request, 'busy');
      const msgType = request.header.msg_type.replace(/_request$/, '_reply');
      this.wire.reply(channel, request, msgType, { status: 'aborted' });
      this.status(request, 'idle');
    }
  }

  private status(request: Message, state: 'busy' | 'idle'): void {
    this.wire.publish(request, 'status', { execution_state: state });
  }
}

function errorContent(error: unknown): Content {
  const { name: ename, message: evalue } = error as Error;
  return { status: 'error', ename, evalue, traceback: [] };
}
