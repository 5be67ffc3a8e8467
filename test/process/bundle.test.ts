/** The bundle for GPU hosts, unpacked and run in an empty environment: nothing that it needs is left out. */
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

const ROOT = join(__dirname, '../..');
const BUILD_MS = 240_000;
/** The bundle's Node and addon are for this platform. */
const isX64Linux = process.platform === 'linux' && process.arch === 'x64';
let folder: string;
let bundle: string;

beforeAll(() => {
  if (!isX64Linux) return;
  folder = mkdtempSync(join(tmpdir(), 'warpbook-bundle-'));
  const archive = join(folder, 'build', 'bundle.tar.xz');
  // Without kernels: those are compiled by build-kernels, which has tests of its own.
  const args = ['scripts/bundle-gpu.mjs', '--arch', 'none', '--fast', '--out', archive];
  execFileSync(process.execPath, args, { cwd: ROOT, stdio: ['ignore', 'ignore', 'inherit'] });
  rmSync(join(folder, 'build', 'warpbook-gpu'), { recursive: true });
  execFileSync('tar', ['-xJf', archive, '-C', folder]);
  bundle = join(folder, 'warpbook-gpu');
}, BUILD_MS);
afterAll(() => {
  if (isX64Linux) rmSync(folder, { recursive: true, force: true });
});

/** The launcher with nothing in its environment, in another folder than its own. */
function warpbook(...args: string[]): { code: number | null; out: string; err: string } {
  const { status, stdout, stderr } = spawnSync(join(bundle, 'warpbook'), args, {
    cwd: folder,
    encoding: 'utf8',
    env: { HOME: folder, WARPBOOK_CUDA_LIBRARY: '/nowhere/libcuda.so.1' },
  });
  return { code: status, out: stdout, err: stderr };
}

describe.runIf(isX64Linux)('the bundle, in an empty environment', () => {
  it('says what the host has and lacks', () => {
    const { code, out } = warpbook('doctor');
    expect(out).toContain('missing  driver: Got no CUDA driver at WARPBOOK_CUDA_LIBRARY=/nowhere/libcuda.so.1');
    expect(code).toBe(1);
  });

  it('runs the first notebook, pictures included', () => {
    const { code, err } = warpbook(
      'run',
      join(bundle, 'notebooks', '01-first-decode.ipynb'),
      '--out',
      folder,
      '--html',
    );
    expect(err).not.toMatch(/Error|failed/);
    expect(code).toBe(0);
    expect(readFileSync(join(folder, '01-first-decode.html'), 'utf8')).toContain('data:image/png;base64,');
  }, 60_000);

  it('benches', () => {
    const { code, out } = warpbook(
      'bench',
      'decode',
      '--device',
      'cpu',
      '--rows',
      '1x64',
      '--heads',
      '2/1',
      '--rotate-mb',
      '4',
      '--seconds',
      '0.1',
    );
    expect(out).toContain('median µs');
    expect(code).toBe(0);
  });

  it('has what device tests and sanitizer cases load', () => {
    const tests = readdirSync(join(bundle, 'test', 'device')).filter((name) => name.endsWith('.js'));
    expect(tests.length).toBeGreaterThan(3);
    const node = join(bundle, 'bin', 'node');
    for (const name of tests) {
      const source = readFileSync(join(bundle, 'test', 'device', name), 'utf8');
      const loaded = [...source.matchAll(/require\("(\.[^"]+)"\)/g)].map(([, path]) =>
        join(bundle, 'test', 'device', path),
      );
      for (const path of loaded) {
        const { status, stderr } = spawnSync(node, ['-p', `require.resolve(${JSON.stringify(path)})`], {
          encoding: 'utf8',
        });
        expect(status, `${name}: ${stderr}`).toBe(0);
      }
    }
  }, 60_000);

  it('finds the sanitizer cases, and says what it lacks', () => {
    const { code, err } = warpbook('sanitize');
    expect(err).toMatch(/Got no compute-sanitizer|Got no cases/);
    expect(code).toBe(1);
  });

  it('is small enough to travel', () => {
    expect(statSync(join(folder, 'build', 'bundle.tar.xz')).size).toBeLessThan(52 * 2 ** 20);
  });
});
