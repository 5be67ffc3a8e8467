/** What policies take, and what it comes from: problems, machines, running batches. All are plain objects. */
import type { MimeBundle, RenderOptions } from '../renderers';
import { type Machine, numCtaSlots } from '../schedule/machine';
import { type AttentionProblem, kvBytes } from '../schedule/problem';
import { formatBytes, formatCount, formatDuration } from '../units';
import type { BatchSnapshot } from '../workload/snapshot';
import { cleanLabel } from './escape';
import { type Facts, factsBundle } from './facts';
import { table } from './table';
import { countOf, sparkline } from './text-lines';

/** Characters of a line of lengths. */
const LINE_WIDTH = 48;

export function isProblem(value: object): value is AttentionProblem {
  const { kvLens, qoIndptr, numKvHeads, groupSize } = value as Partial<AttentionProblem>;
  return (
    kvLens instanceof Int32Array &&
    qoIndptr instanceof Int32Array &&
    typeof numKvHeads === 'number' &&
    typeof groupSize === 'number'
  );
}

export function problemBundle(problem: AttentionProblem, options: RenderOptions): MimeBundle {
  const { batchSize, kvLens, qoIndptr, windowLeft } = problem;
  const queryTokens = qoIndptr[batchSize];
  const perRequest = queryTokens === batchSize ? 'one a request (decode)' : `${formatCount(queryTokens)} in all`;
  const masks = [
    ...(problem.causal ? ['causal'] : []),
    ...(windowLeft >= 0 ? [`window ${formatCount(windowLeft)} tokens`] : []),
  ];
  return factsBundle(
    `Attention problem: ${countOf(batchSize, 'request')}`,
    [
      ...lengthFacts(kvLens),
      ['query tokens', perRequest],
      ['heads', `${problem.numQoHeads} query, ${problem.numKvHeads} KV × head_dim ${problem.headDim}`],
      ['page', `${formatCount(problem.pageSize)} tokens`],
      ['mask', masks.length > 0 ? masks.join(', ') : 'none'],
      ['keys and values', `${formatBytes(kvBytes(problem))} to read`],
    ],
    [],
    options,
  );
}

export function isMachine(value: object): value is Machine {
  const { tileClasses, numSms, memoryBandwidthGBs } = value as Partial<Machine>;
  return Array.isArray(tileClasses) && typeof numSms === 'number' && typeof memoryBandwidthGBs === 'number';
}

export function machineBundle(machine: Machine, options: RenderOptions): MimeBundle {
  const classes = machine.tileClasses.map((tile, index) => ({
    'tile class': String(index),
    'query rows': tile.queryRows,
    'KV step': tile.kvStep,
    head_dim: tile.headDimQk === tile.headDimV ? String(tile.headDimQk) : `${tile.headDimQk} / ${tile.headDimV}`,
    threads: tile.threads,
    'shared memory': formatBytes(tile.sharedMemoryBytes),
    'CTAs on an SM': tile.ctasPerSm,
    'CTA slots': numCtaSlots(machine, index),
  }));
  return factsBundle(
    `Machine ${machine.name}`,
    [
      ['SMs', formatCount(machine.numSms)],
      ['memory', `${formatCount(machine.memoryBandwidthGBs)} GB/s`],
      ['arithmetic', `${formatCount(machine.bf16Tflops)} TFLOP/s (bf16)`],
      ['ridge', `${((machine.bf16Tflops * 1e3) / machine.memoryBandwidthGBs).toFixed(0)} FLOP/byte`],
      ['L2', formatBytes(machine.l2Bytes)],
      ['source', machine.source],
    ],
    [table(classes)],
    options,
  );
}

export function isSnapshot(value: object): value is BatchSnapshot {
  const { step, requests, kvLens } = value as Partial<BatchSnapshot>;
  return typeof step === 'number' && Array.isArray(requests) && kvLens instanceof Int32Array;
}

export function snapshotBundle(batch: BatchSnapshot, options: RenderOptions): MimeBundle {
  const rows = batch.requests.map(({ id, kvLen, generated, remaining }) => ({
    request: String(id),
    'KV tokens': kvLen,
    generated,
    remaining,
  }));
  const at: Facts =
    batch.timeNs === undefined ? [] : [['time', `${formatDuration(batch.timeNs)} after the trace's start`]];
  return factsBundle(
    cleanLabel(`Batch of decode step ${formatCount(batch.step)}: ${countOf(batch.requests.length, 'request')}`),
    [...at, ...lengthFacts(batch.kvLens)],
    rows.length > 0 ? [table(rows, { maxRows: 20 })] : [],
    options,
  );
}

function lengthFacts(kvLens: Int32Array): Facts {
  if (kvLens.length === 0) return [['KV tokens', 'none']];
  const sorted = Int32Array.from(kvLens).sort();
  const total = kvLens.reduce((sum, length) => sum + length, 0);
  const median = sorted[Math.floor((sorted.length - 1) / 2)];
  return [
    [
      'KV tokens',
      `${formatCount(total)} in all; ${formatCount(sorted[0])} … ${formatCount(sorted[sorted.length - 1])}, median ${formatCount(median)}`,
    ],
    ...(kvLens.length > 1 ? [['lengths', sparkline(kvLens, LINE_WIDTH)] as const] : []),
  ];
}
