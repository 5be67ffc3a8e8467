/**
 * Takes over what a process puts out of itself: prints, displays, prompts, failures that nobody caught. Each goes to the
 * cell in whose context it happens. Knows no message.
 */
import { type FrontEnd, frontEndKey } from '../../display/front-end';
import { type InterruptSource, interruptKey } from '../../interruption';
import type { Content } from '../run/protocol';
import type { Cell } from './cell';
import type { StreamName } from './output';
import type { Tslab } from './tslab';

export interface Destination {
  /** The cell in whose context the caller runs; the latest one where that isn't known. */
  cellHere(): Cell | undefined;
  /** A failure that no cell caught. */
  stray(kind: 'uncaughtException' | 'unhandledRejection', thrown: unknown): void;
  /** Asks the user for a line; blocks. */
  readLine(prompt: string, password: boolean): string;
}

/** For this process's lifetime. */
export function captureProcess(destination: Destination, tslab: Tslab): void {
  for (const name of ['stdout', 'stderr'] as const) captureStream(name, destination);
  const frontEnd: FrontEnd = {
    show: (value, id, update) => {
      const transient = id === undefined ? {} : { display_id: id };
      const msgType = update ? 'update_display_data' : 'display_data';
      destination.cellHere()?.output.show(msgType, value, (data) => ({ data, metadata: {}, transient }));
    },
    clear: (wait) => destination.cellHere()?.output.send('clear_output', { wait }),
    readLine: (prompt, password) => destination.readLine(prompt, password),
  };
  const signal: InterruptSource = () => destination.cellHere()?.interruption.signal;
  Object.assign(globalThis, { [frontEndKey]: frontEnd, [interruptKey]: signal });
  tslab.setDisplaySink((data, update) => {
    const msgType = update ? 'update_display_data' : 'display_data';
    destination.cellHere()?.output.send(msgType, data as unknown as Content);
  });
  process.on('uncaughtException', (error) => destination.stray('uncaughtException', error));
  process.on('unhandledRejection', (reason) => destination.stray('unhandledRejection', reason));
}

function captureStream(name: StreamName, destination: Destination): void {
  const stream = process[name];
  const real = stream.write.bind(stream);
  const decoder = new TextDecoder();
  const write = (chunk: string | Uint8Array, encoding?: unknown, callback?: unknown): boolean => {
    const cell = destination.cellHere();
    if (!cell) return real(chunk as string, encoding as never, callback as never);
    cell.output.write(name, typeof chunk === 'string' ? chunk : decoder.decode(chunk, { stream: true }));
    const done = typeof encoding === 'function' ? encoding : callback;
    if (typeof done === 'function') process.nextTick(done as () => void);
    return true;
  };
  stream.write = write as typeof stream.write;
}
