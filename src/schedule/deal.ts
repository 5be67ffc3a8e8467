/**
 * Dealing tiles to CTAs. Longest-processing-time first is Graham's list scheduling rule (R. L. Graham, "Bounds on
 * Multiprocessing Timing Anomalies", 1969): at most 4/3 of the optimal makespan.
 */
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
const FIXED_TOKENS = 32;

/** Writes the CTA of every tile into `ctas` (int32, at least numTiles); leaves it alone where `explicit`. */
export function deal(dealing: Dealing, tiles: Int32Array, numTiles: number, ctas: Int32Array, numCtas: number): void {
  if (dealing === 'explicit') return;
  if (dealing === 'roundRobin' || (dealing === 'longestFirst' && numTiles <= numCtas)) {
    for (let t = 0; t < numTiles; t++) ctas[t] = t % numCtas;
  } else if (dealing === 'inOrder') {
    for (let t = 0; t < numTiles; t++) ctas[t] = Math.floor((t * numCtas) / numTiles);
  } else {
    longestFirst(tiles, numTiles, ctas, numCtas);
  }
}

function longestFirst(tiles: Int32Array, numTiles: number, ctas: Int32Array, numCtas: number): void {
  // Tiles come in runs of equal length (the KV heads of a request), so runs are sorted, not tiles. Sort keys: tokens in
  // the high part, the run's first tile, reversed, in the low part, so that equal lengths keep their order.
  const keys = new Float64Array(numTiles);
  const runLength = new Int32Array(numTiles);
  let numRuns = 0;
  for (let t = 0; t < numTiles; ) {
    const first = t;
    const tokens = tiles[t * TILE_STRIDE + TILE.kvEnd] - tiles[t * TILE_STRIDE + TILE.kvStart];
    do t++;
    while (t < numTiles && tiles[t * TILE_STRIDE + TILE.kvEnd] - tiles[t * TILE_STRIDE + TILE.kvStart] === tokens);
    runLength[first] = t - first;
    keys[numRuns++] = tokens * numTiles + (numTiles - 1 - first);
  }
  keys.subarray(0, numRuns).sort();

  // A binary min-heap of CTAs. An entry is load × numCtas + CTA: one number orders by load and then by CTA, so the result
  // is the same everywhere.
  const heap = new Float64Array(numCtas);
  for (let c = 0; c < numCtas; c++) heap[c] = c;
  for (let i = numRuns - 1; i >= 0; i--) {
    const tokens = Math.floor(keys[i] / numTiles);
    const first = numTiles - 1 - (keys[i] - tokens * numTiles);
    const end = first + runLength[first];
    const weight = (tokens + FIXED_TOKENS) * numCtas;
    for (let t = first; t < end; t++) {
      const least = heap[0];
      ctas[t] = least - Math.floor(least / numCtas) * numCtas;
      replaceLeast(heap, numCtas, least + weight);
    }
  }
}

/** Replaces the root of a min-heap by a larger entry. */
function replaceLeast(heap: Float64Array, size: number, entry: number): void {
  let at = 0;
  for (let child = 1; child < size; child = 2 * at + 1) {
    if (child + 1 < size && heap[child + 1] < heap[child]) child++;
    if (heap[child] >= entry) break;
    heap[at] = heap[child];
    at = child;
  }
  heap[at] = entry;
}
