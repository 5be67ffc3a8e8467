/**
 * What the tests with real clients need beside Node: a virtual environment with JupyterLab, nbclient, nbconvert and
 * jupyter_console, and a browser. Each is found, or named as missing; nothing outside .cache/ is written. Tests,
 * benches and scripts share it.
 */
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { accessSync, constants, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { packageRoot } from '../src/notebook/kernel/package-paths';

const folder = join(packageRoot, '.cache', 'clients');
const requirements = join(packageRoot, 'test', 'clients', 'requirements.txt');
const constraints = join(packageRoot, 'test', 'clients', 'constraints.txt');
const BROWSERS = ['chromium', 'chromium-browser', 'google-chrome', 'google-chrome-stable', 'chrome'];
/** Whoever has all of it elsewhere. */
const IMPORTS = 'import jupyterlab, nbclient, nbconvert, jupyter_console, pexpect';

/**
 * A Python with the clients: WARPBOOK_PYTHON where it has them, else the environment in .cache/clients, made on the first
 * call.
 */
export function clientPython(): { python: string } | { missing: string } {
  const { WARPBOOK_PYTHON: named } = process.env;
  if (named && spawnSync(named, ['-c', IMPORTS]).status === 0) return { python: named };
  if (named && spawnSync(named, ['--version']).status !== 0) {
    return { missing: `WARPBOOK_PYTHON names no Python: ${named}` };
  }
  const base = named ?? 'python3';
  const python = join(folder, process.platform === 'win32' ? 'Scripts/python.exe' : 'bin/python');
  const wanted = createHash('sha256')
    .update(readFileSync(requirements))
    .update(readFileSync(constraints))
    .digest('hex');
  const stamp = join(folder, 'made-from');
  if (existsSync(stamp) && readFileSync(stamp, 'utf8') === wanted && spawnSync(python, ['-c', IMPORTS]).status === 0) {
    return { python };
  }
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  const steps: readonly (readonly [string, string[], string])[] = [
    [base, ['-m', 'venv', folder], `${base} makes no virtual environment`],
    [
      python,
      ['-m', 'pip', 'install', '--quiet', '--disable-pip-version-check', '-r', requirements, '-c', constraints],
      `pip could not install ${requirements}`,
    ],
  ];
  for (const [command, args, problem] of steps) {
    const { status, error, stderr } = spawnSync(command, args, { encoding: 'utf8' });
    if (status !== 0) {
      const last = (error?.message ?? stderr ?? '').trim().split('\n').at(-1);
      return { missing: `${problem}: ${last}` };
    }
  }
  writeFileSync(stamp, wanted);
  return { python };
}

/** A Chromium or Chrome: WARPBOOK_BROWSER, else the first of the usual names in PATH. */
export function clientBrowser(): { browser: string } | { missing: string } {
  const { WARPBOOK_BROWSER: named, PATH = '' } = process.env;
  if (named !== undefined) {
    return isExecutable(named) ? { browser: named } : { missing: `WARPBOOK_BROWSER names no program: ${named}` };
  }
  for (const path of PATH.split(delimiter)) {
    const found = BROWSERS.map((name) => join(path, name)).find(isExecutable);
    if (found) return { browser: found };
  }
  return { missing: 'no Chromium or Chrome in PATH (WARPBOOK_BROWSER may name one)' };
}

function isExecutable(file: string): boolean {
  try {
    accessSync(file, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
