/** Notebooks made on the spot, and kernels for tests; both need the built package. */
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll } from 'vitest';
import { kernelMain } from '../../src/notebook/kernel/package-paths';
import { type AnswerPrompt, KernelClient } from '../../src/notebook/run/kernel-client';
import { exitText, KernelProcess, type KernelProcessOptions } from '../../src/notebook/run/kernel-process';
import type { ConnectionInfo, Content, Message } from '../../src/notebook/run/protocol';
import { type CellSpec, notebookJson } from './notebook-json';

export { type CellSpec, notebookJson };

/** The kernel's process runs from dist. */
export function requireBuilt(): void {
  if (!existsSync(kernelMain)) throw new Error(`got no ${kernelMain}; wanted a built package. Run: npm run build`);
}

/** A folder that goes when the test file is through. */
export function temporaryFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'warpbook-test-'));
  afterAll(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

export function writeFixture(
  folder: string,
  name: string,
  cells: readonly (string | CellSpec)[],
  kernel?: string,
): string {
  const file = join(folder, `${name}.ipynb`);
  writeFileSync(file, notebookJson(cells, kernel));
  return file;
}

export interface Executed {
  readonly reply: Message;
  /** What was published for this cell, status messages left out. */
  readonly published: readonly Message[];
}

/** A kernel and a client, as a front end would have them. */
export class TestKernel {
  readonly process: KernelProcess;
  readonly client: KernelClient;
  readonly info: ConnectionInfo;
  readonly published: Message[];
  private stopping = false;

  private constructor(process: KernelProcess, client: KernelClient, info: ConnectionInfo, published: Message[]) {
    this.process = process;
    this.client = client;
    this.info = info;
    this.published = published;
  }

  static async start(options: KernelProcessOptions, onPrompt?: AnswerPrompt): Promise<TestKernel> {
    requireBuilt();
    let native = '';
    const onNativeOutput = (stream: 'stdout' | 'stderr', text: string): void => {
      native += text;
      options.onNativeOutput?.(stream, text);
    };
    const process = new KernelProcess({ ...options, onNativeOutput });
    const info = await process.connection(20_000);
    const published: Message[] = [];
    const client = new KernelClient(info, (message) => published.push(message), onPrompt);
    // A test that waits for a dead kernel says why.
    const kernel = new TestKernel(process, client, info, published);
    void process.exited.then((exit) => {
      if (!kernel.stopping) client.fail(new Error(`the kernel's process ${exitText(exit)}\n${native}`));
    });
    await client.handshake();
    return kernel;
  }

  async execute(code: string, content: Content = {}): Promise<Executed> {
    const { id, reply } = this.client.requestWithId('shell', 'execute_request', { code, ...content });
    const answer = await reply;
    return { reply: answer, published: this.publishedFor(id) };
  }

  publishedFor(id: string): Message[] {
    return this.published.filter((m) => m.parentHeader.msg_id === id && m.header.msg_type !== 'status');
  }

  async stop(): Promise<void> {
    this.stopping = true;
    await this.process.kill();
    this.client.close();
  }
}

/** Text of a stream among published messages. */
export function streamText(published: readonly Message[], name: 'stdout' | 'stderr' = 'stdout'): string {
  return published
    .filter(({ header, content }) => header.msg_type === 'stream' && content.name === name)
    .map(({ content }) => content.text)
    .join('');
}
