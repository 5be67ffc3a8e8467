/** What a failing cell tells: name, message, line, and a stack in the cell's own lines. One kernel for all. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { FailureNote, Message } from '../../src/notebook/run/protocol';
import { TestKernel, temporaryFolder } from '../support/notebooks';

const folder = temporaryFolder();
let kernel: TestKernel;
let number = 0;

beforeAll(async () => {
  kernel = await TestKernel.start({ cwd: folder });
}, 60_000);
afterAll(() => kernel.stop());

/** Runs cells of which the last must fail; the traceback counts them from 1. */
async function failureOf(...cells: string[]): Promise<FailureNote> {
  const start = number;
  for (const code of cells.slice(0, -1)) expect((await run(code)).content.status).toBe('ok');
  const { content, metadata } = await run(cells.at(-1) as string);
  expect(content.status).toBe('error');
  const note = metadata.warpbook as FailureNote;
  const fromOne = (text: string): string => text.replace(/cell (\d+)/g, (_, n) => `cell ${Number(n) - start}`);
  return { ...note, traceback: note.traceback.map(fromOne) };
}

async function run(code: string): Promise<Message> {
  number += 1;
  return kernel.client.request('shell', 'execute_request', { code }, { warpbook: { cell: number } });
}

describe('a cell fails', () => {
  it('on a wrong type, with the line and a caret', async () => {
    expect(await failureOf('const one = 1;', '// a comment\nconst text: string = one;\n')).toEqual({
      ename: 'TypeScriptError',
      evalue: "TS2322: Type 'number' is not assignable to type 'string'.",
      line: 2,
      traceback: [
        "TypeScript error TS2322 (cell 2, line 2, column 7): Type 'number' is not assignable to type 'string'.",
        '  2 | const text: string = one;',
        '    |       ^^^^',
      ],
    });
  });

  it('on several errors, each with its own excerpt, explanations indented', async () => {
    const failure = await failureOf('const p: { a: { b: string } } = { a: { b: 1 } } as { a: { b: number } };\nnope;');
    expect(failure.evalue).toMatch(/^TS2322: .* \(and 1 more\)$/);
    expect(failure.line).toBe(1);
    expect(failure.traceback).toContain("  The types of 'a.b' are incompatible between these types.");
    expect(failure.traceback).toContain("    Type 'number' is not assignable to type 'string'.");
    expect(failure.traceback).toContain("TypeScript error TS2304 (cell 1, line 2, column 1): Cannot find name 'nope'.");
  });

  it("on an unclosed bracket, at the cell's end", async () => {
    const failure = await failureOf('const open = {\n  a: 1,');
    expect(failure).toMatchObject({ evalue: "TS1005: '}' expected.", line: 2 });
    expect(failure.traceback).toEqual([
      "TypeScript error TS1005 (cell 1, line 2, column 8): '}' expected.",
      '  2 |   a: 1,',
      '    |        ^',
    ]);
  });

  it("on a throw in another cell's function, with both cells in the stack and none of the machinery", async () => {
    const definition =
      'interface Unused { a: 1 }\nfunction fail(n: number): never {\n  throw new RangeError("bad " + n);\n}';
    expect(await failureOf(definition, 'const n: number = 3;\n\nfail(n);')).toEqual({
      ename: 'RangeError',
      evalue: 'bad 3',
      line: 3,
      traceback: [
        'RangeError: bad 3',
        '    at fail (cell 1, line 3, column 9)',
        '    at cell 2, line 3, column 1',
        '',
        '  3 |   throw new RangeError("bad " + n);',
        '    |         ^',
      ],
    });
  });

  it('on a throw after an await', async () => {
    const failure = await failureOf(
      'await Promise.resolve();\nconst later = async () => {\n  await null;\n  throw new Error("async");\n};\nawait later();',
    );
    expect(failure).toMatchObject({ line: 4, evalue: 'async' });
    expect(failure.traceback.join('\n')).toContain('    at async cell 1, line 6, column');
  });

  it('on an error of the package, with its code', async () => {
    const failure = await failureOf("throw new WarpbookError('INVALID_ARGUMENT', 'got 0; wanted 1.', { what: 'n' });");
    expect(failure).toMatchObject({ ename: 'WarpbookError', evalue: 'got 0; wanted 1.', line: 1 });
    expect(failure.traceback.join('\n')).toContain("code: 'INVALID_ARGUMENT'");
  });

  it('on a cause, told with it', async () => {
    const failure = await failureOf('throw new Error("outer", { cause: new Error("inner") });');
    expect(failure.traceback.join('\n')).toMatch(/outer[\s\S]*\[cause\]: Error: inner\n\s+at cell 1, line 1/);
  });

  it('on a thrown value that is no Error', async () => {
    expect(await failureOf('throw { code: 7 };')).toEqual({
      ename: 'thrown object',
      evalue: '{ code: 7 }',
      traceback: ['Thrown, though not an Error: { code: 7 }'],
    });
    expect(await failureOf('throw "text";')).toMatchObject({ ename: 'thrown string', evalue: 'text' });
  });

  it('on an error whose own getters throw', async () => {
    const failure = await failureOf('class Bad extends Error { get message(): string { throw 1; } }\nthrow new Bad();');
    expect(failure).toMatchObject({ ename: 'Error', evalue: '' });
  });

  it('on a rejection that nobody awaits', async () => {
    const failure = await failureOf('const go = async () => { throw new Error("forgotten"); };\nvoid go();\n1');
    expect(failure).toMatchObject({ evalue: 'forgotten', line: 1 });
  });

  it('on an exception in a timer that the cell waits for', async () => {
    const failure = await failureOf(
      'await new Promise<void>((resolve) => {\n  setTimeout(() => { throw new Error("in a timer"); }, 20);\n});',
    );
    expect(failure).toMatchObject({ evalue: 'in a timer', line: 2 });
  });

  it('on a package that does not exist', async () => {
    const failure = await failureOf("import { x } from 'no-such-package-here';\nx");
    expect(failure).toMatchObject({ ename: 'TypeScriptError', line: 1 });
    expect(failure.evalue).toContain("Cannot find module 'no-such-package-here'");
  });
});
