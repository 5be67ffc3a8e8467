/**
 * Synthetic request traces that imitate real ones: lengths, arrivals and shared prefixes.
 *
 * Lengths and gaps are drawn from quantile tables (trace-statistics.ts names the sources), independently from one
 * request to the next: in the traces, neighbours' rank correlations are below 0.05. What is not imitated: the slow rise
 * and fall of the Azure service's load over its hour.
 */
import { requireInteger, WarpbookError } from '../errors';
import { AZURE_CITATION } from './azure-trace';
import { MOONCAKE_CITATION } from './mooncake-trace';
import { makeRandom, type Random } from './random';
import { type Request, RequestTrace, TRACE_HASH_TOKENS } from './request-trace';
import {
  type PrefixStatistics,
  QUANTILE_LEVELS,
  type QuantileTable,
  TRACE_STATISTICS,
  type TraceKind,
  type TraceStatistics,
} from './trace-statistics';

/** Options of {@link syntheticTrace}. */
export interface SyntheticTraceOptions {
  /** Which trace to imitate; default 'azure-conversation'. */
  kind?: TraceKind;
  /** Number of requests; default 2,000. */
  requests?: number;
  /** Equal seeds give equal traces, and a longer trace begins with the shorter one; default 0. */
  seed?: number;
}

const CITATIONS: Readonly<Record<TraceKind, string>> = {
  'azure-conversation': AZURE_CITATION,
  'mooncake-conversation': MOONCAKE_CITATION,
};

/**
 * Makes a trace with the distributions of the Azure LLM inference trace 2023 (conversation; Patel et al., ISCA 2024) or of
 * Mooncake's conversation trace (Qin et al., FAST 2025), the latter with shared prefixes in `hashIds`.
 * @throws WarpbookError INVALID_ARGUMENT
 */
export function syntheticTrace(options: SyntheticTraceOptions = {}): RequestTrace {
  const { kind = 'azure-conversation', requests: count = 2000, seed = 0 } = options;
  const statistics = TRACE_STATISTICS[kind];
  if (!statistics) {
    const kinds = Object.keys(TRACE_STATISTICS).join(', ');
    throw new WarpbookError('INVALID_ARGUMENT', `kind is '${kind}'; wanted one of ${kinds}.`);
  }
  requireInteger('requests', count, 0, 2 ** 24);
  const nextArrivalNs = makeArrivals(statistics, makeRandom(seed, 0));
  const lengths = makeRandom(seed, 1);
  const requests: Request[] = [];
  for (let id = 0; id < count; id++) {
    const inputRank = lengths();
    const { outputLength } = statistics;
    requests.push({
      id,
      arrivalNs: nextArrivalNs(),
      inputLength: Math.round(quantile(statistics.inputLength, inputRank)),
      outputLength: Math.round(quantile(outputLength[Math.floor(inputRank * outputLength.length)], lengths())),
    });
  }
  const withPrefixes = statistics.prefixes ? addHashIds(requests, statistics.prefixes, makeRandom(seed, 2)) : requests;
  return new RequestTrace({
    name: `synthetic ${kind}`,
    requests: withPrefixes,
    source: `synthetic (kind ${kind}, seed ${seed}), drawn from the distributions of the real trace`,
    citation: CITATIONS[kind],
  });
}

/** The value at `rank` in [0, 1), linear between the table's levels. */
function quantile(table: QuantileTable, rank: number): number {
  let level = 0;
  while (rank >= QUANTILE_LEVELS[level + 1]) level++;
  const fraction = (rank - QUANTILE_LEVELS[level]) / (QUANTILE_LEVELS[level + 1] - QUANTILE_LEVELS[level]);
  return table[level] + (table[level + 1] - table[level]) * fraction;
}

/** Arrival times in nanoseconds, from 0 on. */
function makeArrivals({ arrivals }: TraceStatistics, random: Random): () => number {
  let timeUs = 0;
  let first = true;
  return () => {
    if (first) first = false;
    else
      timeUs +=
        arrivals.kind === 'gaps' ? quantile(arrivals.gapUs, random()) : -Math.log(1 - random()) * arrivals.meanGapUs;
    const recordedUs = arrivals.kind === 'gaps' ? timeUs : Math.floor(timeUs / arrivals.tickUs) * arrivals.tickUs;
    return Math.round(recordedUs * 1e3);
  };
}

/** Earlier requests are candidates for a follow-up when their lag is the drawn one give or take this part of it. */
const LAG_TOLERANCE = 0.25;

/**
 * Gives every request hash ids. Lengths stay as they were drawn: a follow-up looks for an earlier request, about the
 * drawn lag ago and not followed up yet, whose prompt leaves about the drawn number of new blocks.
 */
function addHashIds(requests: readonly Request[], statistics: PrefixStatistics, random: Random): Request[] {
  const done: Required<Request>[] = [];
  const followedUp = new Set<number>();
  let nextId = 1; // 0 is the block that all prompts begin with
  for (const request of requests) {
    const blocks = Math.ceil(request.inputLength / TRACE_HASH_TOKENS);
    // Drawn for every request, used or not, so that one request's choice doesn't shift the numbers of the next.
    const draws = { followUp: random(), lag: random(), newBlocks: random(), branch: random(), cut: random() };
    const hashIds: number[] = blocks > 0 ? [0] : [];
    if (draws.followUp < statistics.followUpProbability) {
      const wantedShared = blocks - Math.round(quantile(statistics.newBlocks, draws.newBlocks));
      const lagNs = quantile(statistics.lagS, draws.lag) * 1e9;
      const candidates = leavesAround(done, followedUp, request.arrivalNs - lagNs, lagNs * LAG_TOLERANCE);
      const earlier = nearestPrompt(candidates, wantedShared, blocks);
      if (earlier) {
        followedUp.add(earlier.id);
        // The earlier prompt's last block was partial, so its continuation has another id there.
        let shared = earlier.hashIds.length - 1;
        if (draws.branch < statistics.branchProbability) shared = 1 + Math.floor(draws.cut * shared);
        hashIds.push(...earlier.hashIds.slice(1, shared));
      }
    }
    while (hashIds.length < blocks) hashIds.push(nextId++);
    done.push({ ...request, hashIds });
  }
  return done;
}

/** Requests without a follow-up that arrived at `timeNs` give or take the tolerance, latest first. */
function leavesAround(
  done: readonly Required<Request>[],
  followedUp: ReadonlySet<number>,
  timeNs: number,
  toleranceNs: number,
): Required<Request>[] {
  const leaves: Required<Request>[] = [];
  for (let i = done.length - 1; i >= 0 && done[i].arrivalNs >= timeNs - toleranceNs; i--) {
    if (done[i].arrivalNs <= timeNs + toleranceNs && !followedUp.has(i)) leaves.push(done[i]);
  }
  return leaves;
}

/** The request whose shareable blocks (all but the last) come nearest to `wanted` and are at most `most`. */
function nearestPrompt(
  candidates: readonly Required<Request>[],
  wanted: number,
  most: number,
): Required<Request> | undefined {
  let best: Required<Request> | undefined;
  let bestDistance = Number.POSITIVE_INFINITY;
  for (const candidate of candidates) {
    const shareable = candidate.hashIds.length - 1;
    const distance = Math.abs(shareable - wanted);
    if (shareable > most || shareable < 2 || distance >= bestDistance) continue;
    best = candidate;
    bestDistance = distance;
  }
  return best;
}
