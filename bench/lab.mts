/**
 * What the lab costs without a device: leaderboards of all known policies over 50 batches of each trace, and pictures and
 * Perfetto traces of two timelines of 132 CTAs. Seconds of the clock and of the processor.
 *
 *   npm run bench:lab            writes bench/results/cpu/<date>-lab.json
 *
 * Runs on the compiled library, as users do. WARPBOOK_TRACES names the folder of the traces; without it they are imitated.
 */
import {
  leaderboard,
  loadTrace,
  machines,
  makeProblem,
  overlay,
  policies,
  simulate,
  snapshot,
  toPerfetto,
} from '../dist/index.js';
import { describeHost, writeResults } from './support.mjs';

const BATCHES = 50;
/** The first time is the compiler's, and the fonts'. */
const ROUNDS = 5;

interface Row {
  what: string;
  clockS: number;
  processorS: number;
  [fact: string]: string | number;
}
const rows: Row[] = [];

async function time(what: string, work: () => Promise<Record<string, string | number>>): Promise<void> {
  const started = performance.now();
  const before = process.cpuUsage();
  const facts = await work();
  const { user, system } = process.cpuUsage(before);
  const round = (s: number): number => Number(s.toPrecision(3));
  rows.push({
    what,
    clockS: round((performance.now() - started) / 1e3),
    processorS: round((user + system) / 1e6),
    ...facts,
  });
}

const kinds = ['azure-conversation', 'mooncake-conversation'] as const;
const sources: string[] = [];
for (const kind of kinds) {
  const trace = await loadTrace({ kind });
  sources.push(trace.source.split('/').at(-1) as string);
  for (const concurrency of [8, 32, 128]) {
    await time(`leaderboard, ${kind}, ${concurrency} requests`, async () => {
      const board = await leaderboard({ workload: { trace, concurrency, batches: BATCHES } });
      const failed = board.rows.reduce((sum, row) => sum + row.failed, 0);
      return { policies: board.rows.length, batches: BATCHES, failed, costs: board.costs };
    });
  }
}

const trace = await loadTrace();
const { kvLens } = snapshot(trace, { concurrency: 128, seed: 3 });
const problem = makeProblem({ kvLens, numQoHeads: 32, numKvHeads: 8, headDim: 128 });
const a = simulate(policies.noSplit(problem, machines.h100));
const b = simulate(policies.headGroups(problem, machines.h100));
for (const layout of ['stacked', 'overlaid'] as const) {
  for (let round = 0; round < ROUNDS; round++) {
    await time(`overlay to PNG, ${layout}, round ${round + 1}`, async () => {
      const png = await overlay(a, b, { layout }).toPng();
      return { bars: a.numSpans + b.numSpans, bytes: png.length };
    });
  }
}
await time('Perfetto trace of both', async () => ({
  bars: a.numSpans + b.numSpans,
  bytes: toPerfetto({ a, b }).length,
}));

await writeResults('cpu', 'lab', 'npm run bench:lab', { ...describeHost(), traces: sources, rows });
