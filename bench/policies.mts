/**
 * Every policy: its schedules of random problems, checked (see test/unit/schedule/policies.test.ts, which draws the same), and what
 * planning costs for batches out of a request trace, on an H100's machine description.
 *
 *   npm run bench:policies            writes bench/results/cpu/<date>-policies.json
 *
 * Runs on the compiled library, as users do. WARPBOOK_PROBLEMS (default 10,000) says how many problems a policy,
 * WARPBOOK_SEED (default 20261127) which; WARPBOOK_TRACES names another trace.
 */
import fc from 'fast-check';
import {
  cpuMachine,
  findViolation,
  loadTrace,
  type Machine,
  machines,
  makeProblem,
  type Policy,
  policies,
  snapshots,
} from '../dist/index.js';
import { listPolicies } from '../test/support/policies';
import { problemArbitrary, sharedProblemArbitrary } from '../test/support/problems';
import { describeHost, summarize, writeResults } from './support.mjs';

const PROBLEMS = Number(process.env.WARPBOOK_PROBLEMS ?? 10_000);
const SEED = Number(process.env.WARPBOOK_SEED ?? 20261127);
const BATCH = 128;
const SNAPSHOTS = 50;
const ROUNDS = 12;
/** Rounds that are the compiler's. */
const WARM_ROUNDS = 4;
const prefillMachine: Machine = { ...machines.h100, tileClasses: [machines.h100.tileClasses[1]] };
const machineArbitrary = fc.constantFrom(machines.h100, machines.l40s, cpuMachine(3), prefillMachine);

const trace = await loadTrace();
const heads = { numQoHeads: 32, numKvHeads: 8, headDim: 128 };
const batches = snapshots(trace, { concurrency: BATCH, count: SNAPSHOTS, seed: 1 })
  .filter(({ kvLens }) => kvLens.length === BATCH)
  .map(({ kvLens }) => makeProblem({ ...heads, kvLens }));

const rows: object[] = [];
// The built library's policies in the list that the sources' tests use: the same, to everybody but the compiler.
const everyPolicy = listPolicies(policies as never) as unknown as Record<string, Policy>;
for (const [policy, plan] of Object.entries(everyPolicy)) {
  const us: number[] = [];
  for (let round = 0; round < ROUNDS; round++) {
    for (const problem of batches) {
      const started = performance.now();
      plan(problem, machines.h100);
      if (round >= WARM_ROUNDS) us.push((performance.now() - started) * 1e3);
    }
  }
  const property = fc.property(
    fc.oneof(problemArbitrary, sharedProblemArbitrary),
    machineArbitrary,
    (problem, machine) => findViolation(plan(problem, machine)) === undefined,
  );
  const { failed, numRuns } = fc.check(property, { numRuns: PROBLEMS, seed: SEED });
  rows.push({ policy, problems: numRuns, invalid: failed ? 'yes' : 0, ...summarize(us) });
  if (failed) process.exitCode = 1;
}
await writeResults('cpu', 'policies', 'npm run bench:policies', {
  ...describeHost(),
  seed: SEED,
  batch: BATCH,
  trace: `${trace.name} (${trace.source.replace(/^.*[\\/]/, '')})`,
  batches: batches.length,
  rows,
});
