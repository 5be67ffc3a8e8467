/**
 * Decode attention on the CPU device beside two yardsticks with the same threads: a plain streaming read of the same
 * bytes, and PyTorch's scaled_dot_product_attention.
 *
 *   npm run bench:cpu             writes bench/results/cpu/<date>-decode.json
 *
 * Needs a C++ compiler (CXX, default c++) for the streaming read. PyTorch is optional: PYTHON names an interpreter that
 * has it; without one its rows are left out. All take turns, round after round, so that they meet the same neighbours;
 * each rotates over enough buffers that none finds its data in a cache.
 */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { cpus, tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { BatchDecode, type KvLayout, normal, openDevice, PagedKvCache } from '../dist/index.js';
import { describeHost, summarize, writeResults } from './support.mjs';

const shape = {
  batch: 8,
  kvLen: 4096,
  numQoHeads: 32,
  numKvHeads: 8,
  headDim: 128,
  pageSize: 16,
  dtype: 'bfloat16',
} as const;
const { batch, kvLen, numQoHeads, numKvHeads, headDim, pageSize, dtype } = shape;
const threads = Number(process.env.BENCH_THREADS ?? cpus().length);
const kvBytes = batch * kvLen * numKvHeads * headDim * 2 * 2;
/** Buffers that each contender rotates over. */
const SETS = 4;
const ROUNDS = 15;
/** Passes of a turn that count, after one that warms up. */
const PASSES = 8;
/** Between turns, for threads that spin after their work (OpenMP's do) to fall asleep. */
const PAUSE_MS = 300;

interface Contender {
  what: string;
  /** Nanoseconds of `count` passes. */
  turn(count: number): Promise<number[]>;
}

/** A child process that answers each line with a line. */
class Peer {
  private readonly child: ChildProcess;
  private readonly lines: AsyncIterator<string>;

  constructor(command: string, args: readonly (string | number)[]) {
    this.child = spawn(command, args.map(String), { stdio: ['pipe', 'pipe', 'inherit'] });
    this.child.on('error', () => undefined); // a missing interpreter shows as the end of its output
    this.lines = createInterface({ input: this.child.stdout as NodeJS.ReadableStream })[Symbol.asyncIterator]();
  }

  async line(): Promise<string | undefined> {
    const { value, done } = await this.lines.next();
    return done ? undefined : value;
  }

  async ask(question: string): Promise<number[]> {
    this.child.stdin?.write(`${question}\n`);
    const answer = await this.line();
    if (answer === undefined) throw new Error(`The peer ended without an answer to "${question}".`);
    return answer.trim().split(/\s+/).map(Number);
  }

  close(): void {
    this.child.stdin?.end();
  }
}

const here = dirname(fileURLToPath(import.meta.url));
const scratch = mkdtempSync(join(tmpdir(), 'warpbook-bench-'));
const device = await openDevice('cpu', { threads });
const q = normal([batch, numQoHeads, headDim], { seed: 1, dtype, device });
const pages = (batch * kvLen) / pageSize;

/** A cache of `batch` full requests: each one's pages in a row, or as they come when the requests grow in turn. */
function filledCache(layout: KvLayout, inTurn: boolean): { cache: PagedKvCache; requests: number[] } {
  const cache = new PagedKvCache({ numPages: pages, pageSize, numKvHeads, headDim, dtype, layout, device });
  for (const [pool, seed] of [
    [cache.k, 2],
    [cache.v, 3],
  ] as const) {
    const values = normal([...pool.shape], { seed, dtype, device });
    pool.copyFrom(values);
    values.dispose();
  }
  const step = inTurn ? pageSize : kvLen;
  const requests = Array.from({ length: batch }, () => cache.allocate(step));
  for (let tokens = step; tokens < kvLen; tokens += step) {
    for (const request of requests) cache.grow(request, step);
  }
  return { cache, requests };
}

async function warpbook(layout: KvLayout, inTurn: boolean): Promise<Contender> {
  const capacity = { maxBatch: batch, maxPages: pages };
  const decode = await BatchDecode.create({ numQoHeads, numKvHeads, headDim, dtype, pageSize, capacity, device });
  const sets = Array.from({ length: SETS }, () => filledCache(layout, inTurn));
  decode.plan(sets[0].cache.pageTable(sets[0].requests));
  const { output: out, lse } = decode.run(q, sets[0].cache);
  await device.synchronize();
  let done = 0;
  const turn = async (count: number): Promise<number[]> => {
    const times: number[] = [];
    for (let i = 0; i < count; i++) {
      const start = device.stream.record();
      decode.run(q, sets[done++ % SETS].cache, { out, lse });
      const end = device.stream.record();
      times.push(await end.elapsedSinceNs(start));
      start.dispose();
      end.dispose();
    }
    return times;
  };
  const order = inTurn ? 'pages as requests grow in turn' : 'pages of a request in a row';
  return { what: `warpbook, ${layout}, ${order}`, turn };
}

const contenders: Contender[] = [
  await warpbook('NHD', false),
  await warpbook('NHD', true),
  await warpbook('HND', false),
  await warpbook('HND', true),
];

const streamRead = join(scratch, 'stream-read');
const compile = ['-std=c++17', '-O3', '-march=native', '-pthread', join(here, 'stream-read.cc'), '-o', streamRead];
execFileSync(process.env.CXX ?? 'c++', compile, { stdio: 'inherit' });
const stream = new Peer(streamRead, [threads, SETS, kvBytes]);
contenders.push({ what: 'streaming read of the same bytes', turn: (count) => stream.ask(`${count}`) });

const torchArgs = [threads, SETS, batch, kvLen, numQoHeads, numKvHeads, headDim];
const torch = new Peer(process.env.PYTHON ?? 'python3', [join(here, 'torch_cpu_sdpa.py'), ...torchArgs]);
const torchVersion = await torch.line();
if (torchVersion === undefined) {
  console.log('No PyTorch (set PYTHON to an interpreter that has it): its rows are left out.');
} else {
  contenders.push({ what: 'torch sdpa, groups packed as rows', turn: (count) => torch.ask(`packed ${count}`) });
  // Nine times slower: a few passes are enough.
  contenders.push({ what: 'torch sdpa, enable_gqa', turn: (count) => torch.ask(`gqa ${Math.ceil(count / 4)}`) });
}

const times = new Map<Contender, number[]>(contenders.map((contender) => [contender, []]));
for (let round = 0; round < ROUNDS; round++) {
  for (const contender of contenders) {
    await sleep(PAUSE_MS);
    const [, ...measured] = await contender.turn(PASSES + 1);
    times.get(contender)?.push(...measured);
  }
}
stream.close();
torch.close();
rmSync(scratch, { recursive: true });

const rows = contenders.map((contender) => {
  const summary = summarize((times.get(contender) ?? []).map((ns) => ns / 1e3));
  return { what: contender.what, ...summary, GBs: Number((kvBytes / summary.medianUs / 1e3).toPrecision(3)) };
});
const median = (what: string): number | undefined => rows.find((row) => row.what.startsWith(what))?.medianUs;
const ratio = (other: string, own: string): number | undefined => {
  const [a, b] = [median(other), median(own)];
  return a && b ? Number((a / b).toPrecision(3)) : undefined;
};
await writeResults('cpu', 'decode', 'npm run bench:cpu', {
  ...describeHost(),
  threadsUsed: threads,
  instructionSet: device.description.instructionSet,
  torch: torchVersion ?? 'not installed',
  shape,
  kvBytes,
  method: `${ROUNDS} rounds in turn, ${PASSES} passes a turn after one to warm up, ${SETS} buffer sets each; medians`,
  rows,
  shareOfStreamingRead: Object.fromEntries(rows.slice(0, 4).map(({ what }) => [what, ratio('streaming read', what)])),
  speedOverTorchPacked: Object.fromEntries(
    rows.slice(0, 4).map(({ what }) => [what, ratio('torch sdpa, groups', what)]),
  ),
});
device.dispose();
