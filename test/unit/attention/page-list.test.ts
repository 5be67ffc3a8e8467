/** The device's page list: what is sent of a table, and that the device's copy is the table whatever was sent. */
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { PageList } from '../../../src/attention/page-list';
import { type Device, openDevice } from '../../../src/device/device';

let device: Device;
beforeAll(async () => {
  device = await openDevice('cpu');
});
afterAll(() => device.dispose());

const list = (maxPages: number, maxBatch: number): PageList =>
  new PageList(device, { maxPages, maxBatch, stagingSlots: 4, label: 'test' });

/** CSR arrays of the pages of each request. */
function csr(requests: readonly (readonly number[])[]): { indptr: Int32Array; pages: Int32Array } {
  const indptr = new Int32Array(requests.length + 1);
  for (const [r, pages] of requests.entries()) indptr[r + 1] = indptr[r] + pages.length;
  return { indptr, pages: Int32Array.from(requests.flat()) };
}

/** Sends a table and answers with the bytes that it took, having read every request's pages back. */
async function send(on: PageList, requests: readonly (readonly number[])[], maxBatch: number): Promise<number> {
  const { indptr, pages } = csr(requests);
  await on.ready();
  const sent = on.send(indptr, pages, device.stream);
  const bytes = await on.buffer.read();
  const words = new Int32Array(bytes.buffer, bytes.byteOffset, bytes.byteLength / 4);
  const firstPage = Math.ceil((2 * maxBatch) / 4) * 4;
  for (const [r, wanted] of requests.entries()) {
    expect(words[2 * r]).toBe(on.starts[r]);
    expect(words[2 * r + 1]).toBe(wanted.length);
    const at = firstPage + on.starts[r];
    expect(Array.from(words.subarray(at, at + wanted.length))).toEqual(wanted);
  }
  expect(on.numRequests).toBe(requests.length);
  return sent;
}

const range = (first: number, count: number): number[] => Array.from({ length: count }, (_, i) => first + i);

describe('PageList', () => {
  test('a page more for each of 128 requests takes two words a request, wherever the lists lie', async () => {
    const pages = list(128 * 100, 128);
    const tables = [64, 65].map((count) => range(0, 128).map((r) => range(r * 100, count)));
    const whole = await send(pages, tables[0], 128);
    expect(whole).toBeGreaterThan(128 * 64 * 4);
    const starts = Array.from(pages.starts);
    // The page and the number of pages, 8 bytes of a pair each.
    expect(await send(pages, tables[1], 128)).toBe(128 * 2 * 8);
    expect(Array.from(pages.starts)).toEqual(starts);
    expect(await send(pages, tables[1], 128)).toBe(0);
    pages.dispose();
  });

  test('a change in one place is sent as a range', async () => {
    const pages = list(1000, 2);
    await send(pages, [range(0, 300), range(500, 300)], 2);
    const changed = range(500, 300);
    changed[7] = 999;
    changed[9] = 998;
    expect(await send(pages, [range(0, 300), changed], 2)).toBe(3 * 4);
    pages.dispose();
  });

  test('a list that outgrows its room moves behind the others; without room there, all are placed anew', async () => {
    const pages = list(300, 4);
    await send(pages, [range(0, 10), range(20, 10)], 4);
    const [first, second] = pages.starts;
    await send(pages, [range(0, 60), range(20, 10)], 4);
    expect(pages.starts[0]).toBeGreaterThan(second);
    expect(pages.starts[1]).toBe(second);
    await send(pages, [range(0, 60), range(20, 230)], 4);
    expect(pages.starts[0]).toBe(first);
    // As many as there can be.
    await send(pages, [range(0, 150), range(150, 150)], 4);
    pages.dispose();
  });

  test('is the table after any sequence of tables', async () => {
    const tables = fc.array(fc.array(fc.array(fc.nat(5000), { maxLength: 60 }), { maxLength: 5 }), { maxLength: 8 });
    await fc.assert(
      fc.asyncProperty(tables, async (sequence) => {
        const pages = list(300, 5);
        for (const table of sequence) await send(pages, table, 5);
        pages.dispose();
      }),
      { numRuns: 60 },
    );
  });

  test('a full ring refuses a table and changes nothing', async () => {
    const pages = new PageList(device, { maxPages: 64, maxBatch: 1, stagingSlots: 1, label: 'test' });
    const busy = device.allocate(1 << 26);
    await send(pages, [range(0, 8)], 1);
    for (let i = 0; i < 20; i++) busy.fill(new Uint8Array([i]));
    const { indptr, pages: ids } = csr([range(1, 8)]);
    pages.send(indptr, ids, device.stream);
    const other = csr([range(30, 8)]);
    expect(() => pages.send(other.indptr, other.pages, device.stream)).toThrow(
      expect.objectContaining({ code: 'PLAN_QUEUE_FULL' }),
    );
    expect(await send(pages, [range(1, 8)], 1)).toBe(0);
    busy.dispose();
    pages.dispose();
  });
});
