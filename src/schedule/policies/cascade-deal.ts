/**
 * Cuts and deals a cascade's key ranges: how long pieces are, and which CTA takes which.
 *
 * Ranges alike are cut alike, whatever else there is to do: the tiles of a prefix then read the same keys at the same time, which
 * come from memory once. Cuts that are a few steps apart cost a third of the time (docs/policies.md). Within that, lengths are
 * tried, and those are taken for which the CTA with most to do has least, all dealt longest first.
 *
 * Knows ranges and bins, neither requests nor heads.
 */
import { ceilDiv } from '../../units';
import { packByLeastLoad } from '../helpers';

/** Keys [start, end) of some sequence. */
export interface KeyRange {
  readonly start: number;
  readonly end: number;
}

/** A part of a range, and where it goes. */
export interface Piece extends KeyRange {
  readonly bin: number;
}

/** What there is to deal out, for each of `copies` KV heads. */
export interface Ranges {
  /** Of prefixes, attended for several requests at once. */
  readonly shared: readonly KeyRange[];
  /** Of one request each; an empty one is a piece too. */
  readonly own: readonly KeyRange[];
  readonly copies: number;
}

export interface DealOptions {
  readonly numBins: number;
  /** Tokens of a step of the main loop. */
  readonly stepTokens: number;
  /** What a piece costs beside its keys, in tokens. */
  readonly pieceTokens: number;
}

/** Lengths of pieces, in tokens. */
export interface Cuts {
  readonly sharedChunk: number;
  readonly ownChunk: number;
  /** What the bin with most to do has, in steps, and what merging adds. */
  readonly cost: number;
}

/** Tokens of the blocks that a kernel reads; cuts lie between them. */
const BLOCK_TOKENS = 16;
/** Partial states of a row that are merged in one go, and what more of them cost, in steps (docs/policies.md). */
const FEW_STATES = 8;
const MANY_STATES_STEPS = 2.5;
/** A length is tried if it is at most this share of the one before. Own ranges are packed, so theirs matters less. */
const NEXT_SHARED = 0.93;
const NEXT_OWN = 0.75;

/** The lengths for which the bin with most to do has least. */
export function bestCuts({ shared, own, copies }: Ranges, options: DealOptions): Cuts {
  const { numBins, stepTokens, pieceTokens } = options;
  const pieceSteps = pieceTokens / stepTokens;
  const sharedSteps = Float64Array.from(shared, (range) => countSteps(range, stepTokens));
  const ownSteps = Float64Array.from(own, (range) => countSteps(range, stepTokens));
  const bins = Math.max(1, Math.floor(numBins / copies));
  const sum = (steps: Float64Array): number => steps.reduce((total, count) => total + count, 0);
  const share = ((sum(sharedSteps) + sum(ownSteps)) * copies) / numBins;
  const longest = (steps: Float64Array): number => steps.reduce((most, count) => Math.max(most, count), 1);
  const ownLengths = lengthsToTry(longest(ownSteps), share, NEXT_OWN);
  let best: Cuts | undefined;
  for (const sharedLength of lengthsToTry(longest(sharedSteps), share, NEXT_SHARED)) {
    for (const ownLength of ownLengths) {
      const states =
        (shared.length > 0 ? ceilDiv(longest(sharedSteps), sharedLength) : 0) + ceilDiv(longest(ownSteps), ownLength);
      const merging = states > FEW_STATES ? MANY_STATES_STEPS : 0;
      const limit = best ? best.cost - merging : Number.POSITIVE_INFINITY;
      const costs: number[] = [];
      pushPieces(costs, sharedSteps, sharedLength, pieceSteps);
      pushPieces(costs, ownSteps, ownLength, pieceSteps);
      const least = Math.max(sum(Float64Array.from(costs)) / bins, longest(Float64Array.from(costs)));
      if (least >= limit) continue;
      const load = longestBin(costs, bins);
      if (load >= limit) continue;
      best = { sharedChunk: sharedLength * stepTokens, ownChunk: ownLength * stepTokens, cost: load + merging };
    }
  }
  return best ?? { sharedChunk: stepTokens, ownChunk: stepTokens, cost: 0 };
}

/**
 * Deals the pieces out, longest first; those of one length in the order of the keys, so that the tiles of a prefix that belong
 * together, and the heads of a page, are on neighbouring CTAs.
 * @returns pieces of each range in the order of their keys, [copies][shared ranges, then own ones]
 */
export function dealRanges(
  { shared, own, copies }: Ranges,
  { numBins, stepTokens, pieceTokens }: DealOptions,
  { sharedChunk, ownChunk }: Pick<Cuts, 'sharedChunk' | 'ownChunk'>,
): Piece[][][] {
  const ranges = [...shared, ...own];
  const cut = ranges.map((range, i) => cutRange(range, i < shared.length ? sharedChunk : ownChunk));
  const order: { range: number; index: number }[] = [];
  const most = cut.reduce((count, pieces) => Math.max(count, pieces.length), 0);
  for (let index = 0; index < most; index++) {
    cut.forEach((pieces, range) => void (index < pieces.length && order.push({ range, index })));
  }
  const costs = new Float64Array(order.length * copies);
  order.forEach(({ range, index }, i) => {
    const cost = countSteps(cut[range][index], stepTokens) * stepTokens + pieceTokens;
    costs.fill(cost, i * copies, (i + 1) * copies);
  });
  const bins = packByLeastLoad(costs, numBins);
  const dealt: Piece[][][] = Array.from({ length: copies }, () => ranges.map(() => []));
  order.forEach(({ range, index }, i) => {
    for (let c = 0; c < copies; c++) dealt[c][range].push({ ...cut[range][index], bin: bins[i * copies + c] });
  });
  return dealt;
}

/** Lengths of pieces to try, in steps, from long to short: the longest range in one piece, two, three, … */
function lengthsToTry(longest: number, share: number, next: number): number[] {
  const lengths: number[] = [];
  let before = Number.POSITIVE_INFINITY;
  for (let pieces = 1; before > 1; pieces++) {
    const length = ceilDiv(longest, pieces);
    if (lengths.length > 0 && length < share / 2) break;
    if (length > next * before || (length > 3 * share + 4 && length > 1)) continue;
    lengths.push(length);
    before = length;
  }
  return lengths;
}

function pushPieces(costs: number[], steps: Float64Array, length: number, pieceSteps: number): void {
  for (const count of steps) {
    for (let left = count; left > 0; left -= length) costs.push(Math.min(left, length) + pieceSteps);
  }
}

function longestBin(costs: readonly number[], numBins: number): number {
  const bins = packByLeastLoad(costs, numBins);
  const loads = new Float64Array(numBins);
  for (let i = 0; i < costs.length; i++) loads[bins[i]] += costs[i];
  return loads.reduce((most, load) => Math.max(most, load), 0);
}

function cutRange({ start, end }: KeyRange, chunk: number): KeyRange[] {
  if (start >= end) return [{ start, end: start }];
  const pieces: KeyRange[] = [];
  const first = firstBlock(start);
  for (let cut = first + chunk, from = start; from < end; cut += chunk) {
    if (cut <= from) continue;
    pieces.push({ start: from, end: Math.min(cut, end) });
    from = cut;
  }
  return pieces;
}

/** Steps of the main loop that a range takes; an empty one still costs a turn. */
function countSteps({ start, end }: KeyRange, stepTokens: number): number {
  return Math.max(1, ceilDiv(end - firstBlock(start), stepTokens));
}

function firstBlock(token: number): number {
  return Math.floor(token / BLOCK_TOKENS) * BLOCK_TOKENS;
}
