import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { main } from '../../../src/cli/main';
import { packageVersion } from '../../../src/notebook/kernel/package-paths';
import { notebookJson, requireBuilt, temporaryFolder, writeFixture } from '../../support/notebooks';

const folder = temporaryFolder();
let out = '';
let err = '';

beforeEach(() => {
  out = '';
  err = '';
  vi.spyOn(process.stdout, 'write').mockImplementation((text) => {
    out += text;
    return true;
  });
  vi.spyOn(process.stderr, 'write').mockImplementation((text) => {
    err += text;
    return true;
  });
});
afterEach(() => {
  vi.restoreAllMocks();
  process.exitCode = undefined;
});

describe('the command line', () => {
  it('tells its version and its commands', async () => {
    expect(await main(['--version'])).toBe(0);
    expect(out).toBe(`${packageVersion()}\n`);
    expect(await main(['--help'])).toBe(0);
    for (const command of ['run', 'install', 'uninstall']) expect(out).toContain(`  ${command} [options]`);
    expect(await main(['run', '--help'])).toBe(0);
    expect(out).toContain(
      'Exit codes: 0 every notebook ran well, 1 a notebook failed or could not be read, 2 wrong usage.',
    );
  });

  it.each([
    [[], 'Usage: warpbook'],
    [['frobnicate'], "error: unknown command 'frobnicate'"],
    [['run'], "error: missing required argument 'notebook'"],
    [['run', 'a.ipynb', '--timeout', 'soon'], 'Wanted a number of seconds above 0.'],
    [['run', 'a.ipynb', '--cell-timeout', '0'], 'Wanted a number of seconds above 0.'],
    [['run', 'a.ipynb', '--html'], 'error: --html needs --out <dir>: that is where the page goes'],
    [
      ['run', 'x/a.ipynb', 'y/a.ipynb', '--out', 'o'],
      "error: two notebooks are named 'a'; with --out each needs a name of its own",
    ],
    [['install', '--user', '--prefix', 'p'], "option '--user' cannot be used with option '--prefix <dir>'"],
  ])('refuses %j with exit code 2', async (args, text) => {
    expect(await main(args)).toBe(2);
    expect(err).toContain(text);
  });

  it('installs and uninstalls the kernel', async () => {
    expect(await main(['install', '--prefix', folder])).toBe(0);
    expect(existsSync(join(folder, 'share/jupyter/kernels/warpbook/kernel.json'))).toBe(true);
    expect(await main(['uninstall', '--prefix', folder])).toBe(0);
    expect(await main(['uninstall', '--prefix', folder])).toBe(1);
    expect(err).toContain('warpbook: got no kernelspec at');
  });
});

describe('run', { timeout: 90_000 }, () => {
  it('goes on after broken, missing and failing notebooks, writes what it can, and fails', async () => {
    requireBuilt();
    const broken = join(folder, 'broken.ipynb');
    writeFileSync(broken, notebookJson(['1']).replace('"cells": [', '"cells": [,'));
    const failing = writeFixture(folder, 'failing', ['console.log("printed");\n(null as any).x;']);
    const good = writeFixture(folder, 'good', [{ source: '# Good', type: 'markdown' }, '6 * 7']);
    const target = join(folder, 'out');
    const code = await main([
      'run',
      broken,
      join(folder, 'none.ipynb'),
      failing,
      good,
      '--out',
      target,
      '--html',
      '--print',
    ]);
    expect(code).toBe(1);
    expect(err).toContain(`FAILED ${broken}, line 10: got ","; wanted a JSON value. The file is no valid JSON.`);
    expect(err).toContain(`FAILED got '${join(folder, 'none.ipynb')}', which does not exist`);
    expect(err).toContain(`FAILED ${failing}, cell 1, line 2: TypeError: Cannot read properties of null (reading 'x')`);
    expect(err).toContain(`ok ${good}: 1 cells in`);
    expect(err).toContain('1 of 4 notebooks ran well.');
    expect(out).toContain('printed\n');
    expect(out).toContain('42\n');
    const written = JSON.parse(readFileSync(join(target, 'good.ipynb'), 'utf8'));
    expect(written.cells[1].outputs[0].data).toEqual({ 'text/plain': ['42'] });
    expect(JSON.parse(readFileSync(join(target, 'failing.ipynb'), 'utf8')).cells[0].outputs[1].ename).toBe('TypeError');
    expect(readFileSync(join(target, 'good.html'), 'utf8')).toContain('<title>Good</title>');
    expect(JSON.parse(readFileSync(good, 'utf8')).cells[1].outputs).toEqual([]);
  });
});
