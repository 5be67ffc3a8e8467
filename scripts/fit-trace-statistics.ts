/**
 * Fits the numbers in src/workload/trace-statistics.ts to real traces and prints them as TypeScript.
 *
 *   npx tsx scripts/fit-trace-statistics.ts FOLDER
 *
 * FOLDER holds AzureLLMInferenceTrace_conv.csv and Mooncake's conversation trace; see src/workload/trace-file.ts.
 */
import { loadTrace } from '../src/workload/load-trace';
import type { Request } from '../src/workload/request-trace';
import { QUANTILE_LEVELS, type TraceKind } from '../src/workload/trace-statistics';

function quantiles(values: readonly number[], levels: readonly number[] = QUANTILE_LEVELS): number[] {
  const sorted = [...values].sort((a, b) => a - b);
  return levels.map((level) => sorted[Math.round(level * (sorted.length - 1))]);
}

/** Splits the requests by the rank of their prompt lengths into equal bins, short prompts first. */
function binsByInput(requests: readonly Request[], bins: number): Request[][] {
  const sorted = [...requests].sort((a, b) => a.inputLength - b.inputLength);
  const edge = (bin: number): number => Math.round((bin * sorted.length) / bins);
  return Array.from({ length: bins }, (_, bin) => sorted.slice(edge(bin), edge(bin + 1)));
}

/** Every request that shares more than its first block with an earlier one, and the latest such earlier request. */
function followUps(requests: readonly Request[]): { child: Request; parent: Request; sharedBlocks: number }[] {
  const owner = new Map<number, Request>();
  const found = [];
  for (const child of requests) {
    const ids = child.hashIds ?? [];
    let sharedBlocks = 0;
    while (sharedBlocks < ids.length && owner.has(ids[sharedBlocks])) sharedBlocks++;
    if (sharedBlocks > 1) found.push({ child, parent: owner.get(ids[sharedBlocks - 1]) as Request, sharedBlocks });
    for (const id of ids) owner.set(id, child);
  }
  return found;
}

async function main(path: string): Promise<void> {
  const print = (name: string, values: unknown): void => console.log(`${name}: ${JSON.stringify(values)},`);
  for (const [kind, bins] of [
    ['azure-conversation', 10],
    ['mooncake-conversation', 1],
  ] as [TraceKind, number][]) {
    const { requests, durationNs } = await loadTrace({ path, kind });
    console.log(`// ${kind}: ${requests.length} requests in ${(durationNs / 1e9).toFixed(0)} s`);
    print('inputLength', quantiles(requests.map((request) => request.inputLength)));
    for (const bin of binsByInput(requests, bins)) {
      print('outputLength', quantiles(bin.map((request) => request.outputLength)));
    }
    const gapsNs = requests.slice(1).map((request, i) => request.arrivalNs - requests[i].arrivalNs);
    print('gapUs', quantiles(gapsNs.map((gapNs) => Math.round(gapNs / 1e3))));
    const found = followUps(requests);
    if (found.length === 0) continue;
    print('followUpShare', found.length / requests.length);
    print('followUpLagS', quantiles(found.map(({ child, parent }) => (child.arrivalNs - parent.arrivalNs) / 1e9)));
    print('newBlocks', quantiles(found.map(({ child, sharedBlocks }) => (child.hashIds ?? []).length - sharedBlocks)));
    const branching = found.filter(({ parent, sharedBlocks }) => (parent.hashIds ?? []).length - sharedBlocks > 1);
    print('branchShare', branching.length / found.length);
  }
}

main(process.argv[2]).catch((error) => {
  console.error(error);
  process.exitCode = 1;
});
