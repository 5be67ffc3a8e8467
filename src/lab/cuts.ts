/**
 * Where a schedule cuts each request's keys. Kernels are deterministic: a request whose keys are cut at the same places, alone
 * and in a batch, gets the same bits; cut elsewhere, sums are rounded elsewhere (H. He et al., "Defeating Nondeterminism in LLM
 * Inference", Thinking Machines Lab, 2025). So this tells batch invariance without a device.
 */
import type { Schedule } from '../schedule/schedule';
import { ROW, ROW_STRIDE, TILE, TILE_FLAG, TILE_STRIDE } from '../schedule/work-tile';

/** The KV ranges of each row of `requests`, in words that are equal for equal cuts. */
export function cutsOf(schedule: Schedule, requests: readonly number[]): Map<number, string> {
  const cuts = new Map<number, string[]>(requests.map((r) => [r, []]));
  const { tiles, numTiles, rows, problem } = schedule;
  for (let t = 0; t < numTiles; t++) {
    const at = t * TILE_STRIDE;
    const range = `${tiles[at + TILE.kvHead]} ${tiles[at + TILE.kvStart]}-${tiles[at + TILE.kvEnd]}`;
    const first = tiles[at + TILE.rowStart];
    const count = tiles[at + TILE.rowCount];
    if (tiles[at + TILE.flags] & TILE_FLAG.gatherRows) {
      for (let row = first; row < first + count; row++) {
        const r = rows[row * ROW_STRIDE + ROW.request];
        const token = rows[row * ROW_STRIDE + ROW.qoToken] - problem.qoIndptr[r];
        cuts.get(r)?.push(`${token}.${rows[row * ROW_STRIDE + ROW.qoHead]} ${range}`);
      }
      continue;
    }
    const r = tiles[at + TILE.request];
    const own = cuts.get(r);
    if (!own) continue;
    for (let row = first; row < first + count; row++) {
      const token = Math.floor(row / problem.groupSize) - problem.qoIndptr[r];
      const head = tiles[at + TILE.kvHead] * problem.groupSize + (row % problem.groupSize);
      own.push(`${token}.${head} ${range}`);
    }
  }
  return new Map([...cuts].map(([r, words]) => [r, words.sort().join('\n')]));
}

/** At most `count` requests of a batch, spread over it. */
export function sampleRequests(batchSize: number, count: number): number[] {
  const taken = Math.min(batchSize, count);
  return Array.from({ length: taken }, (_, i) => Math.floor(((i + 0.5) * batchSize) / taken));
}
