/** Sweeps in the cells of a notebook: what goes to threads, what is told when something doesn't, and interruptions. */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Executed, streamText, TestKernel, temporaryFolder } from '../support/notebooks';

const folder = temporaryFolder();
let kernel: TestKernel;

beforeAll(async () => {
  kernel = await TestKernel.start({ cwd: folder });
}, 60_000);
afterAll(() => kernel.stop());

const linesOf = (name: string): number => {
  const path = join(folder, name);
  return existsSync(path) ? readFileSync(path, 'utf8').split('\n').length - 2 : 0;
};

/** Runs a cell, and interrupts it when the file has points. */
async function interruptAt(code: string, file: string, points: number): Promise<Executed> {
  const running = kernel.execute(code);
  await expect.poll(() => linesOf(file), { timeout: 20_000, interval: 10 }).toBeGreaterThanOrEqual(points);
  void kernel.client.request('control', 'interrupt_request', {});
  return running;
}

describe('a sweep in a cell', () => {
  it('sends its function to threads, where the names of warpbook are', async () => {
    const { reply, published } = await kernel.execute(`
      const shared = 7;
      const threads = await sweep({
        axes: { tokens: [100, 1000], n: [1, 2] }, workers: 2, data: { shared },
        run: ({ tokens, n }, { data }) => {
          const problem = makeProblem({ kvLens: [tokens], numQoHeads: 8, numKvHeads: 2, headDim: 64 });
          return { us: predict(policies.noSplit(problem, machines.h100)).durationNs / 1e3, n: n * data.shared };
        },
      });
      console.log(threads.rows.map((row) => row.n).join(' '), threads.numFailed);
      const grouped = threads.table.groupby('tokens').rollup({ most: 'd => op.max(d.n)' });
      console.log(JSON.stringify(grouped.objects()));`);
    expect([reply.content.status, reply.content.evalue]).toEqual(['ok', undefined]);
    expect(streamText(published)).toBe('7 14 7 14 0\n[{"tokens":100,"most":14},{"tokens":1000,"most":14}]\n');
  }, 30_000);

  it('names what its function took from the notebook', async () => {
    const { reply } = await kernel.execute(
      'const mine = 3;\nawait sweep({ axes: { n: [1] }, workers: 1, run: ({ n }) => n + mine });',
    );
    expect(reply.content.status).toBe('error');
    expect(reply.content.evalue).toMatch(/The sweep's function uses mine, which is not there in a worker/);
  }, 30_000);

  const SLOW = (file: string, body: string, workers: number) => `await sweep({
    axes: { n: Array.from({ length: 200 }, (_, i) => i) }, file: '${file}', workers: ${workers}, version: '1',
    run: async ({ n }) => { ${body}; return n; },
  })`;

  it.each([
    ['in awaits', 'await new Promise((resume) => setTimeout(resume, 5))', 0],
    ['in threads', 'await new Promise((resume) => setTimeout(resume, 30))', 2],
    // The third point never ends: nothing but termination stops it.
    ['in a point that loops', 'await new Promise((resume) => setTimeout(resume, 60)); if (n === 3) for (;;) {}', 0],
  ])(
    'interrupted %s, keeps what it has and can go on',
    async (name, body, workers) => {
      const file = `${name.replaceAll(' ', '-')}.jsonl`;
      const { reply } = await interruptAt(SLOW(file, body, workers), file, 3);
      expect(reply.content).toMatchObject({ status: 'error', ename: 'Interrupted' });
      const kept = linesOf(file);
      expect(kept).toBeGreaterThanOrEqual(3);
      expect(kept).toBeLessThan(200);
      const { reply: next, published } = await kernel.execute(
        `const again = ${SLOW(file, '', 0)}; console.log(String(again));`,
      );
      expect([next.content.status, next.content.evalue]).toEqual(['ok', undefined]);
      const [, reused] = /200 points, (\d+) of them/.exec(streamText(published)) ?? [];
      expect(Number(reused)).toBeGreaterThanOrEqual(kept);
      expect(linesOf(file)).toBe(200);
    },
    40_000,
  );
});
