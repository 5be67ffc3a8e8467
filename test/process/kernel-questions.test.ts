/** What a front end asks beside running cells: completions, tooltips, expressions; and what a cell asks the user. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { streamText, TestKernel, temporaryFolder } from '../support/notebooks';

const folder = temporaryFolder();
const asked: [string, boolean][] = [];
let answer: (prompt: string) => Promise<string> = async () => 'blue';
let kernel: TestKernel;

beforeAll(async () => {
  writeFileSync(join(folder, 'lib.ts'), '/** From a file beside the notebook. */\nexport const beside = 1;\n');
  kernel = await TestKernel.start({ cwd: folder }, (prompt, password) => {
    asked.push([prompt, password]);
    return answer(prompt);
  });
  await kernel.execute(`/** Adds up.
 *
 * Second paragraph.
 * @param a the first
 * @returns the sum
 */
function addUp(a: number, b: number): number { return a + b; }
const shape = { width: 3, height: 4, area(): number { return 12; } };`);
}, 60_000);
afterAll(() => kernel.stop());

interface Completion {
  readonly text: string;
  readonly type: string;
  readonly signature: string;
  readonly documentation: string;
}

/** Completions at the bar. */
async function complete(
  marked: string,
): Promise<{ matches: string[]; found: Record<string, Completion>; from: number }> {
  const cursor = marked.indexOf('|');
  const request = { code: marked.replace('|', ''), cursor_pos: cursor };
  const { content } = await kernel.client.request('shell', 'complete_request', request);
  expect(content.status).toBe('ok');
  const types = (content.metadata as { _jupyter_types_experimental: Completion[] })._jupyter_types_experimental;
  const found = Object.fromEntries(types.map((entry) => [entry.text, entry]));
  return { matches: content.matches as string[], found, from: content.cursor_start as number };
}

async function inspect(marked: string): Promise<Record<string, string> | undefined> {
  const request = { code: marked.replace('|', ''), cursor_pos: marked.indexOf('|'), detail_level: 0 };
  const { content } = await kernel.client.request('shell', 'inspect_request', request);
  expect(content.status).toBe('ok');
  return content.found ? (content.data as Record<string, string>) : undefined;
}

describe('completion', () => {
  it("knows earlier cells' names, with kind, type and documentation", async () => {
    const { matches, found, from } = await complete('1 + addU|');
    expect(matches[0]).toBe('addUp');
    expect(from).toBe(4);
    expect(found.addUp).toMatchObject({
      type: 'function',
      signature: '(a: number, b: number) => number',
      documentation: 'Adds up.',
    });
  });

  it('knows members', async () => {
    const { matches, found } = await complete('shape.|');
    expect([...matches].sort()).toEqual(['area', 'height', 'width']);
    expect(found.area).toMatchObject({ type: 'method', signature: '() => number' });
    expect(found.width).toMatchObject({ type: 'property', signature: 'number' });
    expect((await complete('shape.he|')).matches).toEqual(['height']);
    expect((await complete('shape?.wi|;\n1')).found.width).toMatchObject({ signature: 'number' });
  });

  it('knows this package without an import', async () => {
    const { found } = await complete('const cache = new PagedKvC|');
    expect(found.PagedKvCache.signature).toBe('typeof PagedKvCache');
    expect((await complete('clearOut|')).found.clearOutput.documentation).toContain("Removes the cell's output");
    expect((await complete('policies.|')).matches).toContain('binarySearch');
  });

  it('knows options in object literals, files beside the notebook, and unfinished code', async () => {
    expect((await complete('const s: { aWord: number } = { aW|')).matches).toContain('aWord');
    expect((await complete("import { be| } from './lib';")).matches).toContain('beside');
    expect((await complete('if (shape.width > 2) {\n  shape.ar|')).matches).toEqual(['area']);
  });
});

describe('inspection', () => {
  it('tells signature and documentation, as text and as Markdown', async () => {
    for (const marked of ['addUp|', 'add|Up(1, 2)', 'addUp(1, |2)', 'addUp(1, |', '[addUp(|1, 2)].length']) {
      const data = await inspect(marked);
      expect(data?.['text/plain'], marked).toContain('function addUp(a: number, b: number): number');
      expect(data?.['text/markdown']).toContain('```ts\nfunction addUp(a: number, b: number): number\n```\n\nAdds up.');
      expect(data?.['text/markdown']).toContain('*@param* a the first');
    }
  });

  it('tells members', async () => {
    expect((await inspect('shape.wid|th'))?.['text/plain']).toContain('width: number');
    expect((await inspect('shape.area(|'))?.['text/plain']).toContain('area(): number');
  });

  it('finds nothing in nothing', async () => {
    expect(await inspect('|')).toBeUndefined();
    expect(await inspect('1 + |')).toBeUndefined();
  });
});

describe('expressions', () => {
  it('are evaluated after the cell, each on its own', async () => {
    const expressions = { sum: 'addUp(1, 2)', broken: 'nothing + 1', wide: 'shape', none: 'undefined' };
    const { reply } = await kernel.execute('const before = 2;', { user_expressions: expressions });
    expect(reply.content.user_expressions).toEqual({
      sum: { status: 'ok', data: { 'text/plain': '3' }, metadata: {} },
      wide: { status: 'ok', data: { 'text/plain': expect.stringContaining('width: 3') }, metadata: {} },
      none: { status: 'ok', data: { 'text/plain': 'undefined' }, metadata: {} },
      broken: {
        status: 'error',
        ename: 'WarpbookError',
        evalue: "TypeScriptError: TS2304: Cannot find name 'nothing'.",
        traceback: expect.any(Array),
      },
    });
    expect((await kernel.execute('before')).published.at(-1)?.content.data).toEqual({ 'text/plain': '2' });
  });
});

describe('a cell that asks', () => {
  it('waits for the answer', async () => {
    const code = 'console.log("before");\nconst colour = prompt("Colour?");\ncolour.toUpperCase()';
    const { published } = await kernel.execute(code, { allow_stdin: true });
    expect(streamText(published)).toBe('before\n');
    expect(published.at(-1)?.content.data).toEqual({ 'text/plain': 'BLUE' });
    expect(asked.at(-1)).toEqual(['Colour? ', false]);
  });

  it('may hide what is typed, have a default, and want a yes', async () => {
    answer = async (prompt) => (prompt.startsWith('Delete') ? 'y' : '');
    const code = '[prompt("Key?", "none", { password: true }), confirm("Delete it?")]';
    const { published } = await kernel.execute(code, { allow_stdin: true });
    expect(published.at(-1)?.content.data).toEqual({ 'text/plain': "[ 'none', true ]" });
    expect(asked.slice(-2)).toEqual([
      ['Key? [none] ', true],
      ['Delete it? [y/N] ', false],
    ]);
  });

  it('can be interrupted', async () => {
    answer = () => new Promise(() => {});
    const running = kernel.execute('prompt("Well?")', { allow_stdin: true });
    await expect.poll(() => asked.at(-1)?.[0]).toBe('Well? ');
    await kernel.client.request('control', 'interrupt_request', {});
    expect((await running).reply.content).toMatchObject({ status: 'error', ename: 'Interrupted' });
    expect((await kernel.execute('1')).reply.content.status).toBe('ok');
  });

  it('is told where nobody can answer', async () => {
    const { reply } = await kernel.execute('prompt("Anyone?")', { allow_stdin: false });
    expect(reply.content).toMatchObject({ status: 'error', ename: 'WarpbookError' });
    expect(reply.content.evalue).toContain('got a prompt where nobody can answer');
  });
});
