/**
 * Runs a command without its output, with one line that says what it is doing and how long it took. If the command
 * fails, everything it printed follows. Plain JavaScript: it runs before anything is built.
 *
 *   node scripts/quietly.mjs "Checking style" biome check .
 */
import { spawn } from 'node:child_process';

const [title, command, ...args] = process.argv.slice(2);
if (!command) {
  console.error('usage: node scripts/quietly.mjs TITLE COMMAND [ARGUMENT…]');
  process.exit(2);
}

const started = performance.now();
const seconds = () => `${((performance.now() - started) / 1000).toFixed(1)} s`;
const { isTTY } = process.stderr;
// On a terminal the line shows at once and counts the seconds; in a log it is written when the command is done.
const draw = () => process.stderr.write(`\r  ${title} … ${seconds()}`);
const timer = isTTY ? setInterval(draw, 200) : undefined;
if (isTTY) draw();

const output = [];
// A shell finds the commands of node_modules/.bin on every system; the arguments are this repository's own.
const child = spawn([command, ...args].join(' '), { shell: true, stdio: ['ignore', 'pipe', 'pipe'] });
child.stdout.on('data', (chunk) => output.push(chunk));
child.stderr.on('data', (chunk) => output.push(chunk));
child.on('close', (code, signal) => {
  clearInterval(timer);
  const mark = code === 0 ? '✓' : '✗';
  process.stderr.write(`${isTTY ? '\r' : ''}${mark} ${title} (${seconds()})\n`);
  if (code !== 0) {
    process.stderr.write(Buffer.concat(output));
    process.stderr.write(`\n${[command, ...args].join(' ')}: ${signal ?? `exit code ${code}`}\n`);
  }
  process.exitCode = code ?? 1;
});
