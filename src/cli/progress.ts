/** How far a notebook, or a measurement, has come: a bar on a terminal; elsewhere (CI logs) a line for each cell. */
import { SingleBar } from 'cli-progress';
import type { MeasureProgress } from '../measure/progress';
import type { RunEvent } from '../notebook/run/run-notebook';
import { formatDuration } from '../units';

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
        stream.write(`${name}: cell ${event.cell}/${numCells} ${event.status} (${Math.round(event.durationMs)} ms)\n`);
      }
    },
    stop: () => undefined,
  };
}

export interface MeasuringBar {
  show(progress: MeasureProgress): void;
  /** Leaves the stream clean for what follows. */
  stop(): void;
}

/** A bar for one measurement after the other; nothing where the stream is no terminal. */
export function measuringBar(stream: NodeJS.WriteStream): MeasuringBar {
  if (!stream.isTTY) return { show: () => undefined, stop: () => undefined };
  const format = '{bar} {what} {median}';
  const single = new SingleBar({ format, stream, hideCursor: true, clearOnComplete: true, barsize: 24, fps: 10 });
  let isRunning = false;
  const stop = (): void => {
    if (isRunning) single.stop();
    isRunning = false;
  };
  return {
    show: ({ what, share, medianNs, precisionPct, done }) => {
      const median = Number.isFinite(medianNs) ? `${formatDuration(medianNs)} ± ${precisionPct.toFixed(1)} %` : '';
      if (!isRunning) single.start(1, 0, { what, median });
      isRunning = true;
      single.update(share, { what, median });
      if (done) stop();
    },
    stop,
  };
}
