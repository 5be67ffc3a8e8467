/**
 * Living in the kernel: later cells, a long session's memory, floods of output, interrupts, completions; and the runner
 * beside nbclient on the same notebooks, where a Python is at hand (see scripts/client-environment.ts).
 *
 *   npm run bench:kernel        writes bench/results/cpu/<date>-kernel.json
 */
import { execFileSync, spawn } from 'node:child_process';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import kernelspec from '../dist/notebook/kernel/kernelspec.js';
import clientModule from '../dist/notebook/run/kernel-client.js';
import processModule from '../dist/notebook/run/kernel-process.js';
import sessionModule from '../dist/notebook/run/session.js';
import { clientPython } from '../scripts/client-environment.js';
import { describeHost, summarize, writeResults } from './support.mjs';

const NUM_CELLS = 1000;
const NUM_LINES = 200_000;
const NUM_INTERRUPTS = 20;
const NUM_COMPLETIONS = 30;
const ROUNDS = 5;

const rows: object[] = [];
const facts: Record<string, unknown> = {};
const folder = mkdtempSync(join(tmpdir(), 'warpbook-bench-'));
const LIMIT = { limit: '60 s for a cell', remedy: 'the bench' };

/** Cells as people write them: declarations that stay, calls, prints, results. */
function sourceOf(i: number): string {
  switch (i % 4) {
    case 0:
      return `const value${i} = ${i} * 2;\nvalue${i} + ${i >= 4 ? `value${i - 4}` : '1'}`;
    case 1:
      return `function f${i}(x: number): number { return x + ${i}; }\nf${i}(1)`;
    case 2:
      return `for (let k = 0; k < 10; k++) console.log("cell", ${i}, k);`;
    default:
      return `let text${i % 100}: string = "a${i}";\ntext${i % 100}.length`;
  }
}

async function longSession(): Promise<void> {
  const cells = Array.from({ length: NUM_CELLS + 1 }, (_, i) => ({
    cell_type: 'code' as const,
    id: `cell-${i}`,
    metadata: {},
    source: i < NUM_CELLS ? sourceOf(i) : `for (let i = 0; i < ${NUM_LINES}; i++) console.log(i);`,
    outputs: [],
    execution_count: null,
  }));
  const notebook = { nbformat: 4, nbformat_minor: 5, metadata: {}, cells };
  const session = await sessionModule.NotebookSession.start(join(folder, 'long.ipynb'), notebook as never);
  const heapBytes = async (): Promise<number> =>
    (await session.value(`(() => { require('node:v8').setFlagsFromString('--expose-gc');
      const gc = require('node:vm').runInNewContext('gc'); gc(); gc(); return process.memoryUsage().heapUsed; })()`)) as number;
  const us: number[] = [];
  let heapAtStart = 0;
  for (let number = 1; number <= NUM_CELLS; number++) {
    const { failure, durationMs } = await session.run(number, 60_000, LIMIT);
    if (failure) throw new Error(`cell ${number}: ${failure.message}`);
    us.push(durationMs * 1e3);
    if (number === 10) heapAtStart = await heapBytes();
  }
  rows.push({ what: 'cells 11 to 200', ...summarize(us.slice(10, 200)) });
  rows.push({ what: 'cells 901 to 1,000', ...summarize(us.slice(900)) });
  facts.heapGrowthMBOver1000Cells = Number((((await heapBytes()) - heapAtStart) / 1e6).toFixed(1));
  const flood = await session.run(NUM_CELLS + 1, 120_000, LIMIT);
  session.store();
  const text = String((session.codeCells[NUM_CELLS].outputs[0] as { text?: unknown }).text);
  facts.linesOf200000 = text.split('\n').length - 1;
  rows.push({ what: '200,000 lines in a cell', ...summarize([flood.durationMs * 1e3]) });
  await session.close();
}

async function questions(): Promise<void> {
  const kernel = new processModule.KernelProcess({ cwd: folder });
  const client = new clientModule.KernelClient(await kernel.connection(60_000), () => undefined);
  await client.handshake();
  const ask = (
    channel: 'shell' | 'control',
    type: string,
    content: object,
  ): Promise<{ content: Record<string, unknown> }> => client.request(channel, type, content as never) as never;
  await ask('shell', 'execute_request', { code: 'const shape = { width: 1, height: 2 };' });
  const interrupts: number[] = [];
  for (let i = 0; i < NUM_INTERRUPTS; i++) {
    const running = ask('shell', 'execute_request', { code: 'await null;\nfor (;;) {}' });
    await new Promise((resolve) => setTimeout(resolve, 250));
    const start = performance.now();
    await ask('control', 'interrupt_request', {});
    const { content } = await running;
    if (content.ename !== 'Interrupted') throw new Error(`not interrupted: ${JSON.stringify(content)}`);
    interrupts.push((performance.now() - start) * 1e3);
  }
  rows.push({ what: 'interrupt of a loop after an await, to its reply', ...summarize(interrupts) });
  for (const [what, code] of [
    ['completion of members', 'shape.'],
    ['completion of names', 'Batch'],
  ]) {
    const us: number[] = [];
    for (let i = 0; i < NUM_COMPLETIONS; i++) {
      const text = `${' '.repeat(i)}${code}`;
      const start = performance.now();
      await ask('shell', 'complete_request', { code: text, cursor_pos: text.length });
      us.push((performance.now() - start) * 1e3);
    }
    rows.push({ what, ...summarize(us) });
  }
  await kernel.kill();
  client.close();
}

/**
 * The command line beside nbclient: the same notebooks in the same kernel, turn and turn about, from the shell's call to the
 * end of the process. nbclient knows one notebook at a time; two of its processes show what that alone costs it.
 */
async function besideNbclient(): Promise<void> {
  const found = clientPython();
  if ('missing' in found) {
    facts.nbclient = `not measured: ${found.missing}`;
    return;
  }
  const { python } = found;
  const version = ['-c', 'import nbclient; print(nbclient.__version__)'];
  facts.nbclient = execFileSync(python, version, { encoding: 'utf8' }).trim();
  kernelspec.installKernelspec({ prefix: folder });
  const env = { ...process.env, JUPYTER_PATH: join(folder, 'share', 'jupyter') };
  const paths = readdirSync('notebooks')
    .filter((name) => name.endsWith('.ipynb'))
    .map((name) => join('notebooks', name));
  const start = (command: string, args: readonly string[]): Promise<void> =>
    new Promise((resolve, reject) => {
      const child = spawn(command, args, { env, stdio: ['ignore', 'ignore', 'ignore'] });
      child.once('error', reject);
      child.once('exit', (code) =>
        code === 0 ? resolve() : reject(new Error(`${command} ${args.join(' ')}: ${code}`)),
      );
    });
  const warpbook = (...options: string[]) =>
    start(process.execPath, ['dist/cli/main.js', 'run', ...paths, '--out', join(folder, 'ours'), ...options]);
  const nbclient = (notebooks: readonly string[]) =>
    start(python, ['test/clients/run_notebooks.py', folder, 'notebooks', ...notebooks]);
  const ways: Record<string, () => Promise<unknown>> = {
    'warpbook run': () => warpbook(),
    nbclient: () => nbclient(paths),
    'warpbook run --jobs 1': () => warpbook('--jobs', '1'),
    'nbclient, a process for each': () => Promise.all(paths.map((path) => nbclient([path]))),
  };
  const times: Record<string, number[]> = Object.fromEntries(Object.keys(ways).map((way) => [way, []]));
  for (let round = 0; round < ROUNDS; round++) {
    for (const [way, run] of Object.entries(ways)) {
      const begun = performance.now();
      await run();
      times[way].push((performance.now() - begun) * 1e3);
    }
  }
  for (const [what, us] of Object.entries(times)) {
    rows.push({ what: `${paths.length} notebooks by ${what}`, ...summarize(us) });
  }
  const median = (way: string): number => summarize(times[way]).medianUs;
  const share = (ours: string, theirs: string): number => Number((median(ours) / median(theirs)).toFixed(3));
  facts.wallTimeShareOfNbclient = share('warpbook run', 'nbclient');
  facts.oneAtATimeShareOfNbclient = share('warpbook run --jobs 1', 'nbclient');
  facts.allAtOnceShareOfNbclient = share('warpbook run', 'nbclient, a process for each');
}

await longSession();
await questions();
await besideNbclient();
rmSync(folder, { recursive: true });
await writeResults('cpu', 'kernel', 'npm run bench:kernel', { ...describeHost(), ...facts, rows });
