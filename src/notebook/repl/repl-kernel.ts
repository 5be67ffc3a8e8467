/**
 * The kernel behind a REPL, as an object with questions and answers: run code, is it complete, what could follow. Hides
 * process, client and protocol; knows no terminal.
 */
import { WarpbookError } from '../../errors';
import { type AnswerPrompt, KernelClient } from '../run/kernel-client';
import { exitText, KernelProcess } from '../run/kernel-process';
import type { Message } from '../run/protocol';
import { inTime } from '../run/time-limit';

export interface ReplKernelOptions {
  readonly cwd: string;
  readonly env: Readonly<Record<string, string>>;
  /** What cells put out, in order: streams, results, displays, errors. */
  readonly onMessage: (message: Message) => void;
  /** What the process prints past the kernel. */
  readonly onNativeOutput: (stream: 'stdout' | 'stderr', text: string) => void;
  /** Answers cells that ask the user; absent where nobody can. */
  readonly onPrompt?: AnswerPrompt;
}

export type Completeness = { readonly complete: true } | { readonly complete: false; readonly indent: string };

const START_MS = 60_000;
const SHUTDOWN_MS = 2000;

export class ReplKernel {
  private readonly options: ReplKernelOptions;
  private readonly process: KernelProcess;
  private readonly client: KernelClient;
  private closing = false;

  private constructor(options: ReplKernelOptions, process: KernelProcess, client: KernelClient) {
    this.options = options;
    this.process = process;
    this.client = client;
    void process.exited.then((exit) => {
      if (!this.closing) client.fail(new WarpbookError('KERNEL_DIED', `The kernel's process ${exitText(exit)}.`));
    });
  }

  /** @throws WarpbookError `KERNEL_DIED`, or `TIMEOUT` where it takes too long. */
  static async start(options: ReplKernelOptions): Promise<ReplKernel> {
    const { cwd, env, onNativeOutput, onMessage, onPrompt } = options;
    const process = new KernelProcess({ cwd, env, onNativeOutput });
    try {
      const client = new KernelClient(await process.connection(START_MS), onMessage, onPrompt);
      const kernel = new ReplKernel(options, process, client);
      await inTime(START_MS, client.handshake());
      return kernel;
    } catch (error) {
      await process.kill();
      throw error;
    }
  }

  /**
   * Runs code; what it puts out goes to `onMessage`.
   *
   * @returns whether it ran well.
   * @throws WarpbookError `KERNEL_DIED` where it took the kernel with it.
   */
  async run(code: string): Promise<boolean> {
    const content = { code, allow_stdin: this.options.onPrompt !== undefined, stop_on_error: true };
    const { content: reply } = await this.client.request('shell', 'execute_request', content);
    return reply.status === 'ok';
  }

  async completeness(code: string): Promise<Completeness> {
    const { content } = await this.client.request('shell', 'is_complete_request', { code });
    return content.status === 'incomplete' ? { complete: false, indent: String(content.indent) } : { complete: true };
  }

  /** What could stand at the end of `code`, and how many of its last characters that would replace. */
  async completions(code: string): Promise<{ readonly matches: readonly string[]; readonly length: number }> {
    const points = [...code].length;
    const { content } = await this.client.request('shell', 'complete_request', { code, cursor_pos: points });
    const start = content.cursor_start as number;
    return { matches: content.matches as string[], length: [...code].slice(start).join('').length };
  }

  interrupt(): void {
    void this.client.request('control', 'interrupt_request', {}).catch(() => undefined);
  }

  async close(): Promise<void> {
    this.closing = true;
    if (!this.process.exit) {
      const asked = this.client.request('control', 'shutdown_request', { restart: false });
      await inTime(SHUTDOWN_MS, Promise.all([asked, this.process.exited])).catch(() => undefined);
    }
    await this.process.kill();
    this.client.close();
  }
}
