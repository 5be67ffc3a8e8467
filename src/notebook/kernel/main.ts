/**
 * The kernel's process: `node main.js --connection-file FILE`, started by Jupyter or by the runner. Only puts the parts
 * together. The wire comes first, so that a client has its answer while the compiler still loads.
 */
import { readFileSync, writeSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { parseConnectionInfo } from '../run/protocol';
import { CellRunner } from './cell-runner';
import { keepCompiledCode } from './code-cache';
import { makeImmediatesSafe } from './immediates';
import { takeQuietBaseline } from './quiet';
import { KernelServer } from './server';
import { Wire } from './wire';

/** Past the captured streams: what concerns whoever started the kernel, not the cells. */
function log(text: string): void {
  writeSync(2, `warpbook kernel: ${text}\n`);
}

function main(): void {
  const { values } = parseArgs({ options: { 'connection-file': { type: 'string', short: 'f' } } });
  const file = values['connection-file'];
  if (file === undefined) throw new Error('got no --connection-file; Jupyter and `warpbook run` pass one.');
  const connection = parseConnectionInfo(readFileSync(file, 'utf8'), file);
  keepCompiledCode();
  makeImmediatesSafe();

  let runner: CellRunner | undefined;
  const interrupt = (): void => runner?.interrupt();
  const wire: Wire = new Wire(connection, file, {
    request: (channel, request) => server.handle(channel, request),
    interrupt,
    terminating: () => runner?.suspendContext(),
    terminated: () => {
      runner?.resumeContext();
      // `node:vm` takes the listeners away while it runs, and a termination keeps it from putting them back.
      if (process.listenerCount('SIGINT') === 0) process.on('SIGINT', interrupt);
      server.recover();
    },
    shutdown: () => process.exit(0),
    beforeExit: () => runner?.flush(),
    log,
  });
  // The loop turns once in between: the wire's thread has started when the compiler takes this one.
  const starting = new Promise((resolve) => setImmediate(resolve)).then(() => startRunner(wire));
  const server = new KernelServer(wire, starting);
  starting.then(
    (started) => {
      runner = started;
    },
    (error) => {
      log(`could not start: ${error?.stack ?? error}`);
      process.exit(1);
    },
  );
  // From a terminal or a script; Jupyter interrupts by message. A synchronous loop in a cell is ended without this handler.
  process.on('SIGINT', interrupt);
}

async function startRunner(wire: Wire): Promise<CellRunner> {
  const runner = new CellRunner((f) => wire.protect(f));
  runner.capture();
  await runner.preload();
  takeQuietBaseline();
  wire.started();
  return runner;
}

try {
  main();
} catch (error) {
  log((error as Error).message);
  process.exitCode = 2;
}
