/**
 * Where a schedule cuts each request's keys. Kernels are deterministic: a request whose keys are cut at the same places, alone
 * and in a batch, gets the same bits; cut elsewhere, sums are rounded elsewhere (H. He et al., "Defeating Nondeterminism in LLM
 * Inference", Thinking Machines Lab, 2025). So this tells batch invariance without a device.
 */
import type { Schedule } from '../schedule/schedule';
import { ROW, ROW_STRIDE, TILE, TILE_FLAG, TILE_STRIDE } from '../schedule/work-tile';

/** The KV ranges of each query token and KV head of `requests`, in words that are equal for equal cuts. */
export function cutsOf(schedule: Schedule, requests: readonly number[]): Map<number, string> {
  // A set: the query heads of a group are cut alike.
  const cuts = new Map<number, Set<string>>(requests.map((r) => [r, new Set()]));
  const { tiles, numTiles, rows, problem } = schedule;
  const { groupSize, qoIndptr } = problem;
  for (let t = 0; t < numTiles; t++) {
    const at = t * TILE_STRIDE;
    const first = tiles[at + TILE.rowStart];
    const end = first + tiles[at + TILE.rowCount];
    const range = (): string => `${tiles[at + TILE.kvHead]} ${tiles[at + TILE.kvStart]}-${tiles[at + TILE.kvEnd]}`;
    if (tiles[at + TILE.flags] & TILE_FLAG.gatherRows) {
      for (let row = first; row < end; row++) {
        const r = rows[row * ROW_STRIDE + ROW.request];
        cuts.get(r)?.add(`${rows[row * ROW_STRIDE + ROW.qoToken] - qoIndptr[r]} ${range()}`);
      }
      continue;
    }
    const r = tiles[at + TILE.request];
    const own = cuts.get(r);
    if (!own || end === first) continue;
    const lastToken = Math.floor((end - 1) / groupSize);
    for (let token = Math.floor(first / groupSize); token <= lastToken; token++) {
      own.add(`${token - qoIndptr[r]} ${range()}`);
    }
  }
  return new Map([...cuts].map(([r, words]) => [r, [...words].sort().join('\n')]));
}

/** At most `count` requests of a batch, spread over it. */
export function sampleRequests(batchSize: number, count: number): number[] {
  const taken = Math.min(batchSize, count);
  return Array.from({ length: taken }, (_, i) => Math.floor(((i + 0.5) * batchSize) / taken));
}
