/**
 * A kernel's process and its connection file. Hides spawning, ports, native output and death; knows no message.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { StringDecoder } from 'node:string_decoder';
import { WarpbookError } from '../../errors';
import { kernelMain } from '../kernel/package-paths';
import { CHANNELS, type ConnectionInfo } from './protocol';

export interface KernelExit {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

export interface KernelProcessOptions {
  /** The notebook's folder: relative paths and imports of cells start here. */
  readonly cwd: string;
  /** Added to this process's environment. */
  readonly env?: Readonly<Record<string, string>>;
  /** What the process prints past the kernel: native code, Node's own warnings. */
  readonly onNativeOutput?: (stream: 'stdout' | 'stderr', text: string) => void;
}

const PORTS_POLL_MS = 5;

export class KernelProcess {
  /** Resolves when the process has ended and all that it printed has been read. */
  readonly exited: Promise<KernelExit>;
  /** Set once the process has ended. */
  exit: KernelExit | undefined;
  private readonly child: ChildProcess;
  private readonly folder: string;
  private readonly file: string;

  constructor(options: KernelProcessOptions) {
    this.folder = mkdtempSync(join(tmpdir(), 'warpbook-kernel-'));
    this.file = join(this.folder, 'connection.json');
    // Ports of 0: the kernel binds free ones and writes them back, so no other process can take them in between.
    const ports = Object.fromEntries(CHANNELS.map((channel) => [`${channel}_port`, 0]));
    const info = { transport: 'tcp', ip: '127.0.0.1', ...ports, key: randomUUID(), signature_scheme: 'hmac-sha256' };
    writeFileSync(this.file, JSON.stringify(info), { mode: 0o600 });
    this.child = spawn(process.execPath, [kernelMain, '--connection-file', this.file], {
      cwd: options.cwd,
      // A Jupyter that this runs under is no owner of this kernel.
      env: { ...process.env, JPY_PARENT_PID: undefined, ...options.env },
      // Pipes, not this process's own streams: an orphan must not hold a terminal or a CI job open.
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    for (const name of ['stdout', 'stderr'] as const) {
      const decoder = new StringDecoder('utf8');
      this.child[name]?.on('data', (chunk: Buffer) => options.onNativeOutput?.(name, decoder.write(chunk)));
    }
    this.exited = new Promise((resolve) => {
      const end = (exit: KernelExit): void => {
        this.exit ??= exit;
        rmSync(this.folder, { recursive: true, force: true });
        resolve(this.exit);
      };
      // `close` waits for the pipes, which a grandchild may hold; the process's own end is what counts.
      this.child.once('exit', (code, signal) => {
        this.exit = { code, signal };
        setTimeout(() => end({ code, signal }), 500).unref();
      });
      this.child.once('close', (code, signal) => end({ code, signal }));
      this.child.once('error', () => end({ code: null, signal: null }));
    });
  }

  get pid(): number | undefined {
    return this.child.pid;
  }

  /**
   * Where the kernel listens, once it does.
   *
   * @throws WarpbookError `KERNEL_DIED`, or `TIMEOUT` after `timeoutMs`.
   */
  async connection(timeoutMs: number): Promise<ConnectionInfo> {
    const start = performance.now();
    for (;;) {
      if (this.exit)
        throw new WarpbookError('KERNEL_DIED', `The kernel did not start: its process ${exitText(this.exit)}.`);
      const info: ConnectionInfo = JSON.parse(readFileSync(this.file, 'utf8'));
      if (CHANNELS.every((channel) => info[`${channel}_port`] !== 0)) return info;
      if (performance.now() - start > timeoutMs) {
        throw new WarpbookError('TIMEOUT', `The kernel did not start within ${timeoutMs / 1000} s.`);
      }
      await new Promise((resolve) => setTimeout(resolve, PORTS_POLL_MS));
    }
  }

  interrupt(): void {
    this.child.kill('SIGINT');
  }

  /** Ends the process whatever it does. */
  async kill(): Promise<KernelExit> {
    if (!this.exit) this.child.kill('SIGKILL');
    return this.exited;
  }
}

/** "ended by signal SIGKILL", "exited with code 1". */
export function exitText({ code, signal }: KernelExit): string {
  if (signal) return `was ended by signal ${signal}`;
  return code === null ? 'could not be started' : `exited with code ${code}`;
}
