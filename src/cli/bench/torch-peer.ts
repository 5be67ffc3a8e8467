/**
 * PyTorch beside us: a child process that times the same row right after ours, on the same GPU, so that both meet the same
 * clocks. Speaks lines of JSON with bench/torch_peers.py; knows no row.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { z } from 'zod';
import { WarpbookError } from '../../errors';
import { packageRoot } from '../../notebook/kernel/package-paths';

const SCRIPT = join(packageRoot, 'bench', 'torch_peers.py');

interface Versions {
  readonly torch: string;
  readonly cudnn: number | null;
  readonly device: string;
}

const hello: z.ZodType<Versions> = z.object({ torch: z.string(), cudnn: z.number().nullable(), device: z.string() });
const answer = z.object({
  times: z.record(z.string(), z.number().positive()),
  errors: z.record(z.string(), z.string()),
});

/** A row to time; the script knows what each operation takes. */
export interface TorchQuestion {
  readonly op: 'decode' | 'prefill';
  readonly batch: number;
  readonly kvLen: number;
  readonly numQoHeads: number;
  readonly numKvHeads: number;
  readonly headDim: number;
  readonly dtype: string;
  readonly causal: boolean;
  /** Bytes that calls read before they come round again. */
  readonly rotatedBytes: number;
}

/** Made by {@link startTorch}. */
export class TorchPeer {
  constructor(
    private readonly child: ChildProcess,
    private readonly lines: AsyncIterator<string>,
    /** What answers. */
    readonly versions: Versions,
  ) {}

  /** Microseconds by name (`cudnn`, `sdpaFlash`, …); what torch can't do is missing. */
  async time(question: TorchQuestion): Promise<Readonly<Record<string, number>>> {
    this.child.stdin?.write(`${JSON.stringify(question)}\n`);
    const { times, errors } = answer.parse(JSON.parse(await nextLine(this.lines)));
    for (const [name, error] of Object.entries(errors)) process.stderr.write(`torch ${name}: ${error}\n`);
    return times;
  }

  /** Lets it end. */
  close(): void {
    this.child.stdin?.end();
  }
}

/** Starts an interpreter with torch. @throws WarpbookError UNSUPPORTED where it has none, or sees no GPU */
export async function startTorch(python: string): Promise<TorchPeer> {
  const child = spawn(python, [SCRIPT], { stdio: ['pipe', 'pipe', 'inherit'] });
  child.on('error', () => undefined); // a missing interpreter shows as the end of its output
  const lines = createInterface({ input: child.stdout as NodeJS.ReadableStream })[Symbol.asyncIterator]();
  try {
    return new TorchPeer(child, lines, hello.parse(JSON.parse(await nextLine(lines))));
  } catch (cause) {
    child.kill();
    throw new WarpbookError(
      'UNSUPPORTED',
      `Got no answer of ${python} ${SCRIPT} (${(cause as Error).message}); wanted a Python with torch and a GPU. Name it with --torch, or leave --torch out.`,
      {},
      { cause },
    );
  }
}

async function nextLine(lines: AsyncIterator<string>): Promise<string> {
  const { value, done } = await lines.next();
  if (done)
    throw new WarpbookError('UNSUPPORTED', 'Got the end of torch in the middle of a run; see its messages above.');
  return value;
}
