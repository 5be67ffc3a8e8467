/**
 * What the kernel answers to each message, and in which order: cells queue up, questions don't. Knows no socket
 * options and nothing of how a cell runs.
 */
import { type Content, type Message, PROTOCOL_VERSION } from '../run/protocol';
import type { CellOutcome, CellRunner } from './cell-runner';
import { packageVersion } from './package-paths';
import { waitForQuiet } from './quiet';
import type { KernelSockets, RequestChannel } from './sockets';

interface Waiting {
  readonly channel: RequestChannel;
  readonly request: Message;
}

export class KernelServer {
  private readonly sockets: KernelSockets;
  private readonly runner: Promise<CellRunner>;
  private readonly shutdown: () => void;
  private queue: Waiting[] = [];
  private executing = false;

  /** @param runner may still be starting: who asks for nothing but the kernel's name is answered at once */
  constructor(sockets: KernelSockets, runner: Promise<CellRunner>, shutdown: () => void) {
    this.sockets = sockets;
    this.runner = runner;
    this.shutdown = shutdown;
  }

  handle(channel: RequestChannel, request: Message): void {
    if (request.header.msg_type === 'execute_request') {
      this.queue.push({ channel, request });
      void this.drain();
    } else {
      void this.answer(channel, request);
    }
  }

  private async answer(channel: RequestChannel, request: Message): Promise<void> {
    const { msg_type: msgType } = request.header;
    this.status(request, 'busy');
    try {
      const content = await this.contentFor(msgType, request);
      if (content) this.sockets.reply(channel, request, msgType.replace(/_request$/, '_reply'), content);
    } catch (error) {
      const { name: ename, message: evalue } = error as Error;
      const content = { status: 'error', ename, evalue, traceback: [] };
      this.sockets.reply(channel, request, msgType.replace(/_request$/, '_reply'), content);
    } finally {
      this.status(request, 'idle');
    }
    if (msgType === 'shutdown_request') this.shutdown();
  }

  private async contentFor(msgType: string, request: Message): Promise<Content | undefined> {
    const { content } = request;
    switch (msgType) {
      case 'kernel_info_request':
        return kernelInfo();
      case 'is_complete_request':
        return isComplete(await this.runner, String(content.code));
      case 'complete_request':
        return complete(await this.runner, String(content.code), Number(content.cursor_pos));
      case 'inspect_request':
        return inspect(await this.runner, String(content.code), Number(content.cursor_pos));
      case 'comm_info_request':
        return { status: 'ok', comms: {} };
      case 'history_request':
        return { status: 'ok', history: [] };
      case 'interrupt_request':
        (await this.runner).interrupt();
        return { status: 'ok' };
      case 'shutdown_request':
        return { status: 'ok', restart: content.restart === true };
      case 'warpbook_quiet_request':
        return { status: 'ok', quiet: await waitForQuiet(Number(content.timeout_ms)) };
      case 'comm_open':
        // No target is known here; the protocol wants such a comm closed at once.
        this.sockets.publish(request, 'comm_close', { comm_id: content.comm_id, data: {} });
        return undefined;
      default:
        return undefined;
    }
  }

  private async drain(): Promise<void> {
    if (this.executing) return;
    this.executing = true;
    for (let next = this.queue.shift(); next; next = this.queue.shift()) await this.execute(next);
    this.executing = false;
  }

  private async execute({ channel, request }: Waiting): Promise<void> {
    const { content } = request;
    this.status(request, 'busy');
    // Whatever happens a reply follows: a client without one waits forever.
    const outcome = await this.run(request).catch((error: unknown): CellOutcome => {
      const evalue = `the kernel failed: ${error instanceof Error ? error.message : String(error)}`;
      return { executionCount: 0, failure: { ename: 'KernelError', evalue, traceback: [evalue] } };
    });
    const { executionCount, failure } = outcome;
    if (failure && content.stop_on_error !== false) await this.abortQueued();
    const { ename, evalue, traceback } = failure ?? {};
    const reply = failure
      ? { status: 'error', execution_count: executionCount, ename, evalue, traceback }
      : { status: 'ok', execution_count: executionCount, payload: [], user_expressions: {} };
    this.sockets.reply(channel, request, 'execute_reply', reply, failure ? { warpbook: failure } : {});
    this.status(request, 'idle');
  }

  private async run(request: Message): Promise<CellOutcome> {
    const { content, metadata } = request;
    const runner = await this.runner;
    const label = (metadata.warpbook as { cell?: unknown } | undefined)?.cell;
    return runner.run({
      code: String(content.code),
      silent: content.silent === true,
      storeHistory: content.store_history !== false,
      label: label === undefined ? undefined : String(label),
      publish: (msgType, body, note) => this.sockets.publish(request, msgType, body, note),
    });
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
      this.sockets.reply(channel, request, 'execute_reply', { status: 'aborted' });
      this.status(request, 'idle');
    }
  }

  private status(request: Message, state: 'busy' | 'idle'): void {
    this.sockets.publish(request, 'status', { execution_state: state });
  }
}

function kernelInfo(): Content {
  const version = packageVersion();
  return {
    status: 'ok',
    protocol_version: PROTOCOL_VERSION,
    implementation: 'warpbook',
    implementation_version: version,
    language_info: {
      name: 'typescript',
      // Of the compiler that tslab pins; a notebook's metadata should not change with each Node.
      version: '5.0.4',
      mimetype: 'text/typescript',
      file_extension: '.ts',
      pygments_lexer: 'typescript',
      // Both shapes are read: JupyterLab looks at `mode`, the classic notebook at `name` with `typescript`.
      codemirror_mode: { name: 'javascript', typescript: true, mode: 'typescript' },
    },
    banner: `warpbook ${version}: TypeScript on Node ${process.version}`,
    help_links: [],
  };
}

function isComplete(runner: CellRunner, code: string): Content {
  const { completed, indent } = runner.compiler.tslab.isCompleteCode(code);
  return completed ? { status: 'complete' } : { status: 'incomplete', indent: indent ?? '' };
}

function complete(runner: CellRunner, code: string, cursor: number): Content {
  const { start, end, candidates } = runner.executor.complete(code, toUnits(code, cursor));
  return {
    status: 'ok',
    matches: candidates,
    cursor_start: toPoints(code, start),
    cursor_end: toPoints(code, end),
    metadata: {},
  };
}

function inspect(runner: CellRunner, code: string, cursor: number): Content {
  const info = runner.executor.inspect(code, toUnits(code, cursor)) as
    | ReturnType<typeof runner.executor.inspect>
    | undefined;
  if (!info) return { status: 'ok', found: false, data: {}, metadata: {} };
  return {
    status: 'ok',
    found: true,
    data: { 'text/plain': runner.compiler.tslab.printQuickInfo(info) },
    metadata: {},
  };
}

/** Jupyter counts Unicode characters, JavaScript UTF-16 units. */
function toUnits(code: string, points: number): number {
  return [...code].slice(0, points).join('').length;
}

function toPoints(code: string, units: number): number {
  return [...code.slice(0, units)].length;
}
