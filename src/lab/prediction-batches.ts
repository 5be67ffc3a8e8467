/** The batches that predictions are judged by: drawn from request traces, none of them used in a calibration. */

import { policies } from '../schedule/policies/known';
import type { Policy, Schedule } from '../schedule/schedule';
import type { RequestTrace } from '../workload/request-trace';
import { snapshots } from '../workload/snapshot';
import type { TimedBatch } from './time-batch';

/** A batch and where it comes from. */
export interface TraceBatch extends TimedBatch {
  /** Such as `azure 32 #3`. */
  readonly what: string;
}

/** Policies whose measured and predicted times are compared, for decode and for prefill. */
export const judgedPolicies: Readonly<Record<TimedBatch['kind'], Readonly<Record<string, Policy>>>> = {
  decode: {
    noSplit: policies.noSplit,
    longestFirst: policies.longestFirst,
    binarySearch: policies.binarySearch,
    adaptive: policies.adaptive,
    headGroups: policies.headGroups,
    headGroupsSpare: policies.headGroupsSpare,
    fixedSplitSize2048: policies.fixedSplitSize(2048),
  },
  prefill: {
    noSplit: policies.noSplit,
    longestFirst: policies.longestFirst,
    binarySearch: policies.binarySearch,
    headGroups: policies.headGroups,
  },
};

const CONCURRENCIES: readonly number[] = [1, 2, 4, 8, 16, 32, 64, 128];

/**
 * Decode batches: snapshots of continuous batching at eight concurrencies, with 32 and 64 query heads.
 * @param perKind snapshots of each trace, concurrency and number of heads
 * @param maxTokens longer batches lose their last requests
 * @param seed another one draws other batches
 */
export function decodeBatches(
  traces: readonly (readonly [name: string, trace: RequestTrace])[],
  perKind: number,
  maxTokens: number,
  seed: number,
  concurrencies: readonly number[] = CONCURRENCIES,
): TraceBatch[] {
  const batches: TraceBatch[] = [];
  for (const numQoHeads of [32, 64]) {
    for (const [name, trace] of traces) {
      for (const concurrency of concurrencies) {
        const drawn = snapshots(trace, {
          concurrency,
          count: perKind,
          seed: seed + numQoHeads * 1000 + concurrency,
        });
        for (const [i, { kvLens }] of drawn.entries()) {
          const what = `${name} ${concurrency} #${i}, ${numQoHeads} heads`;
          const kept = within(kvLens, maxTokens);
          if (kept.length > 0) batches.push({ what, kind: 'decode', kvLens: kept, numQoHeads });
        }
      }
    }
  }
  return batches;
}

/** The first requests that have no more than `maxTokens` together. */
function within(kvLens: Int32Array, maxTokens: number): number[] {
  const kept: number[] = [];
  let total = 0;
  for (const length of kvLens) {
    if (total + length > maxTokens) break;
    total += length;
    kept.push(length);
  }
  return kept;
}

/** What a prefill batch is made of: whole prompts, chunks behind a context, or prompts beside decodes. */
const PREFILL_MODES = ['prompts', 'prompts', 'chunks', 'mixed'] as const;
const PROMPTS: readonly number[] = [1, 2, 4, 8, 3, 6];
const CHUNKS: readonly number[] = [512, 1024, 2048, 4096];
const MAX_QUERY_TOKENS = 16_000;
/** Query tokens × keys. */
const MAX_PAIRS = 2e8;
const LONGEST_PROMPT = 12_000;
const LONGEST_CONTEXT = 60_000;
/** A prime below the length of the traces: seeds begin at different requests. */
const FIRST_REQUESTS = 1499;

/**
 * Prefill and mixed batches, from consecutive requests of the traces.
 * @param seed where in the traces they begin
 */
export function prefillBatches(
  traces: readonly (readonly [name: string, trace: RequestTrace])[],
  count: number,
  seed: number,
): TraceBatch[] {
  const batches: TraceBatch[] = [];
  const first = seed % FIRST_REQUESTS;
  for (let i = 0; i < count; i++) {
    const [name, trace] = traces[i % traces.length];
    const mode = PREFILL_MODES[i % PREFILL_MODES.length];
    const turn = Math.floor(i / PREFILL_MODES.length);
    const qoLens: number[] = [];
    const kvLens: number[] = [];
    let tokens = 0;
    let pairs = 0;
    for (let k = 0; k < PROMPTS[turn % PROMPTS.length]; k++) {
      const { inputLength } = trace.requests[(first + 41 * i + k) % trace.length];
      const chunked = mode === 'chunks' || inputLength > LONGEST_PROMPT;
      const kvLen = Math.max(1, Math.min(inputLength, LONGEST_CONTEXT));
      const qoLen = chunked ? Math.min(kvLen, CHUNKS[turn % CHUNKS.length]) : kvLen;
      if (tokens + qoLen > MAX_QUERY_TOKENS || pairs + qoLen * kvLen > MAX_PAIRS) break;
      tokens += qoLen;
      pairs += qoLen * kvLen;
      qoLens.push(qoLen);
      kvLens.push(kvLen);
    }
    if (mode === 'mixed') {
      const [{ kvLens: running }] = snapshots(traces[0][1], {
        concurrency: 16 << (turn % 3),
        count: 1,
        seed: seed + i,
      });
      for (const length of running) {
        qoLens.push(1);
        kvLens.push(length);
      }
    }
    if (qoLens.length === 0) continue;
    const numQoHeads = i % 3 === 2 ? 64 : 32;
    batches.push({
      what: `prefill ${mode} ${i} (${name}), ${numQoHeads} heads`,
      kind: 'prefill',
      qoLens,
      kvLens,
      numQoHeads,
    });
  }
  return batches;
}

/** Whether two schedules of a batch are the same, tile for tile and CTA for CTA. */
export function isSameSchedule(a: Schedule, b: Schedule): boolean {
  const same = (x: Int32Array, y: Int32Array): boolean => x.length === y.length && x.every((word, i) => word === y[i]);
  return a.dispatch === b.dispatch && same(a.ctaIndptr, b.ctaIndptr) && same(a.tiles, b.tiles);
}
