/**
 * Who may talk to a kernel: the connection file, with the key of all signatures, is its owner's alone, and the sockets
 * listen on loopback. That a message with a wrong signature is refused: kernel-protocol.test.ts.
 */
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import type { ICodeCell } from '@jupyterlab/nbformat';
import { describe, expect, it } from 'vitest';
import { packageRoot } from '../../src/notebook/kernel/package-paths';
import { joinLines } from '../../src/notebook/run/notebook-file';
import { runNotebook } from '../../src/notebook/run/run-notebook';
import { requireBuilt, temporaryFolder, writeFixture } from '../support/notebooks';

interface Seen {
  readonly mode: string;
  readonly folderMode: string;
  readonly info: { readonly ip: string; readonly key: string; readonly signature_scheme: string };
  /** Hexadecimal local addresses on which the kernel's ports listen. */
  readonly listening: readonly string[];
}

const temporary = temporaryFolder();

/** Said by the kernel itself, on one line: it knows its file from its arguments. */
const LOOK = [
  'const { readFileSync, statSync } = await import("node:fs");',
  'const { dirname } = await import("node:path");',
  'const file = process.argv.at(-1) as string;',
  'const info = JSON.parse(readFileSync(file, "utf8"));',
  'const ports = Object.keys(info).filter((name) => name.endsWith("_port")).map((name) => info[name]);',
  'const table = process.platform === "linux" ? readFileSync("/proc/net/tcp", "utf8") + readFileSync("/proc/net/tcp6", "utf8") : "";',
  'const local = table.split("\\n").map((row) => row.trim().split(/\\s+/)).filter((row) => row[3] === "0A").map((row) => row[1].split(":"));',
  'const listening = local.filter(([, port]) => ports.includes(parseInt(port, 16))).map(([address]) => address);',
  'const mode = (path: string) => (statSync(path).mode & 0o777).toString(8);',
  'console.log("SEEN" + JSON.stringify({ mode: mode(file), folderMode: mode(dirname(file)), info, listening }));',
].join('\n');

const seenIn = (text: string): Seen => JSON.parse(/SEEN(.*)/.exec(text)?.[1] ?? 'null') as Seen;

describe.each([
  [
    'warpbook run',
    async () => {
      const { failure, notebook } = await runNotebook(writeFixture(temporary, 'look', [LOOK]));
      expect(failure).toBeUndefined();
      const [output] = (notebook.cells[0] as ICodeCell).outputs;
      return seenIn(joinLines(output.text as string));
    },
  ],
  [
    'warpbook repl',
    async () => {
      const main = join(packageRoot, 'dist', 'cli', 'main.js');
      const { stdout, stderr } = spawnSync(process.execPath, [main, 'repl'], { input: LOOK, encoding: 'utf8' });
      expect(stderr).toBe('');
      return seenIn(stdout);
    },
  ],
])('%s', (_, look) => {
  it('keeps its connection file to the user and its sockets to this machine', async () => {
    requireBuilt();
    const { mode, folderMode, info, listening } = await look();
    if (process.platform !== 'win32') expect([mode, folderMode]).toEqual(['600', '700']);
    expect(info).toMatchObject({ ip: '127.0.0.1', signature_scheme: 'hmac-sha256' });
    expect(info.key.length).toBeGreaterThanOrEqual(32);
    // 127.0.0.1, as /proc writes it.
    if (process.platform === 'linux') expect(listening).toEqual(Array(5).fill('0100007F'));
  }, 60_000);
});
