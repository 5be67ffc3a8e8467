/**
 * Page lists that name pages which the pool does not have: the device skips and counts them, reads nothing beyond the
 * pool, and the result is that of the other keys. Shared by the device tests and the unit tests.
 */
import assert from 'node:assert/strict';
import { BatchDecode } from '../../src/attention/batch-decode';
import { BatchPrefill } from '../../src/attention/batch-prefill';
import { PageTable } from '../../src/attention/page-table';
import { reference } from '../../src/attention/reference';
import type { Device } from '../../src/device/device';
import { policies } from '../../src/schedule/policies/known';
import { full } from '../../src/tensor/create';
import { type AttentionCase, lseError, outputError, randomCache, randomQueries } from './attention';
import { FEATURE_BASE } from './attention-features';
import type { Register } from './cases';

const CASES: readonly (readonly [name: string, changes: Partial<AttentionCase>])[] = [
  ['pages of 16', {}],
  ['pages of 16, HND', { layout: 'HND' }],
  ['pages of 1', { pageSize: 1 }],
  ['pages of 8, float16, head_dim 64', { pageSize: 8, dtype: 'float16', headDim: 64 }],
  ['pages of 64, e4m3 keys', { pageSize: 64, kvDtype: 'float8_e4m3fn' }],
  ['splits of 64 tokens', { policy: policies.fixedSplitSize(64) }],
  ['head groups', { policy: policies.headGroups }],
  ['prefill', { qoLens: [30] }],
  ['prefill, pages of 1, HND', { qoLens: [30], pageSize: 1, layout: 'HND' }],
];

const BAD_IDS = [0x7fffffff, 1 << 20];
const NUM_PAGES = 24;

/** Registers the cases. `of` is asked inside of them, where the device is open. */
export function registerBadPages(test: Register, of: () => Device): void {
  for (const [name, changes] of CASES) {
    test(`page ids out of range are skipped and counted: ${name}`, { timeout: 30_000 }, async () => {
      const c: AttentionCase = { ...FEATURE_BASE, kvLens: [], ...changes };
      await check(of(), { ...c, kvLens: [NUM_PAGES * c.pageSize] });
    });
  }
}

async function check(device: Device, c: AttentionCase): Promise<void> {
  const { cache, requests } = randomCache(device, c);
  const good = [...cache.pages(requests[0])];
  const { pageSize } = c;
  const table = (pages: readonly number[]): PageTable =>
    new PageTable({
      pagedKvIndptr: [0, pages.length],
      pagedKvIndices: pages,
      kvLens: [pages.length * pageSize],
      pageSize,
    });
  // The first page, the last, and two in a row between.
  const bad = table([BAD_IDS[0], ...good.slice(0, 9), ...BAD_IDS.map((id) => id - 5), ...good.slice(9), BAD_IDS[1]]);
  // What only a device can find out: the host is told that all is well.
  Object.defineProperty(bad, 'maxPage', { value: cache.numPages - 1 });

  const qoLens = c.qoLens ?? [1];
  const q = randomQueries(device, c);
  const out = full([...q.shape], Number.NaN, { dtype: c.dtype ?? 'bfloat16', device });
  const lse = full([q.shape[0], c.numQoHeads], Number.NaN, { device });
  const { kvLens: _k, qoLens: _q, layout: _l, policy, seed: _s, ...variant } = c;
  const capacity = { maxBatch: 1, maxQoTokens: qoLens[0], maxPages: bad.pagedKvIndices.length, maxTiles: 4096 };
  const options = { ...variant, causal: false, device, capacity };
  const wrapper = c.qoLens ? await BatchPrefill.create(options) : await BatchDecode.create(options);
  const plan = (pages: PageTable): void => {
    if (wrapper instanceof BatchPrefill) wrapper.plan(qoLens, pages, { policy });
    else wrapper.plan(pages, { policy });
  };
  plan(bad);
  wrapper.run(q, cache, { out, lse });

  const expected = await reference(q, cache, table(good), wrapper.variant, qoLens);
  const [output, logs] = (await Promise.all([out.data(), lse.data()])) as Float32Array[];
  const outcome = { output, lse: logs, expected };
  assert.ok(outputError(outcome) <= 4e-3, `output ${outputError(outcome)}`);
  assert.ok(lseError(outcome) <= 1e-5, `LSE ${lseError(outcome)}`);
  assert.ok((await wrapper.status()).skippedPages >= 4, 'each of the four is counted');
  plan(table(good));
  assert.equal((await wrapper.status()).skippedPages, 0, 'a plan starts the count anew');
  for (const thing of [wrapper, out, lse, q, cache]) thing.dispose();
}
