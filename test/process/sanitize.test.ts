/** The sanitizer command over a fake compute-sanitizer: what it runs, what it makes of the answers, how it ends. */
import { spawnSync } from 'node:child_process';
import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

const SCRIPT = join(__dirname, '../../scripts/sanitize.mjs');
/** Says what it was told, then what FAKE_<TOOL> holds; exits with FAKE_CODE. */
const FAKE = `#!/bin/sh
echo "========= COMPUTE-SANITIZER $*"
printf "\${FAKE_LINES:-}"
case "$*" in *"--part 2/3"*) printf "\${FAKE_LINES_2:-}" ;; esac
case "$2" in
  racecheck) echo "========= \${FAKE_RACECHECK:-RACECHECK SUMMARY: 0 hazards displayed (0 errors, 0 warnings)}" ;;
  memcheck) echo "========= \${FAKE_MEMCHECK:-ERROR SUMMARY: 0 errors}" ;;
  synccheck) sleep \${FAKE_SLEEP:-0}; echo "========= ERROR SUMMARY: 0 errors" ;;
  *) echo "========= ERROR SUMMARY: 0 errors" ;;
esac
exit \${FAKE_CODE:-0}
`;

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'warpbook-sanitize-test-'));
  writeFileSync(join(folder, 'compute-sanitizer'), FAKE);
  chmodSync(join(folder, 'compute-sanitizer'), 0o755);
  writeFileSync(join(folder, 'cases.js'), '');
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

function sanitize(
  args: readonly string[],
  environment: Record<string, string> = {},
): { code: number | null; out: string } {
  const all = [SCRIPT, '--cases', join(folder, 'cases.js'), '--out', join(folder, 'logs'), '--jobs', '1', ...args];
  const { status, stdout, stderr } = spawnSync(process.execPath, all, {
    encoding: 'utf8',
    env: { ...process.env, COMPUTE_SANITIZER: join(folder, 'compute-sanitizer'), ...environment },
  });
  return { code: status, out: stdout + stderr };
}

describe('sanitize', () => {
  it('runs every tool on the cases and says that there is no finding', () => {
    const { code, out } = sanitize([]);
    expect(out.split('\n').filter((line) => line !== '')).toEqual([
      expect.stringMatching(/^memcheck {3}no finding, 0 cases, 0 kernels, \d+ s, .*memcheck\.log$/),
      expect.stringMatching(/^synccheck {2}no finding/),
      expect.stringMatching(/^initcheck {2}no finding/),
      expect.stringMatching(/^racecheck {2}no finding/),
    ]);
    expect(code).toBe(0);
    const told = readFileSync(join(folder, 'logs', 'memcheck.log'), 'utf8');
    expect(told).toContain('--tool memcheck --leak-check no --report-api-errors no --error-exitcode');
    expect(told).toContain(join(folder, 'cases.js'));
  });

  it('deals the cases out to processes, and puts together what they say', () => {
    const lines = {
      FAKE_LINES: '1/2 append (0.50 s): append_kv noop\\n',
      FAKE_LINES_2: '2/2 fill (3.25 s): tensor_fill\\n',
    };
    const { code, out } = sanitize(['initcheck', '--jobs', '3'], lines);
    expect(out).toMatch(/^initcheck {2}no finding, 4 cases, 3 kernels, /m);
    expect(out).toMatch(/^slow: initcheck, fill: 3\.3 s$/m);
    expect(code).toBe(0);
    const [report] = JSON.parse(readFileSync(join(folder, 'logs', 'report.json'), 'utf8'));
    expect(report).toMatchObject({ tool: 'initcheck', ok: true, kernels: ['append_kv', 'noop', 'tensor_fill'] });
    expect(report.cases[2]).toEqual({ name: 'fill', seconds: 3.25, kernels: ['tensor_fill'] });
  });

  it('fails for kernels that no process launched, unless cases were picked', () => {
    const lines = { FAKE_LINES: 'not launched: a b\\n' };
    const missed = sanitize(['initcheck', '--jobs', '2'], lines);
    expect(missed.out).toMatch(/^initcheck: kernels that no case launches; add cases: a, b$/m);
    expect(missed.code).toBe(1);
    expect(sanitize(['initcheck', '--jobs', '2', '--case', 'append'], lines).code).toBe(0);
  });

  it('hands names of cases on, to the tools that were asked for', () => {
    const { code, out } = sanitize(['memcheck', '--case', 'decode bfloat16', '--case', 'append']);
    expect(code).toBe(0);
    expect(out.match(/no finding/g)).toHaveLength(1);
    expect(readFileSync(join(folder, 'logs', 'memcheck.log'), 'utf8')).toMatch(/cases\.js decode bfloat16 append\n/);
  });

  it.each([
    ['findings', { FAKE_MEMCHECK: 'ERROR SUMMARY: 2 errors' }, /^memcheck {3}2 findings/m],
    [
      'hazards',
      { FAKE_RACECHECK: 'RACECHECK SUMMARY: 3 hazards displayed (2 errors, 1 warning)' },
      /^racecheck {2}3 findings/m,
    ],
    ['cases that fail', { FAKE_CODE: '1' }, /^memcheck {3}no finding, but the cases failed \(exit code 1\)/m],
    [
      'no summary',
      { FAKE_MEMCHECK: 'Internal Sanitizer Error' },
      /^memcheck {3}ended \(exit code 0\) without a summary/m,
    ],
  ])('fails for %s, and shows the end of the output', (_what, environment, line) => {
    const { code, out } = sanitize([], environment);
    expect(code).toBe(1);
    expect(out).toMatch(line);
    expect(out).toContain('========= ');
  });

  it('ends in time', () => {
    const started = performance.now();
    const { code, out } = sanitize(['synccheck', 'initcheck', '--minutes', '0.01'], { FAKE_SLEEP: '30' });
    expect(performance.now() - started).toBeLessThan(15_000);
    expect(code).toBe(1);
    expect(out).toMatch(/^synccheck {2}did not end in time/m);
    expect(out).toMatch(/^initcheck {2}not run: no time left/m);
  });

  it('says what is missing', () => {
    expect(sanitize(['--jobs', '0'])).toEqual({
      code: 2,
      out: 'Got --jobs 0; wanted a whole number from 1 on.\n',
    });
    expect(sanitize(['leakcheck'])).toEqual({
      code: 2,
      out: "Got the tool 'leakcheck'; wanted memcheck, synccheck, initcheck, racecheck or all.\n",
    });
    const { code, out } = sanitize([], { COMPUTE_SANITIZER: '', CUDA_HOME: folder.slice(0, -1), PATH: '/nowhere' });
    expect(code).toBe(1);
    expect(out).toContain('Set COMPUTE_SANITIZER to its path.');
  });
});
