import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { main } from '../../../src/cli/main';
import { packageVersion } from '../../../src/notebook/kernel/package-paths';
import { runNotebook } from '../../../src/notebook/run/run-notebook';
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
    [['run', 'a.ipynb', '--jobs', '0'], 'Wanted a whole number from 1.'],
    [['run', 'a.ipynb', '--html'], 'error: --html needs --out <dir> or --write-back'],
    [
      ['run', 'x/a.ipynb', 'y/a.ipynb', '--out', 'o'],
      "error: two notebooks are named 'a'; with --out each needs a name of its own",
    ],
    [['run', 'a.ipynb', '-p', '5=6'], "got the parameter '5=6'; wanted name=value, such as batch=64."],
    [['install', '--here', '--prefix', 'p'], "option '--prefix <dir>' cannot be used with option '--here'"],
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

  it('takes parameters, writes back, and reports to CI', async () => {
    requireBuilt();
    const sweep = writeFixture(folder, 'sweep', [
      { source: 'const batch: number = 8;\nconst dtype: string = "float32";', tags: ['parameters'] },
      '[batch, dtype]',
      'console.log("<b>&\\u001b[31m");\nthrow new Error("]]>");',
      '"not reached"',
    ]);
    const junit = join(folder, 'junit', 'report.xml');
    const args = ['run', sweep, '-p', 'batch=64', '-p', 'dtype=bfloat16', '--write-back', '--html', '--junit', junit];
    expect(await main(args)).toBe(1);
    const { cells } = JSON.parse(readFileSync(sweep, 'utf8'));
    expect(cells[1]).toMatchObject({ metadata: { tags: ['injected-parameters'] } });
    expect(cells[1].source.join('')).toBe('// Parameters of this run\nconst batch = 64;\nconst dtype = "bfloat16";');
    expect(cells[2].outputs[0].data).toEqual({ 'text/plain': ["[ 64, 'bfloat16' ]"] });
    expect(existsSync(join(folder, 'sweep.html'))).toBe(true);
    const xml = readFileSync(junit, 'utf8');
    expect(xml).toContain('tests="5" failures="1" errors="0" skipped="1"');
    expect(xml).toContain(`message="${sweep}, cell 4, line 2: Error: ]]>`);
    // biome-ignore lint/suspicious/noControlCharactersInRegex: XML has none
    expect(xml).not.toMatch(/[\u0000-\u0008\u000b-\u001f]/);

    // Once more: the injected cell is replaced.
    await main(['run', sweep, '-p', 'batch=2', '--write-back']);
    const again = JSON.parse(readFileSync(sweep, 'utf8')).cells;
    expect(again).toHaveLength(5);
    expect(again[2].outputs[0].data).toEqual({ 'text/plain': ["[ 2, 'float32' ]"] });
  });

  it('refuses parameters that the notebook has not, with exit code 2', async () => {
    requireBuilt();
    const file = writeFixture(folder, 'parameters', [{ source: 'const batch = 8;', tags: ['parameters'] }]);
    expect(await main(['run', file, '-p', 'bacth=4'])).toBe(2);
    expect(err).toContain("got the parameter 'bacth'; wanted one of batch, which its 'parameters' cell declares.");
    expect(await main(['run', writeFixture(folder, 'none', ['1']), '-p', 'batch=4'])).toBe(2);
    expect(err).toContain("wanted a code cell tagged 'parameters'.");
  });

  it('skips cells that want a GPU, by name, where there is none', async () => {
    requireBuilt();
    const file = writeFixture(folder, 'gpu', [{ source: 'throw new Error("a GPU");', tags: ['gpu'] }, '1']);
    const hidden = { env: { CUDA_VISIBLE_DEVICES: '' } };
    const report = await runNotebook(file, hidden);
    expect(report.failure).toBeUndefined();
    expect(report.cells[0]).toMatchObject({
      status: 'skipped',
      reason: expect.stringMatching(/^it is tagged 'gpu', and /),
    });
  });
});
