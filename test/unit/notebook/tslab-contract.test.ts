/**
 * The inner interfaces of tslab that the kernel stands on. They are undocumented: if one of these tests fails after an
 * upgrade, read src/notebook/kernel/tslab.ts and compiler.ts before anything else.
 */

import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { installAwaitGuard } from '../../../src/notebook/kernel/await-guard';
import { CellCompiler } from '../../../src/notebook/kernel/compiler';
import { packageRoot } from '../../../src/notebook/kernel/package-paths';
import { exportedNames } from '../../../src/notebook/kernel/prelude';
import { temporaryFolder } from '../../support/notebooks';

const folder = temporaryFolder();
let compiler: CellCompiler;
let declarations = '';

function convert(source: string, name: string = 'script') {
  compiler.beginScript(name);
  return compiler.wrapped.convert(declarations, source);
}

const before = process.cwd();

beforeAll(() => {
  process.chdir(folder);
  compiler = new CellCompiler(() => '');
}, 60_000);
afterAll(() => {
  compiler.close();
  process.chdir(before);
});

describe('tslab', () => {
  it('is the version that all of this was tried with', () => {
    expect(require('tslab/package.json').version).toBe('1.0.22');
    expect(require(join(packageRoot, 'package.json')).dependencies.tslab).toBe('1.0.22');
    expect(compiler.tslab.ts.version).toBe('5.0.4');
  });

  it('converts a cell to CommonJS, and says where the last expression is and what was declared', () => {
    const result = convert('const x: number = await Promise.resolve(1);\nx + 1');
    expect(result.diagnostics).toEqual([]);
    expect(result.hasToplevelAwait).toBe(true);
    expect(result.lastExpressionVar).toBe('tsLastExpr');
    expect(result.output).toMatch(/^\n[\s\S]*exports\.tsLastExpr = x \+ 1;[\s\S]*\n\/\/# sourceURL=script$/);
    expect(result.output).not.toContain('sourceMappingURL');
    expect(result.declOutput).toContain('declare const x: number;');
    declarations = result.declOutput as string;
  });

  it('knows earlier declarations, and gives the place of each diagnostic', () => {
    expect(convert('x.toFixed(1)').diagnostics).toEqual([]);
    convert('\n  x.nope');
    expect(compiler.diagnostics).toMatchObject([
      { start: { line: 1, character: 4 }, end: { line: 1, character: 8 }, code: 2339, fileName: undefined },
    ]);
  });

  it('asks the hooks: newer library, strict null checks, packages with exports alone', () => {
    expect(convert('[1].findLast((n) => n > 0)').diagnostics).toEqual([]);
    expect(convert('const s: string = null;').diagnostics).toHaveLength(1);
    expect(convert("import { compile } from 'vega-lite';\ncompile.length").diagnostics).toEqual([]);
  });

  it('keeps maps of what it emits, for cells and for imported files', () => {
    writeFileSync(
      join(folder, 'lib.ts'),
      'interface Gone {\n  a: number;\n}\nexport const fails = (): never => { throw new Error(); };\n',
    );
    const source = "import { fails } from './lib';\ninterface Gone {\n  a: number;\n}\nfails();";
    const { output = '', sideOutputs = [], diagnostics } = convert(source, 'mapped');
    expect(diagnostics).toEqual([]);
    const lines = output.split('\n');
    const line = lines.findIndex((text) => text.includes('fails)()')) + 1;
    expect(line).toBeGreaterThan(0);
    expect(compiler.mapper('mapped')?.({ line, column: lines[line - 1].indexOf('(0,') + 1 })?.line).toBe(5);
    const path = join(folder, 'lib.js');
    expect(sideOutputs.map((side) => side.path)).toEqual([path]);
    const side = sideOutputs[0].data.split('\n');
    const at = side.findIndex((text) => text.includes('throw')) + 1;
    expect(compiler.mapper(path)?.({ line: at, column: side[at - 1].indexOf('throw') + 1 })?.line).toBe(4);
    expect(compiler.mapper('elsewhere')).toBeUndefined();
  });

  it('runs what it converted: values, errors and names as the kernel expects them', async () => {
    const logged: unknown[] = [];
    const errors: unknown[][] = [];
    const executor = compiler.tslab.createExecutor(
      folder,
      { node: compiler.wrapped, browser: compiler.wrapped, close: () => undefined },
      { log: (value) => logged.push(value), error: (...args) => errors.push(args) },
    );
    compiler.beginScript('run-1');
    expect(await executor.execute('const a = 20; a + 1')).toBe(true);
    expect(logged).toEqual([21]);
    expect(executor.locals.a).toBe(20);
    expect(await executor.execute('throw new Error("x")')).toBe(false);
    expect(errors.at(-1)).toHaveLength(1);
    installAwaitGuard((value) => value);
    const waiting = executor.execute('await new Promise(() => {})');
    executor.interrupt();
    expect(await waiting).toBe(false);
    expect(errors.at(-1)).toEqual([new Error('Interrupted asynchronously')]);
    expect(executor.complete('a.toFi', 6).candidates).toContain('toFixed');
    expect(compiler.tslab.printQuickInfo(executor.inspect('a', 0))).toContain('const a: 20');
    compiler.prepare('exports.made = 5; exports.tsLastExpr = 6;', 'declare const made: number;\n', 'tsLastExpr');
    expect(await executor.execute('')).toBe(true);
    expect(await executor.execute('made * 2')).toBe(true);
    expect(logged.slice(1)).toEqual([6, 10]);
  });

  it('tells whether code is complete', () => {
    expect(compiler.tslab.isCompleteCode('if (a) {')).toEqual({ completed: false, indent: '  ' });
    expect(compiler.tslab.isCompleteCode('a')).toEqual({ completed: true });
  });
});

describe('the prelude', () => {
  it('finds what a declaration file exports', () => {
    writeFileSync(join(folder, 'part.d.ts'), 'export declare const fromPart: number;\nexport default 1;\n');
    writeFileSync(
      join(folder, 'index.d.ts'),
      [
        "export { a, type B, c as d } from './x';",
        "export type { E } from './x';",
        "export * from './part';",
        "export * as space from './part';",
        'export declare class F {}',
        'export declare function g(): void;',
        'export interface H {}',
        'declare const hidden: number;',
        'export declare const i: number, j: string;',
      ].join('\n'),
    );
    const names = [...exportedNames(compiler.tslab.ts, join(folder, 'index.d.ts'))].sort();
    expect(names).toEqual(['B', 'E', 'F', 'H', 'a', 'd', 'fromPart', 'g', 'i', 'j', 'space']);
  });
});
