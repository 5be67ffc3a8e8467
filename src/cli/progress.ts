/** How far a notebook has come: a bar on a terminal, a line for each cell elsewhere (CI logs). */
import { SingleBar } from 'cli-progress';
import type { RunEvent } from '../notebook/run/run-notebook';

export interface Progress {
  show(event: RunEvent): void;
  /** Leaves the stream clean for what follows. */
  stop(): void;
}

export function makeProgress(name: string, stream: NodeJS.WriteStream): Progress {
  return stream.isTTY ? bar(name, stream) : lines(name, stream);
}

function bar(name: string, stream: NodeJS.WriteStream): Progress {
  const format = `${name} {bar} {value}/{total} cells, {duration} s {what}`;
  const single = new SingleBar({ format, stream, hideCursor: true, clearOnComplete: true, barsize: 24, fps: 10 });
  single.start(0, 0, { what: 'starting the kernel' });
  return {
    show: (event) => {
      if (event.type === 'kernel-started') {
        single.setTotal(event.numCells);
        single.update({ what: '' });
      } else if (event.type === 'cell-ended') single.update(event.cell);
    },
    stop: () => single.stop(),
  };
}

function lines(name: string, stream: NodeJS.WriteStream): Progress {
  let numCells = 0;
  return {
    show: (event) => {
      if (event.type === 'kernel-started') {
        numCells = event.numCells;
        stream.write(`${name}: kernel ready after ${(event.startMs / 1000).toFixed(1)} s\n`);
      } else if (event.type === 'cell-ended') {
        const note = event.reason === undefined ? `${Math.round(event.durationMs)} ms` : event.reason;
        stream.write(`${name}: cell ${event.cell}/${numCells} ${event.status} (${note})\n`);
      }
    },
    stop: () => undefined,
  };
}
