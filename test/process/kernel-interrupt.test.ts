/** Interrupts: whatever a cell does, it stops, the kernel lives on, and nothing of the cell is heard again. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { streamText, TestKernel, temporaryFolder } from '../support/notebooks';

const folder = temporaryFolder();
let kernel: TestKernel;

beforeAll(async () => {
  kernel = await TestKernel.start({ cwd: folder });
}, 60_000);
afterAll(() => kernel.stop());

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));
const byMessage = (): void => void kernel.client.request('control', 'interrupt_request', {});
const interrupted = { status: 'error', ename: 'Interrupted', evalue: 'The cell was interrupted.' };

/** Runs a cell that doesn't end, interrupts it, and lets another cell run. */
async function stop(code: string, interrupt: () => void = byMessage): Promise<{ ms: number; printed: string }> {
  // On a busy machine a cell takes its time to begin, and a loop can't print.
  const started = join(folder, `started-${performance.now()}`);
  const marked = `require('node:fs').writeFileSync(${JSON.stringify(started)}, '');\n${code}`;
  const running = kernel.execute(marked);
  await expect.poll(() => existsSync(started), { timeout: 15_000 }).toBe(true);
  await pause(100);
  const start = performance.now();
  interrupt();
  const { reply, published } = await running;
  const ms = performance.now() - start;
  expect(reply.content).toMatchObject(interrupted);
  expect(published.filter(({ header }) => header.msg_type === 'error')).toHaveLength(1);
  const { reply: next, published: later } = await kernel.execute(
    'await new Promise((r) => setTimeout(r, 50));\n"alive"',
  );
  expect(next.content.status).toBe('ok');
  expect(later.map(({ header }) => header.msg_type)).toEqual(['execute_input', 'execute_result']);
  return { ms, printed: streamText(published) };
}

const BUSY: readonly [what: string, code: string][] = [
  ['a loop', 'for (;;) {}'],
  ['a loop that catches everything', 'for (;;) { try { for (;;) {} } catch {} finally { for (;;) {} } }'],
  ['a loop after an await', 'await new Promise((resolve) => setTimeout(resolve, 10));\nfor (;;) {}'],
  ['a loop after awaiting nothing', 'await null;\nfor (;;) {}'],
  ['a loop of awaits', 'for (;;) await null;'],
  ['a loop in a function of another cell', 'await null; spin();'],
  ['a loop in a timer', 'setTimeout(() => { for (;;) {} }, 5);\nawait new Promise(() => {});'],
  ['a loop in an interval', 'const spinning = setInterval(() => { for (;;) {} }, 5);\nawait new Promise(() => {});'],
  ['a loop in a microtask', 'queueMicrotask(() => { for (;;) {} });\nawait new Promise(() => {});'],
  ['a loop in a tick', 'process.nextTick(() => { for (;;) {} });\nawait new Promise(() => {});'],
  ['a loop in an immediate', 'setImmediate(() => { for (;;) {} });\nawait new Promise(() => {});'],
  [
    'a loop in the second of three immediates',
    'setImmediate(() => {});\nsetImmediate(() => { for (;;) {} });\nsetImmediate(() => {});\nawait new Promise(() => {});',
  ],
  [
    'a loop when a file has been read',
    "import { readFile } from 'node:fs';\nreadFile('.', () => { for (;;) {} });\nawait new Promise(() => {});",
  ],
  ['a loop in a comparison', 'await null;\n[1, 2, 3].sort(() => { for (;;) {} });'],
  ['a slow regular expression', "await null;\n/^(a+)+$/.test('a'.repeat(40) + 'b')"],
  ['a loop of conversions', 'await null;\nfor (;;) JSON.parse(JSON.stringify({ a: [1, 2, 3] }));'],
  ['a display that loops', "({ [Symbol.for('Jupyter.display')]() { for (;;) {} } })"],
];

// Real processes and real clocks, on machines that may be busy: what fails is asked once more.
describe('by message', { retry: 1 }, () => {
  beforeAll(async () => {
    await kernel.execute('function spin(): void { for (;;) {} }');
  });

  it.each(BUSY)(
    'stops %s',
    async (_, code) => {
      // Whatever callback it hangs in; about 50 ms on an idle machine.
      expect((await stop(code)).ms).toBeLessThan(3000);
    },
    20_000,
  );

  it('keeps what was printed before', async () => {
    expect((await stop('console.log("before");\nawait null;\nfor (;;) {}')).printed).toBe('before\n');
  });

  it('ends a pending await where it stands: blocks of `finally` run, nothing after it does', async () => {
    const code = `let reached = '';
try { await new Promise((resolve) => setTimeout(resolve, 400)); reached += 'after'; }
finally { await new Promise((resolve) => setTimeout(resolve, 20)); reached += 'finally'; console.log(reached); }
reached += 'end';`;
    expect((await stop(code)).printed).toBe('finally\n');
    await pause(300);
    expect((await kernel.execute('reached')).published.at(-1)?.content.data).toEqual({ 'text/plain': 'finally' });
  });

  it('ends a `for await` at its next step, and lets the iterator clean up', async () => {
    const code = `async function* forever() { try { for (let i = 0; ; i++) { yield i; await new Promise((r) => setTimeout(r, 20)); } } finally { console.log('closed'); } }
for await (const i of forever()) if (i < 2) console.log(i);`;
    expect((await stop(code)).printed).toMatch(/^0\n1\n(closed\n)?$/);
  });

  it('stops what the cell has started beside it', async () => {
    const code = `const beside = async () => { for (;;) { await new Promise((r) => setTimeout(r, 20)); console.log('tick'); } };
void beside();
await new Promise(() => {});`;
    expect((await stop(code)).printed).toMatch(/^(tick\n)+$/);
  });

  it('is not caught twice: a cell that goes on is given up at the next interrupt', async () => {
    const code = `for (;;) { try { await new Promise((r) => setTimeout(r, 10)); } catch { console.log('caught'); } }`;
    const again = (): void => {
      byMessage();
      setTimeout(byMessage, 200);
    };
    expect((await stop(code, again)).printed).toBe('caught\n');
  });

  it('tells long work of libraries through a signal', async () => {
    const code = `import { interruptSignal } from 'warpbook';
const signal = interruptSignal()!;
await new Promise<void>((resolve) => signal.addEventListener('abort', () => { console.log(String(signal.reason)); resolve(); }));`;
    expect((await stop(code)).printed).toBe('Interrupted: The cell was interrupted.\n');
  });

  it('stops a measurement at its next batch', async () => {
    await kernel.execute('let calls = 0;');
    const code =
      'await measure(() => { calls += 1; }, { mode: "host", maxSeconds: 1000, minSamples: 1e8, maxSamples: 1e9 })';
    expect((await stop(code)).printed).toBe('');
    await pause(100);
    const calls = async () => (await kernel.execute('calls')).published.at(-1)?.content.data;
    const before = await calls();
    await pause(200);
    expect(await calls()).toEqual(before);
  });

  it('leaves an idle kernel alone', async () => {
    for (let i = 0; i < 5; i++) await kernel.client.request('control', 'interrupt_request', {});
    expect((await kernel.execute('1')).reply.content.status).toBe('ok');
  });

  it('aborts the cells behind, and runs those sent after it', async () => {
    const running = kernel.execute('await null;\nfor (;;) {}');
    const queued = kernel.execute('"queued"');
    await pause(200);
    byMessage();
    expect((await running).reply.content).toMatchObject(interrupted);
    expect((await queued).reply.content.status).toBe('aborted');
    expect((await kernel.execute('1')).reply.content.status).toBe('ok');
  });

  it('stops forty cells in a row', async () => {
    for (let i = 0; i < 40; i++) {
      const running = kernel.execute(i % 2 ? 'await null;\nfor (;;) {}' : 'await new Promise(() => {})');
      await pause(5 + 5 * (i % 8));
      byMessage();
      // An interrupt before the cell has begun finds nothing to stop, as in every kernel.
      const again = setInterval(byMessage, 300);
      expect((await running).reply.content).toMatchObject(interrupted);
      clearInterval(again);
    }
  }, 60_000);
});

describe('by signal', { retry: 1 }, () => {
  it.each([
    ['a synchronous loop', 'for (;;) {}'],
    ['a pending await', 'await new Promise(() => {})'],
  ])('stops %s', async (_, code) => {
    await stop(code, () => kernel.process.interrupt());
  });
});

describe('the wire', () => {
  it('answers while a cell keeps the kernel busy', async () => {
    const running = kernel.execute('await null;\nfor (;;) {}');
    await pause(200);
    const { content } = await kernel.client.request('control', 'kernel_info_request', {});
    expect(content.implementation).toBe('warpbook');
    byMessage();
    await running;
  });

  it('ends a busy kernel on a shutdown request', async () => {
    const other = await TestKernel.start({ cwd: folder });
    await other.execute('1');
    void other.client.request('shell', 'execute_request', { code: 'await null;\nfor (;;) {}' }).catch(() => undefined);
    await pause(200);
    await other.client.request('control', 'shutdown_request', { restart: false });
    expect(await other.process.exited).toEqual({ code: 0, signal: null });
    await other.stop();
  }, 60_000);
});
