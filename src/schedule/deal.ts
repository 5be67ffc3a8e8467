/**
 * Dealing tiles to CTAs. Longest-processing-time first is Graham's list scheduling rule (R. L. Graham, "Bounds on
 * Multiprocessing Timing Anomalies", 1969): at most 4/3 of the optimal makespan.
 */
import { WarpbookError } from '../errors';
import { LeastLoaded } from './least-loaded';
import { TILE, TILE_STRIDE } from './work-tile';

/** How tiles reach CTAs. */
export type Dealing =
  /** Longest tile first, each to the CTA with the least KV tokens so far. */
  | 'longestFirst'
  /** Tile i goes to CTA i mod numCtas. */
  | 'roundRobin'
  /** The first tiles to the first CTA, equal counts. */
  | 'inOrder'
  /** As given by the `cta` arguments of the builder's calls. */
  | 'explicit';

/** Cost of a tile that has no keys, in tokens: it still costs a turn. */
export const FIXED_TOKENS = 32;

/** Writes the CTA of every tile into `ctas` (int32, at least numTiles); leaves it alone where `explicit`. */
export function deal(dealing: Dealing, tiles: Int32Array, numTiles: number, ctas: Int32Array, numCtas: number): void {
  if (dealing === 'explicit') return;
  if (dealing === 'roundRobin' || (dealing === 'longestFirst' && numTiles <= numCtas)) {
    for (let t = 0; t < numTiles; t++) ctas[t] = t % numCtas;
  } else if (dealing === 'inOrder') {
    for (let t = 0; t < numTiles; t++) ctas[t] = Math.floor((t * numCtas) / numTiles);
  } else if (dealing === 'longestFirst') {
    longestFirst(tiles, numTiles, ctas, numCtas);
  } else {
    throw new WarpbookError(
      'INVALID_ARGUMENT',
      `build got the dealing '${String(dealing)}'; wanted longestFirst, roundRobin, inOrder or explicit.`,
    );
  }
}

function longestFirst(tiles: Int32Array, numTiles: number, ctas: Int32Array, numCtas: number): void {
  // Tiles come in runs of equal length (the KV heads of a request), so runs are sorted, not tiles. Sort keys: tokens in
  // the high part, the run's first tile, reversed, in the low part, so that equal lengths keep their order.
  const keys = new Float64Array(numTiles);
  const runLength = new Int32Array(numTiles);
  let numRuns = 0;
  let total = 0;
  for (let t = 0; t < numTiles; ) {
    const first = t;
    const tokens = tiles[t * TILE_STRIDE + TILE.kvEnd] - tiles[t * TILE_STRIDE + TILE.kvStart];
    do t++;
    while (t < numTiles && tiles[t * TILE_STRIDE + TILE.kvEnd] - tiles[t * TILE_STRIDE + TILE.kvStart] === tokens);
    runLength[first] = t - first;
    total += (t - first) * (tokens + FIXED_TOKENS);
    keys[numRuns++] = tokens * numTiles + (numTiles - 1 - first);
  }
  keys.subarray(0, numRuns).sort();

  const loads = new LeastLoaded(numCtas);
  // Loads are int32; batches beyond that are weighed in coarser units.
  const unit = Math.max(1, total / LeastLoaded.MAX_LOAD);
  for (let i = numRuns - 1; i >= 0; i--) {
    const tokens = Math.floor(keys[i] / numTiles);
    const first = numTiles - 1 - (keys[i] - tokens * numTiles);
    const end = first + runLength[first];
    const load = Math.floor((tokens + FIXED_TOKENS) / unit);
    for (let t = first; t < end; t++) ctas[t] = loads.take(load);
  }
}

/** Share of the CTAs that groups may leave idle: one in 25. HBM is full before the last CTAs join in. */
const USED_SHARE = 24 / 25;
/** Loads of groups stay below this in sum, so that a planner on the device has room for a group's number beside one. */
export const MAX_GROUP_LOAD: number = 2 ** 26;

/**
 * How many KV heads of a query tile are dealt out together, one to a CTA of a group: the largest divisor of the heads
 * for which the groups use nearly all CTAs.
 */
export function groupWidth(numKvHeads: number, numCtas: number): number {
  for (let width = Math.min(numKvHeads, numCtas); width > 1; width--) {
    if (numKvHeads % width === 0 && Math.floor(numCtas / width) * width >= USED_SHARE * numCtas) return width;
  }
  return 1;
}

/**
 * Deals items to groups of CTAs, longest first, each to the group with the least so far: {@link deal}'s rule, with an
 * item for each query tile instead of one for each of its heads. The heads are as long as each other, so it is as even,
 * takes a fraction of the choices, and the CTAs of a group walk the same pages together.
 * @param tokens keys of each query tile, int32 [numQueryTiles]
 * @param itemsPerTile consecutive items of a query tile
 * @returns int32 [numQueryTiles * itemsPerTile], the group of each item
 */
export function dealToGroups(tokens: Int32Array, itemsPerTile: number, numGroups: number): Int32Array {
  const numTiles = tokens.length;
  const numItems = numTiles * itemsPerTile;
  const groups = new Int32Array(numItems);
  let total = 0;
  let alike = true;
  for (let q = 0; q < numTiles; q++) {
    total += tokens[q] + FIXED_TOKENS;
    if (tokens[q] !== tokens[0]) alike = false;
  }
  total *= itemsPerTile;
  if (alike || numItems <= numGroups) {
    for (let i = 0; i < numItems; i++) groups[i] = i % numGroups;
    return groups;
  }
  const keys = new Float64Array(numTiles);
  for (let q = 0; q < numTiles; q++) keys[q] = tokens[q] * numTiles + (numTiles - 1 - q);
  keys.sort();
  const loads = new LeastLoaded(numGroups);
  const unit = Math.max(1, total / MAX_GROUP_LOAD);
  for (let i = numTiles - 1; i >= 0; i--) {
    const length = Math.floor(keys[i] / numTiles);
    const first = (numTiles - 1 - (keys[i] - length * numTiles)) * itemsPerTile;
    const load = Math.floor((length + FIXED_TOKENS) / unit);
    for (let item = first; item < first + itemsPerTile; item++) groups[item] = loads.take(load);
  }
  return groups;
}
