/**
 * Cuts and deals a cascade's key ranges: how long pieces are, and which CTA takes which.
 *
 * Ranges alike are cut alike, whatever else there is to do: the tiles of a prefix then read the same keys at the same time, which
 * come from memory once. Cuts that are a few steps apart cost a third of the time (docs/policies.md). Within that, lengths are
 * tried, and those are taken for which a launch is expected to take least, all dealt longest first.
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

/** A part of a range. */
export interface Piece extends KeyRange {
  /** When it comes on its CTA: lower ones first. */
  readonly turn: number;
  /** Where its CTAs are in {@link Dealt.ctas}: one for each head. */
  readonly place: number;
}

export interface Dealt {
  /** Pieces of each range in the order of their keys: the shared ranges' first. */
  readonly pieces: readonly (readonly Piece[])[];
  readonly ctas: Int32Array;
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
  /** What a launch is expected to take, in steps. */
  readonly cost: number;
}

/** Tokens of the blocks that a kernel reads; cuts lie between them. */
const BLOCK_TOKENS = 16;
/** Partial states of a row that are merged in one go. */
const FEW_STATES = 8;
/** What merging takes, and what it takes more with more states; in steps. */
const MERGE_STEPS = 2;
const MANY_STATES_STEPS = 2.5;
/**
 * What the start of a launch takes, in steps, where a CTA can't begin it before the launch ahead has ended. CTA c takes the c-th SM
 * that becomes free, so long CTAs begin in time where as many others end early.
 */
const START_STEPS = 2;
/** A length is tried if it is at most this share of the one before. Own ranges are packed, so theirs matters less. */
const NEXT_SHARED = 0.93;
const NEXT_OWN = 0.75;
/** Heads of a piece are dealt out together where that keeps at least this share of the CTAs busy. */
const MOST_BUSY = 0.95;
/** The shortest that is tried, as a share of an even one. */
const LEAST_SHARE = 1 / 3;

/** The lengths for which a launch is expected to take least. */
export function bestCuts({ shared, own, copies }: Ranges, options: DealOptions): Cuts {
  const { numBins, stepTokens, pieceTokens } = options;
  const pieceSteps = pieceTokens / stepTokens;
  const sharedSteps = Float64Array.from(shared, (range) => countSteps(range, stepTokens));
  const ownSteps = Float64Array.from(own, (range) => countSteps(range, stepTokens));
  const bins = Math.max(1, Math.floor(numBins / copies));
  const [longestShared, longestOwn] = [longestOf(sharedSteps), longestOf(ownSteps)];
  const steps = sum(sharedSteps) + sum(ownSteps);
  const share = steps / bins;
  const ownLengths = lengthsToTry(longestOwn, share, NEXT_OWN);
  let best: Cuts | undefined;
  for (const sharedLength of lengthsToTry(longestShared, share, NEXT_SHARED)) {
    for (const ownLength of ownLengths) {
      const ownStates = own.length > 0 ? ceilDiv(longestOwn, ownLength) : 0;
      const states = ownStates + (shared.length > 0 ? ceilDiv(longestShared, sharedLength) : 0);
      const merging = states <= 1 ? 0 : MERGE_STEPS + (states > FEW_STATES ? MANY_STATES_STEPS : 0);
      const limit = best ? best.cost - merging : Number.POSITIVE_INFINITY;
      // No dealing is better than an even one.
      const pieces = countPieces(sharedSteps, sharedLength) + countPieces(ownSteps, ownLength);
      if ((steps + pieces * pieceSteps) / bins >= limit) continue;
      const costs: number[] = [];
      pushPieces(costs, sharedSteps, sharedLength, pieceSteps);
      const numShared = costs.length;
      pushPieces(costs, ownSteps, ownLength, pieceSteps);
      const cost = launchCost(costs, numShared, bins, states, ownStates);
      if (cost >= limit) continue;
      best = { sharedChunk: sharedLength * stepTokens, ownChunk: ownLength * stepTokens, cost: cost + merging };
    }
  }
  return best ?? { sharedChunk: stepTokens, ownChunk: stepTokens, cost: 0 };
}

/**
 * What launches of these pieces take each, one behind the other, without merging.
 * @param costs steps of each piece, those of shared ranges first
 * @param states partial states of a row, and how many of them are of its own keys
 */
function launchCost(costs: readonly number[], numShared: number, numBins: number, states: number, own: number): number {
  const bins = packByLeastLoad(costs, numBins);
  const loads = new Float64Array(numBins);
  const has = new Uint8Array(numBins);
  for (let i = 0; i < costs.length; i++) {
    loads[bins[i]] += costs[i];
    has[bins[i]] |= i < numShared ? 1 : 2;
  }
  const longest = longestOf(loads);
  // The last arrivers at a merge group share the merge, and wait for it where all its tiles have begun: not where own ones are
  // behind those of prefixes. Who arrives before them is free: first own keys, then the ends of prefixes.
  const early = states - sharers(states);
  const waits = numShared === 0 || has.includes(3) ? 0 : early < own ? 3 : 1;
  const whole = early > own ? longestOf(Float64Array.from(costs.slice(0, numShared))) : 0;
  const ends = loads.map((load, bin) => ((has[bin] & waits) > 0 && load >= whole ? longest : load)).sort();
  loads.sort().reverse();
  return loads.reduce((most, load, c) => Math.max(most, load + Math.max(0, ends[c] + START_STEPS - longest)), 0);
}

/** CTAs that share the merge of a group of as many tiles; see merge_count.cuh. */
function sharers(states: number): number {
  if (states >= 8) return 8;
  return states >= 4 ? 4 : Math.min(states, 2);
}

/**
 * Deals the pieces out, longest first; those of one length in the order of the keys, so that the tiles of a prefix that belong
 * together are on neighbouring CTAs. The heads of a piece are on neighbouring CTAs too, unless that leaves more than a few idle.
 */
export function dealRanges(
  { shared, own, copies }: Ranges,
  { numBins, stepTokens, pieceTokens }: DealOptions,
  { sharedChunk, ownChunk }: Pick<Cuts, 'sharedChunk' | 'ownChunk'>,
): Dealt {
  const numShared = shared.length;
  const cut = [
    ...shared.map((range) => cutRange(range, sharedChunk)),
    ...own.map((range) => cutRange(range, ownChunk)),
  ];
  const width = Math.floor(numBins / copies) * copies >= MOST_BUSY * numBins ? copies : 1;
  const blocks = copies / width;
  const bins = Math.floor(numBins / width);
  const numOwn = cut.reduce((count, cuts, range) => count + (range < numShared ? 0 : cuts.length), 0);
  const alternates = numOwn * blocks >= bins;
  const costs: number[] = [];
  const pieces: Piece[][] = cut.map(() => []);
  const most = cut.reduce((count, cuts) => Math.max(count, cuts.length), 0);
  for (let index = 0; index < most; index++) {
    for (let range = 0; range < cut.length; range++) {
      if (index >= cut[range].length) continue;
      const { start, end } = cut[range][index];
      const late = alternates && index % 2 === 1 ? 2 : 0;
      pieces[range].push({ start, end, turn: range < numShared ? late : 1, place: costs.length * width });
      const cost = countSteps({ start, end }, stepTokens) * stepTokens + pieceTokens;
      for (let block = 0; block < blocks; block++) costs.push(cost);
    }
  }
  const packed = packByLeastLoad(costs, bins);
  const ctas = new Int32Array(costs.length * width);
  for (let i = 0, at = 0; i < costs.length; i++) {
    for (let w = 0; w < width; w++) ctas[at++] = packed[i] * width + w;
  }
  return { pieces, ctas };
}

/** Lengths of pieces to try, in steps, from long to short: the longest range in one piece, two, three, … */
function lengthsToTry(longest: number, share: number, next: number): number[] {
  const lengths: number[] = [];
  let before = Number.POSITIVE_INFINITY;
  for (let pieces = 1; before > 1; pieces++) {
    const length = ceilDiv(longest, pieces);
    if (lengths.length > 0 && length < LEAST_SHARE * share) break;
    if (length > next * before || (length > 3 * share + 4 && length > 1)) continue;
    lengths.push(length);
    before = length;
  }
  return lengths;
}

function sum(steps: Float64Array): number {
  return steps.reduce((total, count) => total + count, 0);
}

function longestOf(steps: Float64Array): number {
  return steps.reduce((most, count) => Math.max(most, count), 1);
}

function countPieces(steps: Float64Array, length: number): number {
  return steps.reduce((count, left) => count + ceilDiv(left, length), 0);
}

function pushPieces(costs: number[], steps: Float64Array, length: number, pieceSteps: number): void {
  for (const count of steps) {
    for (let left = count; left > 0; left -= length) costs.push(Math.min(left, length) + pieceSteps);
  }
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
