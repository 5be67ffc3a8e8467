/**
 * How many plans a core simulates a second: batches of 128 requests from a request trace, each already planned, and with the plan.
 *
 *   npm run bench:simulate        writes bench/results/cpu/<date>-simulate.json
 *
 * Runs on the compiled library, as users do. WARPBOOK_TRACES names a trace; without one they are synthetic. Processor time is
 * what counts: a machine that others use as well gives less of it, not less in it.
 */
import {
  loadTrace,
  machines,
  makeProblem,
  policies,
  predict,
  type Schedule,
  simulate,
  snapshots,
} from '../dist/index.js';
import { describeHost, writeResults } from './support.mjs';

const BATCH = 128;
const SNAPSHOTS = 50;
const ROUNDS = 20;
const heads = { numQoHeads: 32, numKvHeads: 8, headDim: 128 };

const trace = await loadTrace();
const problems = snapshots(trace, { concurrency: BATCH, count: SNAPSHOTS, seed: 1 })
  .filter((batch) => batch.kvLens.length === BATCH)
  .map((batch) => makeProblem({ kvLens: batch.kvLens, ...heads }));

/** Milliseconds of processor time a call. */
function perCall(work: (i: number) => unknown): number {
  for (let i = 0; i < problems.length; i++) work(i);
  const before = process.cpuUsage();
  for (let round = 0; round < ROUNDS; round++) for (let i = 0; i < problems.length; i++) work(i);
  const { user, system } = process.cpuUsage(before);
  return (user + system) / 1e3 / (ROUNDS * problems.length);
}

const rows = (['noSplit', 'binarySearch', 'headGroups', 'longestFirst'] as const).map((name) => {
  const policy = policies[name];
  const schedules: Schedule[] = problems.map((problem) => policy(problem, machines.h100));
  const predictMs = perCall((i) => predict(schedules[i]));
  const planAndPredictMs = perCall((i) => predict(policy(problems[i], machines.h100)));
  const simulateMs = perCall((i) => simulate(schedules[i]));
  return {
    policy: name,
    tiles: schedules[0].numTiles,
    predictMs: Number(predictMs.toPrecision(3)),
    planAndPredictMs: Number(planAndPredictMs.toPrecision(3)),
    simulateMs: Number(simulateMs.toPrecision(3)),
    plansPerSecond: Math.round(1000 / planAndPredictMs),
  };
});
await writeResults('cpu', 'simulate', 'npm run bench:simulate', {
  ...describeHost(),
  trace: trace.name,
  batches: problems.length,
  rows,
});
