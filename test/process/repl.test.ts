/** The terminal REPL: from a pipe as a script would use it, and on a terminal (a pty of the `script` command) as a person does. */
import { spawn, spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { stripVTControlCharacters } from 'node:util';
import { beforeAll, describe, expect, it } from 'vitest';
import { packageRoot } from '../../src/notebook/kernel/package-paths';
import { requireBuilt, temporaryFolder } from '../support/notebooks';

const cli = join(packageRoot, 'dist', 'cli', 'main.js');
const folder = temporaryFolder();
beforeAll(requireBuilt);

interface Done {
  readonly out: string;
  readonly err: string;
  readonly code: number | null;
}

function pipe(input: string): Promise<Done> {
  return new Promise((resolve) => {
    const child = spawn(process.execPath, [cli, 'repl'], { cwd: folder });
    let out = '';
    let err = '';
    child.stdout.on('data', (text) => {
      out += text;
    });
    child.stderr.on('data', (text) => {
      err += text;
    });
    child.on('close', (code) => resolve({ out, err, code }));
    child.stdin.end(input);
  });
}

// Real processes and real clocks, on machines that may be busy: what fails is asked once more.
describe.concurrent('piped input', { timeout: 60_000, retry: 1 }, () => {
  it('is run statement by statement', async () => {
    const { out, err, code } = await pipe(`const square = (n: number): number => {
  return n * n;
};

square(7)
if (square(1) > 2) {
  console.log('never');
}
else {
  console.log('else');
}
await Promise.resolve('awaited')
[3, 1, 2]
  .sort()
  .join('-')
typeof BatchDecode`);
    expect({ out, err, code }).toEqual({ out: '49\nelse\nawaited\n1-2-3\nfunction\n', err: '', code: 0 });
  });

  it('shows displays as text', async () => {
    const { out, code } = await pipe('table([{ a: 1, b: "x" }, { a: 22, b: "y" }])\n');
    expect(out).toContain('22');
    expect(code).toBe(0);
  });

  it('ends with the first failure, and exit code 1', async () => {
    const { out, err, code } = await pipe('console.log("one")\nthrow new RangeError("two")\nconsole.log("three")\n');
    expect(out).toBe('one\n');
    expect(err).toContain('RangeError: two\n    at cell 2, line 1, column 7');
    expect(code).toBe(1);
  });

  it('tells what is wrong with an unfinished end', async () => {
    const { err, code } = await pipe('const a = 1;\nfunction f() {\n');
    expect(err).toMatch(/TS1005 .*: '}' expected/);
    expect(code).toBe(1);
  });

  it('tells of a kernel that died', async () => {
    const { err, code } = await pipe('process.exit(3)\n1\n');
    expect(err).toContain("warpbook: The kernel's process exited with code 3.");
    expect(code).toBe(1);
  });
});

const hasScript = process.platform === 'linux' && spawnSync('script', ['--version']).status === 0;

/** A session on a pseudo-terminal: waits for a text, types the next. */
class Terminal {
  private readonly child;
  private seen = '';
  private from = 0;

  constructor() {
    const command = `${process.execPath} ${cli} repl`;
    this.child = spawn('script', ['-qec', command, '/dev/null'], {
      cwd: folder,
      env: {
        ...process.env,
        WARPBOOK_HISTORY: join(folder, 'history'),
        TERM: 'xterm',
        NO_COLOR: undefined,
        CI: undefined,
      },
    });
    this.child.stdout.on('data', (chunk) => {
      this.seen += chunk;
    });
  }

  get text(): string {
    return stripVTControlCharacters(this.seen);
  }

  /** Waits for `wanted` behind what was waited for before. */
  async expect(...anyOf: readonly string[]): Promise<void> {
    const wanted = anyOf.join(' or ');
    const find = (): number => Math.max(...anyOf.map((text) => this.text.indexOf(text, this.from)));
    await expect
      .poll(find, {
        timeout: 20_000,
        message: `wanted ${wanted} in ${this.text}`,
      })
      .toBeGreaterThanOrEqual(0);
    this.from = find() + Math.min(...anyOf.map((text) => text.length));
  }

  type(keys: string): void {
    this.child.stdin.write(keys);
  }

  async end(): Promise<number | null> {
    this.type('\u0004');
    return new Promise((resolve) => this.child.on('close', resolve));
  }
}

describe.skipIf(!hasScript)('a terminal (needs script)', { timeout: 120_000, retry: 1 }, () => {
  it('edits, completes, continues, interrupts, asks, restarts, and keeps a history', async () => {
    const terminal = new Terminal();
    await terminal.expect('> ');
    terminal.type('6 * 7\r');
    await terminal.expect('\n42');
    await terminal.expect('> ');

    terminal.type('const f = (n: number) => {\r');
    // Node 24 continues lines with a bar.
    await terminal.expect('... ', '| ');
    terminal.type('return n + 1; };\r');
    await terminal.expect('> ');
    terminal.type('f(1)\r');
    await terminal.expect('\n2');
    await terminal.expect('> ');

    terminal.type('policies.binaryS\t');
    await terminal.expect('policies.binarySearch');
    terminal.type('.name\r');
    await terminal.expect('> ');

    terminal.type('await null; for (;;) {}\r');
    await new Promise((resolve) => setTimeout(resolve, 1000));
    terminal.type('\u0003');
    await terminal.expect('Interrupted: The cell was interrupted.');
    await terminal.expect('> ');

    terminal.type('prompt("Name?") + "!"\r');
    await terminal.expect('Name? ');
    terminal.type('Ada\r');
    await terminal.expect('\nAda!');
    await terminal.expect('> ');

    terminal.type('throw new Error("fault")\r');
    await terminal.expect('Error: fault');
    await terminal.expect('> ');

    terminal.type('process.exit(4)\r');
    await terminal.expect("The kernel's process exited with code 4. A new one is starting; variables are gone.");
    await terminal.expect('> ');
    terminal.type('typeof f\r');
    await terminal.expect("Cannot find name 'f'");
    await terminal.expect('> ');
    expect(await terminal.end()).toBe(0);
    expect(readFileSync(join(folder, 'history'), 'utf8').split('\n')).toContain('6 * 7');
  });
});
