/**
 * Cuts and deals a cascade's key ranges: how long pieces are, and which CTA takes which.
 *
 * The tiles of a prefix have the same cuts and begin together, so that each key comes from memory once, for all of them: keys
 * leave the L2 cache early (docs/policies.md has what happens otherwise). Within that, lengths are tried, and those are taken for
 * which the bin with most to do has least, all dealt longest first.
 *
 * Knows ranges and bins, neither requests nor heads.
 */
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

export interface DealtRanges {
  /** Pieces of each range in the order of their keys: the shared ranges' first. */
  readonly pieces: readonly (readonly Piece[])[];
  /** What each bin has to do, in steps. */
  readonly loads: Float64Array;
  /** The most of them. */
  readonly longest: number;
}

export interface DealOptions {
  readonly numBins: number;
  /** Tokens of a step. */
  readonly stepTokens: number;
  /** What a piece costs beside its steps, in steps. */
  readonly pieceSteps: number;
  readonly ownCuts?: number;
  readonly more?: number;
  readonly force?: number;
  readonly forceOwn?: number;
}

/** Cuts lie at multiples of as many tokens from the start of the first block. */
const CUT_TOKENS = 16;
/** Partial states of a row that are merged in one go; more take a loop. */
const FEW_STATES = 8;
const MORE_STATES_STEPS = 2.5;

/**
 * @param shared ranges of prefixes: those alike are cut alike
 * @param own ranges of one request each; an empty one is a piece too
 */
export function dealRanges(
  shared: readonly KeyRange[],
  own: readonly KeyRange[],
  options: DealOptions,
  copies: number,
): DealtRanges {
  const { numBins, stepTokens, pieceSteps } = options;
  const sharedSteps = shared.map((range) => countSteps(range, stepTokens));
  const ownSteps = own.map((range) => countSteps(range, stepTokens));
  const longestShared = sharedSteps.reduce((a, b) => Math.max(a, b), 0);
  const longestOwn = ownSteps.reduce((a, b) => Math.max(a, b), 0);
  const total = [...sharedSteps, ...ownSteps].reduce((a, b) => a + b, 0) * copies;
  const share = total / numBins;
  let best: { ownChunk: number; sharedChunk: number; cost: number } | undefined;
  const evaluate = (sharedChunk: number, ownChunk: number): number => {
    const costs: number[] = [];
    let states = 0;
    sharedSteps.forEach((steps) => {
      pushPieces(costs, steps, sharedChunk, pieceSteps);
      states = Math.max(states, Math.ceil(steps / sharedChunk));
    });
    for (const steps of ownSteps) pushPieces(costs, steps, ownChunk, pieceSteps);
    states += Math.ceil(longestOwn / ownChunk);
    const bins = Math.max(1, Math.floor(numBins / copies));
    const packed = packByLeastLoad(costs, bins);
    const loads = new Float64Array(bins);
    for (let i = 0; i < costs.length; i++) loads[packed[i]] += costs[i];
    return Math.max(...loads) + (states > FEW_STATES ? (options.more ?? MORE_STATES_STEPS) : 0);
  };
  for (const sharedChunk of chunks(longestShared, share)) {
    for (const ownChunk of chunks(longestOwn, share).slice(0, options.ownCuts ?? 4)) {
      const cost = evaluate(sharedChunk, ownChunk);
      if (!best || cost < best.cost - 1e-9) best = { sharedChunk, ownChunk, cost };
    }
  }
  let { sharedChunk, ownChunk } = best ?? { sharedChunk: 1, ownChunk: 1 };
  if (options.force) sharedChunk = options.force;
  if (options.forceOwn) ownChunk = options.forceOwn;
  // Pieces in the order: first pieces of all ranges alike, then second ones, …
  const items: { range: number; steps: number; from: number }[] = [];
  const ranges = [...shared, ...own];
  const stepsOf = [...sharedSteps, ...ownSteps];
  const most = Math.max(...stepsOf.map((steps, i) => Math.ceil(steps / (i < shared.length ? sharedChunk : ownChunk))));
  for (let turn = 0; turn < most; turn++) {
    stepsOf.forEach((steps, range) => {
      const chunk = range < shared.length ? sharedChunk : ownChunk;
      if (turn * chunk < steps) items.push({ range, from: turn * chunk, steps: Math.min(chunk, steps - turn * chunk) });
    });
  }
  const costs = items.flatMap(({ steps }) => Array<number>(copies).fill(steps + pieceSteps));
  const packed = packByLeastLoad(costs, numBins);
  const loads = new Float64Array(numBins);
  const pieces: Piece[][] = Array.from({ length: ranges.length * copies }, () => []);
  items.forEach(({ range, from, steps }, i) => {
    const { start, end } = ranges[range];
    const base = Math.floor(start / CUT_TOKENS) * CUT_TOKENS;
    const piece = {
      start: Math.max(start, base + from * stepTokens),
      end: Math.max(start, Math.min(end, base + (from + steps) * stepTokens)),
    };
    for (let copy = 0; copy < copies; copy++) {
      const bin = packed[i * copies + copy];
      loads[bin] += steps + pieceSteps;
      pieces[copy * ranges.length + range].push({ ...piece, bin });
    }
  });
  return { pieces, loads, longest: best?.cost ?? 0 };
}

/** Lengths of pieces to try, in steps: the longest in one piece, two, three, … */
function chunks(longest: number, share: number): number[] {
  const tried = new Set<number>();
  for (let n = 1; n <= 64; n++) {
    const chunk = Math.max(1, Math.ceil(longest / n));
    if (chunk > 3 * share + 4 && chunk > 4) continue;
    if (chunk < Math.min(2, 0.4 * share)) break;
    tried.add(chunk);
    if (chunk === 1) break;
  }
  if (tried.size === 0) tried.add(Math.max(1, longest));
  return [...tried];
}

function pushPieces(costs: number[], steps: number, chunk: number, pieceSteps: number): void {
  for (let left = steps; left > 0; left -= chunk) costs.push(Math.min(left, chunk) + pieceSteps);
}

/** Steps of the main loop that a range takes; an empty one still costs a turn. */
function countSteps({ start, end }: KeyRange, stepTokens: number): number {
  return Math.max(1, Math.ceil((end - Math.floor(start / CUT_TOKENS) * CUT_TOKENS) / stepTokens));
}
