/** The attention program on tables that no built-in policy emits: what the record can express beyond them. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Device, openDevice } from '../../../src/device/device';
import { TILE_FLAG } from '../../../src/schedule/work-tile';
import { expectedRow, type HandPacked, type ProgramResult, runProgram } from '../../support/attention-program';
import { noise } from '../../support/noise';

const NUM_TOKENS = 6;
const PAGES = [3, 0, 5, 1, 4, 2];
const KV_LEN = 23;
const range = (start: number, end: number): number[] =>
  Array.from({ length: Math.max(0, end - start) }, (_, i) => start + i);

/** One sequence of 23 keys in six scattered pages of 4, six query tokens of two heads on one KV head. */
function base(options: Partial<HandPacked> & Pick<HandPacked, 'ctas'>): HandPacked {
  const shape = {
    numQoTokens: NUM_TOKENS,
    numQoHeads: 2,
    numKvHeads: 1,
    headDim: 24,
    pageSize: 4,
    numPages: 6,
    ...options,
  };
  const pool = shape.numPages * shape.pageSize * shape.numKvHeads * shape.headDim;
  return {
    q: noise(shape.numQoTokens * shape.numQoHeads * shape.headDim, 1),
    k: noise(pool, 2),
    v: noise(pool, 3),
    kvIndices: PAGES,
    ...shape,
  };
}

let device: Device;
beforeAll(async () => {
  device = await openDevice('cpu', { threads: 3 });
});
afterAll(() => device.dispose());

function expectRow(
  c: HandPacked,
  result: ProgramResult,
  token: number,
  head: number,
  keys: number[],
  pageStart = 0,
  distance = 0,
): void {
  const expected = expectedRow(c, token, head, keys, pageStart, distance);
  const row = token * c.numQoHeads + head;
  const output = result.output.subarray(row * c.headDim, (row + 1) * c.headDim);
  const error = Math.hypot(...expected.output.map((x, d) => x - output[d]));
  expect(error, `output of token ${token}, head ${head}`).toBeLessThanOrEqual(2e-6 * Math.hypot(...expected.output));
  if (expected.lse === Number.NEGATIVE_INFINITY) expect(result.lse[row]).toBe(expected.lse);
  else expect(Math.abs(result.lse[row] - expected.lse)).toBeLessThanOrEqual(1e-5 * Math.max(1, Math.abs(expected.lse)));
}
function expectUntouched(c: HandPacked, result: ProgramResult, token: number): void {
  const row = token * c.numQoHeads;
  expect([...new Set(result.output.subarray(row * c.headDim, (row + c.numQoHeads) * c.headDim))]).toEqual([777]);
  expect([...result.lse.subarray(row, row + c.numQoHeads)]).toEqual([777, 777]);
}

describe('rows', () => {
  test('gathered rows may be any tokens and heads, at positions of their own', async () => {
    const rows = [
      { qoToken: 4, qoHead: 1, qoPosition: 22 },
      { qoToken: 0, qoHead: 0, qoPosition: 3 },
      { qoToken: 2, qoHead: 1, qoPosition: -1 },
    ];
    const tile = { rowCount: 3, kvEnd: KV_LEN, flags: TILE_FLAG.gatherRows | TILE_FLAG.needsMask };
    const c = base({ rows, causal: true, ctas: [[tile]] });
    const result = await runProgram(device, c);
    expectRow(c, result, 4, 1, range(0, 23));
    expectRow(c, result, 0, 0, range(0, 4));
    expectRow(c, result, 2, 1, []);
    expectUntouched(c, result, 3);
  });

  test('a tile of more rows than are attended at once gives the bits of one tile a row', async () => {
    const numQoTokens = 70;
    const whole = base({
      numQoTokens,
      causal: true,
      ctas: [[{ rowCount: 140, kvEnd: KV_LEN, flags: 1, qoPositionBase: -47 }]],
    });
    const tiles = range(0, 140).map((rowStart) => ({
      rowStart,
      rowCount: 1,
      kvEnd: KV_LEN,
      flags: 1,
      qoPositionBase: -47,
    }));
    const single = base({ numQoTokens, causal: true, ctas: [tiles] });
    const [a, b] = [await runProgram(device, whole), await runProgram(device, single)];
    expect(a.output).toEqual(b.output);
    expect(a.lse).toEqual(b.lse);
    expectRow(whole, a, 60, 1, range(0, 14));
    expectRow(whole, a, 3, 0, []);
  });

  test('rows that no tile names are left untouched; an empty range gives 0 and −∞', async () => {
    const c = base({ ctas: [[{ rowStart: 2, rowCount: 2, kvStart: 9, kvEnd: 9 }]] });
    const result = await runProgram(device, c);
    expectRow(c, result, 1, 0, []);
    expect([...result.output.subarray(2 * c.headDim, 4 * c.headDim)].every((x) => x === 0)).toBe(true);
    for (const token of [0, 2, 3, 4, 5]) expectUntouched(c, result, token);
  });
});

describe('keys', () => {
  test('segments restrict a tile, and say where the mask applies', async () => {
    const segments = [
      { kvStart: 1, kvEnd: 5, masked: 0 },
      { kvStart: 8, kvEnd: 15, masked: 1 },
      { kvStart: 20, kvEnd: 40, masked: 0 },
    ];
    const tile = { rowCount: 4, kvEnd: 22, segCount: 3, qoPositionBase: 9 };
    const c = base({ segments, causal: true, windowLeft: 0, ctas: [[tile]] });
    const result = await runProgram(device, c);
    // Tokens 0 and 1 are at positions 9 and 10, and the window shows only the key at their own.
    for (const [token, own] of [
      [0, 9],
      [1, 10],
    ]) {
      for (const head of [0, 1]) expectRow(c, result, token, head, [1, 2, 3, 4, own, 20, 21]);
    }
  });

  test('a KV sequence may lie at an offset and at any page', async () => {
    const kvSequences = [{ pageStart: 2, kvLen: 9, positionOffset: 100 }];
    const tile = { rowCount: 12, kvEnd: 9, pageStart: 2, flags: 1, qoPositionBase: 101 };
    const c = base({ kvSequences, causal: true, windowLeft: 3, ctas: [[tile]] });
    const result = await runProgram(device, c);
    for (const token of range(0, 6)) {
      expectRow(c, result, token, 1, range(Math.max(0, token - 2), Math.min(9, token + 2)), 2);
    }
  });

  test('ALiBi counts positions, of sequences at an offset and of gathered rows too', async () => {
    const kvSequences = [{ pageStart: 2, kvLen: 9, positionOffset: 100 }];
    const rows = [{ qoToken: 5, qoHead: 1, qoPosition: 104 }];
    const common = { kvEnd: 9, pageStart: 2, flags: TILE_FLAG.needsMask };
    const tile = { ...common, rowCount: 8, qoPositionBase: 101 };
    const gathered = { ...common, rowCount: 1, flags: TILE_FLAG.needsMask | TILE_FLAG.gatherRows };
    const alibiSlopes = [0.5, -0.25];
    const c = base({ kvSequences, rows, alibiSlopes, logitsSoftCap: 2, smScale: 3, ctas: [[tile], [gathered]] });
    const result = await runProgram(device, c);
    for (const token of range(0, 4)) {
      for (const head of [0, 1]) expectRow(c, result, token, head, range(0, 9), 2, 100 - (101 + token));
    }
    expectRow(c, result, 5, 1, range(0, 9), 2, 100 - 104);
  });

  test('without page indices the pages are in order', async () => {
    const c = base({ kvIndices: null, pageSize: 1, numPages: 24, ctas: [[{ rowCount: 12, kvEnd: 20, pageStart: 4 }]] });
    const result = await runProgram(device, c);
    for (const token of range(0, 6)) expectRow(c, result, token, 0, range(0, 20), 4);
  });

  test('pages out of range are skipped and counted, never read', async () => {
    const kvIndices = [3, -1, 5, 6, 2_000_000_000, 2];
    const c = base({
      kvIndices,
      ctas: [[{ rowCount: 2, kvEnd: KV_LEN }], [{ rowStart: 2, rowCount: 2, kvStart: 5, kvEnd: 7 }]],
    });
    const result = await runProgram(device, c);
    for (const head of [0, 1]) {
      expectRow(c, result, 0, head, [...range(0, 4), ...range(8, 12), ...range(20, 23)]);
      expectRow(c, result, 1, head, []);
    }
    expect(result.status).toBe(4);
  });

  test('NaN beyond the range or behind the mask stays there', async () => {
    const tile = { rowCount: 12, kvEnd: KV_LEN, flags: 1, qoPositionBase: 17 };
    const clean = base({ causal: true, ctas: [[tile]] });
    const c = { ...clean, k: clean.k.slice(), v: clean.v.slice() };
    const at = (key: number): number => (PAGES[key >> 2] * 4 + (key & 3)) * c.headDim;
    c.k.fill(Number.NaN, at(23), at(23) + c.headDim); // in the last page, beyond the sequence
    c.v.fill(Number.NaN, at(23), at(23) + c.headDim);
    c.v.fill(Number.NaN, at(22), at(22) + 1); // seen by the last token alone
    const result = await runProgram(device, c);
    for (const token of range(0, 5)) expectRow(clean, result, token, 0, range(0, 18 + token));
    const last = result.output.subarray(10 * c.headDim, 11 * c.headDim);
    expect(last[0]).toBeNaN();
    expect([...last.subarray(1)].some(Number.isNaN)).toBe(false);
  });

  test('a NaN that is seen shows', async () => {
    const clean = base({ ctas: [[{ rowCount: 2, kvEnd: KV_LEN }]] });
    const c = { ...clean, k: clean.k.slice() };
    c.k[PAGES[1] * 4 * c.headDim] = Number.NaN;
    const result = await runProgram(device, c);
    expect([...result.output.subarray(0, 2 * c.headDim)].every(Number.isNaN)).toBe(true);
    expect(result.lse[0]).toBeNaN();
  });

  test.each([0.5, 5, 50])('logits are capped at %d', async (logitsSoftCap) => {
    const c = base({ logitsSoftCap, smScale: 3, ctas: [[{ rowCount: 12, kvEnd: KV_LEN }]] });
    const result = await runProgram(device, c);
    for (const token of range(0, 6)) expectRow(c, result, token, 0, range(0, KV_LEN));
  });
});

/** Three tiles a token pair: partial states in slots of two rows, merged by one group a token. */
function splitInThree(options: Partial<HandPacked>): HandPacked {
  const cuts = [0, 6, 7, KV_LEN];
  const tiles = range(0, 18).map((i) => {
    const [token, piece] = [Math.floor(i / 3), i % 3];
    const partial = { partialSlot: 2 * i, mergeGroup: token, mergeGroupCount: 1 };
    return { rowStart: 2 * token, rowCount: 2, kvStart: cuts[piece], kvEnd: cuts[piece + 1], ...partial };
  });
  return base({
    ctas: range(0, 5).map((cta) => tiles.filter((_, i) => (i * 7) % 5 === cta)),
    mergeGroups: range(0, 6).map((token) => ({ rowStart: 2 * token, rowCount: 2, slotStart: 3 * token, slotCount: 3 })),
    mergeSlots: range(0, 18).map((i) => 2 * i),
    numPartialRows: 36,
    ...options,
  });
}

describe('dispatch and merging', () => {
  test.each([
    ['static', 5],
    ['static', 2],
    ['queue', 5],
    ['queue', 1],
    ['queue', 9],
    ['smQueue', 5],
  ] as const)('%s on a grid of %i runs every tile and merge, launch after launch', async (dispatch, grid) => {
    const c = splitInThree({ dispatch, grid, launches: 3 });
    const result = await runProgram(device, c);
    for (const token of range(0, 6)) for (const head of [0, 1]) expectRow(c, result, token, head, range(0, KV_LEN));
    expect([...result.counters].every((count) => count === 0)).toBe(true);
    expect(result.tiles.map(({ item, phase }) => [item, phase])).toEqual(range(0, 18).map((i) => [i, 1]));
    expect(result.merges.map(({ item, phase }) => [item, phase])).toEqual(range(0, 6).map((i) => [i, 2]));
    for (const { cta, sm, durationNs } of [...result.tiles, ...result.merges]) {
      expect(cta).toBeLessThan(dispatch === 'queue' ? grid : 5);
      expect(sm).toBeLessThan(3);
      expect(durationNs).toBeGreaterThanOrEqual(0);
    }
  });

  test('static dispatch keeps each CTA to its own tiles', async () => {
    const c = splitInThree({ grid: 2 });
    const owners = c.ctas.flatMap((tiles, cta) => tiles.map(() => cta));
    expect((await runProgram(device, c)).tiles.map(({ cta }) => cta)).toEqual(owners);
  });

  test('the same lists give the same bits, whatever the dispatch and the threads', async () => {
    const single = await openDevice('cpu', { threads: 1 });
    const expected = await runProgram(single, splitInThree({}));
    for (const dispatch of ['static', 'queue'] as const) {
      for (let repeat = 0; repeat < 10; repeat++) {
        const result = await runProgram(device, splitInThree({ dispatch }));
        expect(result.output).toEqual(expected.output);
        expect(result.lse).toEqual(expected.lse);
      }
    }
    single.dispose();
  });

  test.each([
    ['small', [-40, -3]],
    ['middling', [0.5, -1]],
    ['large', [60, 5]],
    ['none', [Number.NEGATIVE_INFINITY, Number.NEGATIVE_INFINITY]],
  ])('a sink counts once, whether a row is written by a tile, a merge or an empty group: %s', async (_, sinks) => {
    const split = splitInThree({ sinks });
    const merged = await runProgram(device, split);
    for (const token of range(0, 6)) for (const head of [0, 1]) expectRow(split, merged, token, head, range(0, KV_LEN));

    const tile = { rowCount: 4, kvEnd: KV_LEN };
    const empty = { rowStart: 4, rowCount: 2, kvStart: 9, kvEnd: 9 };
    const whole = base({ sinks, ctas: [[tile], [empty]], mergeGroups: [{ rowStart: 6, rowCount: 2 }] });
    const result = await runProgram(device, whole);
    for (const head of [0, 1]) {
      for (const token of [0, 1]) expectRow(whole, result, token, head, range(0, KV_LEN));
      for (const token of [2, 3]) expectRow(whole, result, token, head, []);
    }
    expect([...result.lse.subarray(4, 8)]).toEqual([...sinks, ...sinks]);
  });

  test('one tile of a shared prefix arrives at the groups of all its requests', async () => {
    const request = (token: number): object => ({
      rowStart: 2 * token,
      rowCount: 2,
      kvStart: 12,
      kvEnd: 12 + 4 * token,
      partialSlot: 4 + 2 * token,
      mergeGroup: token,
      mergeGroupCount: 1,
    });
    const prefix = { rowCount: 4, kvEnd: 12, partialSlot: 0, mergeGroup: 0, mergeGroupCount: 2 };
    const c = base({
      ctas: [[request(0), prefix], [request(1)]],
      mergeGroups: [0, 1].map((token) => ({ rowStart: 2 * token, rowCount: 2, slotStart: 2 * token, slotCount: 2 })),
      mergeSlots: [0, 4, 2, 6],
      numPartialRows: 8,
    });
    const result = await runProgram(device, c);
    for (const head of [0, 1]) {
      expectRow(c, result, 0, head, range(0, 12));
      expectRow(c, result, 1, head, range(0, 16));
    }
  });

  test('a merge may gather its rows, and a group without slots is empty', async () => {
    const rows = [
      { qoToken: 5, qoHead: 1 },
      { qoToken: 1, qoHead: 0 },
    ];
    const tile = (kvStart: number, kvEnd: number, partialSlot: number): object => ({
      rowCount: 2,
      kvStart,
      kvEnd,
      partialSlot,
      mergeGroupCount: 1,
      mergeGroup: 0,
      flags: TILE_FLAG.gatherRows,
    });
    const c = base({
      rows,
      ctas: [[tile(0, 9, 0), tile(9, KV_LEN, 2)]],
      mergeGroups: [
        { rowCount: 2, slotCount: 2, flags: TILE_FLAG.gatherRows },
        { rowStart: 4, rowCount: 2, slotStart: 2 },
      ],
      mergeSlots: [0, 2],
      numPartialRows: 4,
    });
    const result = await runProgram(device, c);
    expectRow(c, result, 5, 1, range(0, KV_LEN));
    expectRow(c, result, 1, 0, range(0, KV_LEN));
    for (const head of [0, 1]) expectRow(c, result, 2, head, []);
    expectUntouched(c, result, 3);
  });
});

describe('parameters that the program refuses', () => {
  test.each([
    [{ headDim: 12 }, 'attention: head_dim is 12; wanted a positive multiple of 8'],
    [{ pageSize: 0 }, 'attention: page_size is 0; wanted at least 1'],
    [{ numQoHeads: 3, numKvHeads: 2 }, 'attention: num_qo_heads 3 is not a multiple of num_kv_heads 2'],
  ])('%j', async (options, message) => {
    const broken = await openDevice('cpu', { threads: 1 });
    const c = base({ ...options, ctas: [[]] });
    await expect(runProgram(broken, c)).rejects.toThrow(message);
    broken.dispose();
  });
});
