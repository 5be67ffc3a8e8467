/**
 * The kernel's process: `node main.js --connection-file FILE`, started by Jupyter or by the runner. Only puts the parts
 * together. Sockets come first, so that a client has its answer while the compiler still loads.
 */
import { randomUUID } from 'node:crypto';
import { readFileSync, writeSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { parseConnectionInfo } from '../run/protocol';
import { CellRunner } from './cell-runner';
import { dieWithParent } from './parent-watch';
import { takeQuietBaseline } from './quiet';
import { KernelServer } from './server';
import { KernelSockets } from './sockets';

/** Past the captured streams: what concerns whoever started the kernel, not the cells. */
function log(text: string): void {
  writeSync(2, `warpbook kernel: ${text}\n`);
}

async function main(): Promise<void> {
  const { values } = parseArgs({ options: { 'connection-file': { type: 'string', short: 'f' } } });
  const file = values['connection-file'];
  if (file === undefined) throw new Error('got no --connection-file; Jupyter and `warpbook run` pass one.');
  const connection = parseConnectionInfo(readFileSync(file, 'utf8'), file);
  dieWithParent();

  const sockets = new KernelSockets(connection, randomUUID());
  await sockets.bind(file);
  // The loop turns once in between: a client's first questions are in the queue when the compiler takes the thread.
  const runner = new Promise((resolve) => setImmediate(resolve)).then(startRunner);
  runner.catch((error) => {
    log(`could not start: ${error?.stack ?? error}`);
    process.exit(1);
  });
  const server = new KernelServer(sockets, runner, () => {
    sockets.close();
    // Linger is over after 2 s; a cell's timers or native threads must not keep the process.
    setTimeout(() => process.exit(0), 50);
  });
  sockets.publish(undefined, 'status', { execution_state: 'starting' });
  // Jupyter interrupts by this signal. A synchronous loop in a cell is ended by it without this handler.
  process.on('SIGINT', () => void runner.then((started) => started.interrupt()));
  await sockets.serve(
    (channel, request) => server.handle(channel, request),
    (error) => log(error.message),
  );
}

async function startRunner(): Promise<CellRunner> {
  const runner = new CellRunner();
  runner.capture();
  await runner.preload();
  takeQuietBaseline();
  return runner;
}

main().catch((error: Error) => {
  log(error.message);
  process.exitCode = 2;
});
