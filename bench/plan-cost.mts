/**
 * What a plan costs on the host: the policy, its checks and the packing, for batches drawn from a request trace.
 *
 *   npm run bench:plan            writes bench/results/cpu/<date>-plan.json
 *
 * Runs on the compiled library, as users do. Set WARPBOOK_TRACES to draw from a real trace.
 */
import {
  loadTrace,
  machines,
  makeProblem,
  packSchedule,
  policies,
  requiredCapacity,
  runPolicy,
  snapshots,
  validate,
  workspaceLayout,
} from '../dist/index.js';
import { describeHost, summarize, writeResults } from './support.mjs';

const BATCH = 128;
const SNAPSHOTS = 50;
const ROUNDS = 40;
const heads = { numQoHeads: 32, numKvHeads: 8, headDim: 128, pageSize: 16 };

const trace = await loadTrace();
const batches = snapshots(trace, { concurrency: BATCH, count: SNAPSHOTS, seed: 1 })
  .map((batch) => batch.kvLens)
  .filter((kvLens) => kvLens.length === BATCH);
const rows = [];
for (const [name, policy] of Object.entries({
  noSplit: policies.noSplit,
  binarySearch: policies.binarySearch,
  'fixedSplitSize(1024)': policies.fixedSplitSize(1024),
})) {
  const schedules = batches.map((kvLens) => policy(makeProblem({ kvLens, ...heads }), machines.h100));
  const capacity = requiredCapacity(schedules.reduce((a, b) => (a.numTiles >= b.numTiles ? a : b)));
  const layout = workspaceLayout({
    ...capacity,
    maxTiles: 8192,
    maxMergeGroups: 4096,
    maxMergeSlots: 8192,
    maxPartialRows: 1 << 18,
  });
  const image = new Int32Array(layout.totalWords);
  const pageStarts = new Int32Array(BATCH);
  const planUs: number[] = [];
  const validateUs: number[] = [];
  for (let round = 0; round < ROUNDS; round++) {
    for (const kvLens of batches) {
      const started = performance.now();
      const problem = makeProblem({ kvLens, ...heads });
      const schedule = runPolicy(policy, problem, machines.h100);
      packSchedule(schedule, layout, image, pageStarts);
      planUs.push((performance.now() - started) * 1e3);
      if (round >= ROUNDS - 5) {
        const before = performance.now();
        validate(schedule);
        validateUs.push((performance.now() - before) * 1e3);
      }
    }
  }
  // The first rounds are the compiler's.
  const warm = planUs.slice(5 * batches.length);
  const tiles = schedules.reduce((sum, schedule) => sum + schedule.numTiles, 0) / schedules.length;
  rows.push({ what: `plan and pack, ${name}`, batch: BATCH, meanTiles: Math.round(tiles), ...summarize(warm) });
  rows.push({ what: `validate, ${name}`, batch: BATCH, meanTiles: Math.round(tiles), ...summarize(validateUs) });
}
await writeResults('cpu', 'plan', 'npm run bench:plan', {
  ...describeHost(),
  trace: `${trace.name} (${trace.source.replace(/^.*[\\/]/, '')})`,
  batches: batches.length,
  rows,
});
