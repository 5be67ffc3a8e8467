/**
 * A prefix that several requests share, read once: a tile gathers the rows of all of them, and each one's merge group
 * picks its own rows out of that tile's partial state. Shared by the device tests and the unit tests.
 */
import assert from 'node:assert/strict';
import { BatchDecode } from '../../src/attention/batch-decode';
import { PagedKvCache } from '../../src/attention/paged-kv';
import { reference } from '../../src/attention/reference';
import type { Device } from '../../src/device/device';
import { numCtaSlots } from '../../src/schedule/machine';
import { policies } from '../../src/schedule/policies/known';
import { kvBytes, queryPosition } from '../../src/schedule/problem';
import { type Policy, Schedule } from '../../src/schedule/schedule';
import {
  KV_SEQUENCE,
  KV_SEQUENCE_STRIDE,
  MERGE_GROUP,
  MERGE_GROUP_STRIDE,
  TILE,
  TILE_FLAG,
  TILE_STRIDE,
} from '../../src/schedule/work-tile';
import { full } from '../../src/tensor/create';
import { normal } from '../../src/tensor/random';
import { lseError, outputError } from './attention';
import type { Register } from './cases';

const HEADS = { numQoHeads: 8, numKvHeads: 2, headDim: 128 };
const PREFIX = 48;
const LENGTHS = [100, 48, 65, 300];

function record(
  stride: number,
  fields: Readonly<Record<string, number>>,
  values: Readonly<Record<string, number>>,
): number[] {
  const words = Array<number>(stride).fill(0);
  for (const [name, value] of Object.entries(values)) words[fields[name]] = value;
  return words;
}

/** For each KV head one tile over the prefix with the rows of all requests, then a tile for the rest of each request. */
const prefixOnce: Policy = (problem, machine) => {
  const { batchSize, groupSize, numKvHeads, kvLens } = problem;
  const [tiles, rows, mergeGroups, mergeSlots]: number[][] = [[], [], [], []];
  let slot = 0;
  for (let kvHead = 0; kvHead < numKvHeads; kvHead++) {
    const firstRow = rows.length / 4;
    const firstGroup = mergeGroups.length / MERGE_GROUP_STRIDE;
    const prefixSlot = slot;
    slot += batchSize * groupSize;
    const common = { kvHead, flags: 0 };
    tiles.push(
      ...record(TILE_STRIDE, TILE, {
        ...common,
        kvSeq: batchSize,
        rowStart: firstRow,
        rowCount: batchSize * groupSize,
        kvEnd: PREFIX,
        partialSlot: prefixSlot,
        mergeGroup: firstGroup,
        mergeGroupCount: batchSize,
        flags: TILE_FLAG.gatherRows,
        request: -1,
      }),
    );
    for (let r = 0; r < batchSize; r++) {
      for (let g = 0; g < groupSize; g++) rows.push(r, r, kvHead * groupSize + g, queryPosition(problem, r, r));
      const hasRest = kvLens[r] > PREFIX;
      mergeGroups.push(
        ...record(MERGE_GROUP_STRIDE, MERGE_GROUP, {
          rowStart: r * groupSize,
          rowCount: groupSize,
          kvHead,
          slotStart: mergeSlots.length,
          slotCount: hasRest ? 2 : 1,
        }),
      );
      mergeSlots.push(prefixSlot + r * groupSize);
      if (!hasRest) continue;
      mergeSlots.push(slot);
      tiles.push(
        ...record(TILE_STRIDE, TILE, {
          ...common,
          kvSeq: r,
          rowStart: r * groupSize,
          rowCount: groupSize,
          kvStart: PREFIX,
          kvEnd: kvLens[r],
          partialSlot: slot,
          mergeGroup: firstGroup + r,
          mergeGroupCount: 1,
          request: r,
          qoPositionBase: queryPosition(problem, r, 0),
        }),
      );
      slot += groupSize;
    }
  }
  const numTiles = tiles.length / TILE_STRIDE;
  const numCtas = numCtaSlots(machine);
  // A tile a CTA, the rest on the last one.
  const ctaIndptr = Int32Array.from({ length: numCtas + 1 }, (_, cta) =>
    cta === numCtas ? numTiles : Math.min(cta, numTiles),
  );
  const sequences = Array.from(kvLens, (kvLen, request) => record(KV_SEQUENCE_STRIDE, KV_SEQUENCE, { kvLen, request }));
  // The prefix is a sequence of its own, whose pages are the first request's.
  const prefix = record(KV_SEQUENCE_STRIDE, KV_SEQUENCE, { kvLen: PREFIX, request: 0 });
  return new Schedule('prefixOnce', problem, machine, {
    tiles: Int32Array.from(tiles),
    ctaIndptr,
    dispatch: 'static',
    kvSequences: Int32Array.from([...sequences.flat(), ...prefix]),
    rows: Int32Array.from(rows),
    segments: new Int32Array(0),
    mergeGroups: Int32Array.from(mergeGroups),
    mergeSlots: Int32Array.from(mergeSlots),
    numPartialRows: slot,
  });
};

/** Registers the cases. `of` is asked inside of them, where the device is open. */
export function registerSharedPrefix(test: Register, of: () => Device): void {
  registerCascade(test, of);
  test('a prefix that four requests share is read once', { timeout: 30_000 }, async () => {
    const device = of();
    const cache = new PagedKvCache({ ...HEADS, device, numPages: 64, pageSize: 16 });
    for (const [pool, seed] of [
      [cache.k, 1],
      [cache.v, 2],
    ] as const) {
      const values = normal([...pool.shape], { seed, device });
      pool.copyFrom(values);
      values.dispose();
    }
    const first = cache.allocate(PREFIX);
    const requests = [first, ...LENGTHS.slice(1).map(() => cache.fork(first))];
    requests.forEach((request, r) => void cache.grow(request, LENGTHS[r] - PREFIX));
    const table = cache.pageTable(requests);
    assert.deepEqual(cache.pages(requests[3]).slice(0, 3), cache.pages(first).slice(0, 3));
    const capacity = { maxBatch: 4, maxPages: 64, maxRows: 64, maxKvSequences: 5 };
    const decode = await BatchDecode.create({ ...HEADS, device, capacity });
    const q = normal([4, 8, 128], { seed: 3, dtype: 'bfloat16', device });
    const out = full([4, 8, 128], Number.NaN, { dtype: 'bfloat16', device });
    const lse = full([4, 8], Number.NaN, { device });
    decode.plan(table, { policy: prefixOnce });
    decode.run(q, cache, { out, lse });
    const expected = await reference(q, cache, table, decode.variant);
    const [output, logs] = (await Promise.all([out.data(), lse.data()])) as Float32Array[];
    const outcome = { output, lse: logs, expected };
    assert.ok(outputError(outcome) <= 4e-3, `output ${outputError(outcome)}`);
    assert.ok(lseError(outcome) <= 1e-5, `LSE ${lseError(outcome)}`);
    for (const thing of [decode, q, out, lse, cache]) thing.dispose();
  });
}

/** Four requests share 512 tokens, the last two of them 640, and each has keys of its own. 16 rows a KV head: one tile. */
function registerCascade(test: Register, of: () => Device): void {
  test('a cascade over prefixes within prefixes reads each once', { timeout: 30_000 }, async () => {
    const device = of();
    const cache = new PagedKvCache({ ...HEADS, device, numPages: 256, pageSize: 16 });
    for (const [pool, seed] of [
      [cache.k, 11],
      [cache.v, 12],
    ] as const) {
      const values = normal([...pool.shape], { seed, device });
      pool.copyFrom(values);
      values.dispose();
    }
    const outer = cache.allocate(512);
    const inner = cache.fork(outer);
    cache.grow(inner, 128);
    const requests = [
      ...Array.from({ length: 2 }, () => cache.fork(outer)),
      ...Array.from({ length: 2 }, () => cache.fork(inner)),
    ];
    requests.forEach((request, r) => void cache.grow(request, [1, 200, 0, 90][r]));
    const table = cache.pageTable(requests);
    const decode = await BatchDecode.create({
      ...HEADS,
      device,
      sharedPrefixes: true,
      capacity: { maxBatch: 4, maxPages: 512 },
    });
    const q = normal([4, 8, 128], { seed: 13, dtype: 'bfloat16', device });
    const out = full([4, 8, 128], Number.NaN, { dtype: 'bfloat16', device });
    const lse = full([4, 8], Number.NaN, { device });
    const { schedule } = decode.plan(table, { policy: policies.cascade({ always: true }), validate: true });
    const { prefixes } = schedule.problem;
    assert.deepEqual(
      prefixes.map(({ length, requests: sharing }) => [length, sharing.length]),
      [
        [512, 4],
        [640, 2],
      ],
    );
    // 512 + 128 tokens that are shared, and what each has of its own.
    assert.equal(schedule.kvBytesRead, kvBytes(schedule.problem));
    assert.equal(schedule.kvBytesRead, (512 + 128 + 291) * HEADS.numKvHeads * 128 * 2 * 2);
    decode.run(q, cache, { out, lse });
    const expected = await reference(q, cache, table, decode.variant);
    const [output, logs] = (await Promise.all([out.data(), lse.data()])) as Float32Array[];
    const outcome = { output, lse: logs, expected };
    assert.ok(outputError(outcome) <= 4e-3, `output ${outputError(outcome)}`);
    assert.ok(lseError(outcome) <= 1e-5, `LSE ${lseError(outcome)}`);
    for (const thing of [decode, q, out, lse, cache]) thing.dispose();
  });
}
