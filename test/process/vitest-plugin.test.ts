/** Notebooks as tests in a project of one's own: what passes, fails and is skipped, and what a failure tells. */
import { execFile } from 'node:child_process';
import { mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { beforeAll, describe, expect, it } from 'vitest';
import { packageRoot } from '../../src/notebook/kernel/package-paths';
import { requireBuilt, temporaryFolder, writeFixture } from '../support/notebooks';

interface Result {
  readonly tests: Readonly<Record<string, { readonly status: string; readonly message: string }>>;
  readonly text: string;
  readonly code: number;
}

const folder = temporaryFolder();

/** Runs Vitest in the project, as its user would. */
async function vitest(...args: string[]): Promise<Result> {
  const command = [join(packageRoot, 'node_modules/vitest/vitest.mjs'), 'run', '--no-color', '--no-file-parallelism'];
  const reporters = ['--reporter=json', '--reporter=default', '--reporter=junit', '--outputFile.json=report.json'];
  const all = [...command, ...reporters, '--outputFile.junit=junit.xml', ...args];
  const done = await promisify(execFile)(process.execPath, all, { cwd: folder, env: { ...process.env, CI: '' } }).then(
    ({ stdout, stderr }) => ({ text: stdout + stderr, code: 0 }),
    ({ stdout, stderr, code }) => ({ text: stdout + stderr, code: code as number }),
  );
  const report = JSON.parse(readFileSync(join(folder, 'report.json'), 'utf8'));
  const tests: Record<string, { status: string; message: string }> = {};
  for (const file of report.testResults) {
    for (const { fullName, status, failureMessages } of file.assertionResults) {
      tests[fullName] = { status, message: failureMessages.join('\n') };
    }
  }
  return { tests, ...done };
}

let all: Result;

beforeAll(async () => {
  requireBuilt();
  mkdirSync(join(folder, 'node_modules'));
  for (const name of ['vitest', 'vite']) {
    symlinkSync(join(packageRoot, 'node_modules', name), join(folder, 'node_modules', name));
  }
  symlinkSync(packageRoot, join(folder, 'node_modules', 'warpbook'));
  writeFileSync(
    join(folder, 'vitest.config.mjs'),
    `import { notebooks } from 'warpbook/vitest';
export default { plugins: [notebooks({ cellTimeoutS: 20, parameters: { size: 7 }, sanitize: [[/seed \\d+/g, 'seed <n>']] })] };`,
  );
  writeFixture(folder, 'good', [
    { source: '# Title', type: 'markdown' },
    { source: 'const size: number = 3;', tags: ['parameters'] },
    '// test: has the value of this run\nif (size !== 7) throw new Error(String(size));',
    { source: 'throw new Error("skipped")', tags: ['skip-execution'] },
    { source: 'throw new Error("wanted")', tags: ['raises-exception'] },
    { source: 'throw new Error("no GPU here")', tags: ['gpu'] },
    { source: 'console.log("took 12.5 ms, seed 42")', tags: ['check-output'], outputs: 'took 3 ms, seed 7\n' },
    { source: 'console.log(6 * 7)', tags: ['snapshot'] },
  ]);
  writeFixture(folder, 'bad', [
    'const start = 1;',
    'console.log("printed before");\nconst n: number = start;\nthrow new RangeError("bad " + n);',
    '"never run"',
  ]);
  writeFixture(folder, 'differs', [{ source: 'console.log("now")', tags: ['check-output'], outputs: 'then\n' }]);
  writeFixture(folder, 'late', ['setTimeout(() => { throw new Error("late"); }, 300);']);
  writeFixture(folder, 'slow', [{ source: 'for (;;) {}', timeoutS: 1 }]);
  writeFixture(folder, 'python', ['1'], 'python3');
  writeFileSync(join(folder, 'broken.ipynb'), '{ "cells": [');
  writeFixture(folder, 'module', [
    { source: 'const size: number = 3;', tags: ['parameters'] },
    'const table = new Float32Array(size).fill(0.5);\nconst total = (scale: number) => scale * table.reduce((a, b) => a + b, 0);',
    'console.log(total(2)); total(1)',
    'throw new Error("too far")',
  ]);
  writeFileSync(
    join(folder, 'module.test.mjs'),
    `import { afterAll, expect, it } from 'vitest';
import { openNotebook } from 'warpbook/vitest';
const notebook = await openNotebook('module.ipynb', { parameters: { size: 4 } });
afterAll(() => notebook.close());
it('is read', async () => {
  await notebook.run(4);
  expect(await notebook.value('table')).toEqual(new Float32Array([0.5, 0.5, 0.5, 0.5]));
  expect(await notebook.call('total', 10)).toBe(20);
  expect(await notebook.value('undefined')).toBe(undefined);
  expect(notebook.text(4)).toBe('4\\n2\\n');
  await expect(notebook.value('total')).rejects.toMatchObject({ code: 'NOTEBOOK_FAILED' });
  await expect(notebook.value('nothing')).rejects.toThrow("Cannot find name 'nothing'");
  await expect(notebook.run()).rejects.toThrow('module.ipynb, cell 5, line 1: Error: too far');
});`,
  );
  all = await vitest();
}, 180_000);

const statusOf = (name: string): string | undefined => {
  const found = Object.entries(all.tests).find(([full]) => full.startsWith(name));
  return found?.[1].status;
};

describe('notebooks in a project', () => {
  it('are test files whose cells are tests, with the parameters of the configuration', () => {
    expect(statusOf('good.ipynb cell 1: const size: number = 3;')).toBe('passed');
    expect(statusOf('good.ipynb cell 2: has the value of this run')).toBe('passed');
    expect(statusOf('good.ipynb after the last cell')).toBe('passed');
    expect(all.code).toBe(1);
  });

  it('follow their tags', () => {
    expect(statusOf('good.ipynb cell 3')).toBe('skipped');
    expect(statusOf('good.ipynb cell 4')).toBe('passed');
    if (!process.env.CUDA_VISIBLE_DEVICES) expect(statusOf('good.ipynb cell 5')).toBe('skipped');
    expect(statusOf('good.ipynb cell 6')).toBe('passed');
    expect(statusOf('good.ipynb cell 7')).toBe('passed');
  });

  it('fail with the cell, its line, its source and its output', () => {
    const { status, message } = all.tests['bad.ipynb cell 2: console.log("printed before");'];
    expect(status).toBe('failed');
    expect(message).toContain('cell 2, line 3: RangeError: bad 1');
    expect(message).toContain('> 3 | throw new RangeError("bad " + n);');
    expect(message).toContain('--- output\nprinted before\n');
    const lines = readFileSync(join(folder, 'bad.ipynb'), 'utf8').split('\n');
    const line = lines.findIndex((text) => text.includes('RangeError')) + 1;
    expect(message).toContain(`bad.ipynb:${line}:1`);
    expect(statusOf('bad.ipynb cell 1')).toBe('passed');
    expect(statusOf('bad.ipynb cell 3')).toBe('skipped');
  });

  it('fail on other outputs, on late failures, at limits, for another kernel, and where the file is broken', () => {
    const differs = all.tests['differs.ipynb cell 1: console.log("now")'];
    expect(differs.message).toContain('differs.ipynb, cell 1: its output differs from the stored one');
    expect(all.tests['late.ipynb after the last cell'].message).toContain(
      'cell 1, line 1: uncaught exception after the cell had ended: Error: late',
    );
    expect(all.tests['slow.ipynb cell 1: for (;;) {}'].message).toContain(
      'timed out: the limit is 1 s for a cell; it was interrupted.',
    );
    expect(all.text).toContain("python.ipynb: got a notebook for the kernel 'python3'; wanted 'warpbook'");
    expect(all.text).toContain('broken.ipynb, line 1: got the end of the file; wanted a JSON value.');
  });

  it('can be read as modules', () => {
    expect(all.tests['is read']).toEqual({ status: 'passed', message: '' });
  });

  it('are in the JUnit report, cell by cell', () => {
    const xml = readFileSync(join(folder, 'junit.xml'), 'utf8');
    expect(xml).toContain('name="bad.ipynb &gt; cell 2: console.log(&quot;printed before&quot;);"');
    expect(xml).toContain('<skipped/>');
  });

  it('run what a filtered cell needs', async () => {
    const good = await vitest('good.ipynb', '-t', 'has the value of this run');
    expect(good.code).toBe(0);
    const bad = await vitest('bad.ipynb', '-t', 'cell 3');
    expect(bad.code).toBe(1);
    expect(bad.tests['bad.ipynb cell 3: "never run"'].message).toContain('cell 2, line 3: RangeError: bad 1');
  }, 120_000);
});
