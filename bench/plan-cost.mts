/**
 * What a plan costs on the host: `plan()` of a wrapper with new lengths and its upload enqueued, for batches drawn from a
 * request trace; the same with a page more for every request; and validation, which built-in policies don't pay for. Also
 * how even `noSplit` deals the batches.
 *
 *   npm run bench:plan            writes bench/results/cpu/<date>-plan.json
 *
 * Runs on the compiled library, as users do. WARPBOOK_TRACES names another trace, WARPBOOK_DEVICE=cuda a GPU (then the
 * results go to the folder WARPBOOK_RESULTS, default h100).
 */
import {
  BatchDecode,
  loadTrace,
  machines,
  makeProblem,
  openDevice,
  PagedKvCache,
  policies,
  type Schedule,
  ScheduleBuilder,
  snapshots,
  validate,
} from '../dist/index.js';
import { describeHost, summarize, writeResults } from './support.mjs';

const BATCH = 128;
const SNAPSHOTS = 50;
const ROUNDS = 60;
/** Rounds that are the compiler's. */
const WARM_ROUNDS = 10;
/** Plans in flight before the device is waited for, which is not measured. */
const IN_FLIGHT = 4;
const heads = { numQoHeads: 32, numKvHeads: 8, headDim: 128 };

const kind = process.env.WARPBOOK_DEVICE === 'cuda' ? 'cuda' : 'cpu';
const device = await openDevice(kind);
const trace = await loadTrace();
const batches = snapshots(trace, { concurrency: BATCH, count: SNAPSHOTS, seed: 1 })
  .map((batch) => Int32Array.from(batch.kvLens))
  .filter((kvLens) => kvLens.length === BATCH);
const longest = new Int32Array(BATCH);
for (const batch of batches) {
  for (const [r, length] of batch.entries()) longest[r] = Math.max(longest[r], length);
}
const numPages = longest.reduce((sum, length) => sum + Math.ceil(length / 16) + 1, 0);
const cache = new PagedKvCache({ ...heads, device, numPages });
const requests = Array.from(longest, (length) => cache.allocate(length));
const table = cache.pageTable(requests);
for (const [r, request] of requests.entries()) cache.reserve(request, longest[r] + 16);
const longerTable = cache.pageTable(requests);
const decode = await BatchDecode.create({ ...heads, device, capacity: { maxBatch: BATCH, maxPages: 2 * numPages } });
decode.plan(table);

const rows: object[] = [];
let inFlight = 0;
/** Times `plan` for every batch, round after round; the device keeps up. */
async function time(what: string, plan: (kvLens: Int32Array, round: number) => { cost: { uploadedBytes: number } }) {
  const us: number[] = [];
  let bytes = 0;
  for (let round = 0; round < ROUNDS; round++) {
    for (const kvLens of batches) {
      if (++inFlight % IN_FLIGHT === 0) await device.synchronize();
      const started = performance.now();
      const { cost } = plan(kvLens, round);
      if (round < WARM_ROUNDS) continue;
      us.push((performance.now() - started) * 1e3);
      bytes += cost.uploadedBytes;
    }
  }
  rows.push({ what, batch: BATCH, ...summarize(us), meanUploadedBytes: Math.round(bytes / us.length) });
}

const everyPolicy = {
  headGroups: policies.headGroups,
  binarySearch: policies.binarySearch,
  noSplit: policies.noSplit,
  'fixedSplitSize(1024)': policies.fixedSplitSize(1024),
};
for (const [name, policy] of Object.entries(everyPolicy)) {
  await time(`plan(lengths), ${name}`, (kvLens) => decode.plan(kvLens, { policy }));
}
const policy = policies.headGroups;
await time('plan(page table, unchanged), headGroups', () => decode.plan(table, { policy }));
let longer = false;
await time('plan(page table, a page more or less for each request), headGroups', () => {
  longer = !longer;
  return decode.plan(longer ? longerTable : table, { policy });
});
for (const [name, each] of Object.entries(everyPolicy)) {
  const us: number[] = [];
  for (const kvLens of batches) {
    await decode.ready();
    const { schedule } = decode.plan(kvLens, { policy: each });
    const started = performance.now();
    validate(schedule);
    us.push((performance.now() - started) * 1e3);
  }
  rows.push({ what: `validate, ${name}`, batch: BATCH, ...summarize(us) });
}
/** Keys of the busiest CTA where heads are dealt together, over those where every tile is dealt for itself. */
function busiest(batchSize: number, numKvHeads: number): object {
  const ratios = snapshots(trace, { concurrency: batchSize, count: SNAPSHOTS, seed: 1 }).map(({ kvLens }) => {
    const problem = makeProblem({ kvLens, numQoHeads: Math.max(32, numKvHeads), numKvHeads, headDim: 128 });
    const builder = new ScheduleBuilder('one by one', problem, machines.h100);
    builder.forEachQueryTile((tile) => builder.add(tile));
    const most = (schedule: Schedule): number => Math.max(...schedule.tokensPerCta());
    return most(policies.noSplit(problem, machines.h100)) / most(builder.build('longestFirst'));
  });
  const mean = ratios.reduce((sum, ratio) => sum + ratio, 0) / ratios.length;
  const what = 'busiest CTA, heads together / one by one';
  return {
    what,
    batch: batchSize,
    numKvHeads,
    meanRatio: Number(mean.toFixed(4)),
    worstRatio: Number(Math.max(...ratios).toFixed(4)),
  };
}
for (const batchSize of [32, BATCH]) for (const heads of [1, 4, 8, 32, 40]) rows.push(busiest(batchSize, heads));

const { name: deviceName, driverVersion } = device.description;
await writeResults(kind === 'cuda' ? (process.env.WARPBOOK_RESULTS ?? 'h100') : 'cpu', 'plan', 'npm run bench:plan', {
  ...describeHost(),
  device: deviceName,
  ...(driverVersion === undefined ? {} : { driverVersion }),
  trace: `${trace.name} (${trace.source.replace(/^.*[\\/]/, '')})`,
  batches: batches.length,
  pages: table.pagedKvIndices.length,
  rows,
});
device.dispose();
