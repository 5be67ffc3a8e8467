/** How far a notebook, a measurement or the lab has come: a bar on a terminal; elsewhere (CI logs) a line for each cell or step. */
import { SingleBar } from 'cli-progress';
import type { LabProgress } from '../lab/progress';
import type { MeasureProgress } from '../measure/progress';
import type { RunEvent } from '../notebook/run/run-notebook';
import { formatDuration } from '../units';

/** What is told of notebooks that run one after the other or side by side. */
export interface RunProgress {
  show(notebook: string, event: RunEvent): void;
  /** The notebook has ended. Writes what there is to say of it; the stream is clean for that. */
  conclude(notebook: string, write: () => void): void;
  stop(): void;
}

export function makeProgress(notebooks: readonly string[], stream: NodeJS.WriteStream): RunProgress {
  return stream.isTTY ? bar(notebooks, stream) : lines(stream);
}

/** One bar for all: how many cells of those in sight have ended, and which are running. */
function bar(notebooks: readonly string[], stream: NodeJS.WriteStream): RunProgress {
  const format = '{bar} {value}/{total} cells, {seconds} s {what}';
  const single = new SingleBar({ format, stream, hideCursor: true, clearOnComplete: true, barsize: 24, fps: 10 });
  const started = performance.now();
  const running = new Map<string, string>();
  let total = 0;
  let ended = 0;
  const payload = (): object => ({
    seconds: Math.round((performance.now() - started) / 1000),
    what:
      total === 0
        ? `starting ${notebooks.length === 1 ? 'the kernel' : 'kernels'}`
        : [...running].map(([name, where]) => `${name} ${where}`).join(', '),
  });
  single.start(0, 0, payload());
  return {
    show: (notebook, event) => {
      if (event.type === 'kernel-started') {
        total += event.numCells;
        running.set(notebook, '');
      } else if (event.type === 'cell-started') running.set(notebook, `cell ${event.cell}/${event.numCells}`);
      else {
        ended += 1;
        if (event.cell === event.numCells) running.delete(notebook);
      }
      single.setTotal(total);
      single.update(ended, payload());
    },
    conclude: (notebook, write) => {
      running.delete(notebook);
      single.stop();
      write();
      single.start(total, ended, payload());
    },
    stop: () => single.stop(),
  };
}

function lines(stream: NodeJS.WriteStream): RunProgress {
  return {
    show: (notebook, event) => {
      if (event.type === 'kernel-started') {
        stream.write(`${notebook}: kernel ready after ${(event.startMs / 1000).toFixed(1)} s\n`);
      } else if (event.type === 'cell-ended') {
        const note = event.reason === undefined ? `${Math.round(event.durationMs)} ms` : event.reason;
        stream.write(`${notebook}: cell ${event.cell}/${event.numCells} ${event.status} (${note})\n`);
      }
    },
    conclude: (_, write) => write(),
    stop: () => undefined,
  };
}

export interface MeasuringBar {
  show(progress: MeasureProgress): void;
  /** Leaves the stream clean for what follows. */
  stop(): void;
}

/** A bar that starts when it is first shown, and leaves nothing behind. */
function passingBar(stream: NodeJS.WriteStream, format: string) {
  const single = new SingleBar({ format, stream, hideCursor: true, clearOnComplete: true, barsize: 24, fps: 10 });
  let isRunning = false;
  const stop = (): void => {
    if (isRunning) single.stop();
    isRunning = false;
  };
  const show = (total: number, value: number, payload: Record<string, string>, done?: boolean): void => {
    if (!isRunning) single.start(total, value, payload);
    isRunning = true;
    single.update(value, payload);
    if (done) stop();
  };
  return { show, stop };
}

/** A bar for one measurement after the other; nothing where the stream is no terminal. */
export function measuringBar(stream: NodeJS.WriteStream): MeasuringBar {
  if (!stream.isTTY) return { show: () => undefined, stop: () => undefined };
  const { show, stop } = passingBar(stream, '{bar} {what} {median}');
  return {
    show: ({ what, share, medianNs, precisionPct, done }) => {
      const median = Number.isFinite(medianNs) ? `${formatDuration(medianNs)} ± ${precisionPct.toFixed(1)} %` : '';
      show(1, share, { what, median }, done);
    },
    stop,
  };
}

export interface LabBar {
  show(progress: LabProgress): void;
  /** Leaves the stream clean for what follows. */
  stop(): void;
}

/** A bar for one comparison or sweep after the other. */
export function labBar(stream: NodeJS.WriteStream): LabBar {
  if (!stream.isTTY) {
    return {
      show: ({ what, done, total, note }) =>
        void (note === undefined || stream.write(`${what} ${done}/${total}: ${note}\n`)),
      stop: () => undefined,
    };
  }
  const { show, stop } = passingBar(stream, '{bar} {what} {value}/{total} {note}');
  return {
    show: ({ what, done, total, note = '', finished }) => show(total, done, { what, note }, finished),
    stop,
  };
}
