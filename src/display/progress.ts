/**
 * Progress of long work: a bar in a terminal, a display that updates itself in a notebook, one closing line elsewhere
 * (a log). Knows nothing of the work.
 */
import { jupyterDisplay } from '../renderers';
import { formatCount, formatDuration } from '../units';
import { cleanLabel } from './escape';
import { currentFrontEnd } from './front-end';
import { loadCliProgress } from './packages';

export interface Progress {
  /** Sets how much is done, and what is at hand now. */
  update(done: number, note?: string): void;
  /** Adds to what is done; default 1. */
  increment(by?: number, note?: string): void;
  /** Ends the bar; idempotent. What isn't done stays undone: a bar that was stopped short shows it. */
  finish(): void;
  [Symbol.dispose](): void;
}

/** One representation of progress. */
interface Sink {
  draw(state: ProgressState): void;
  end(state: ProgressState): void;
}

interface ProgressState {
  readonly label: string;
  readonly total: number;
  readonly done: number;
  readonly note: string;
  readonly elapsedNs: number;
}

/** Redraws a second: more would only fill a notebook's message queue. */
const REDRAW_INTERVAL_NS = 100e6;

let nextId = 0;

/**
 * Starts a progress display.
 * @param label what is being done, one line
 * @param total units of work; 0: unknown
 */
export function progress(label: string, total: number): Progress {
  return new TrackedProgress(cleanLabel(label, 60), Math.max(0, total), makeSink());
}

class TrackedProgress implements Progress {
  private readonly startedAt = process.hrtime.bigint();
  private lastDrawNs = Number.NEGATIVE_INFINITY;
  private done = 0;
  private note = '';
  private finished = false;

  constructor(
    private readonly label: string,
    private readonly total: number,
    private readonly sink: Sink,
  ) {
    this.draw();
  }

  update(done: number, note?: string): void {
    if (this.finished) return;
    this.done = this.total > 0 ? Math.min(this.total, Math.max(0, done)) : Math.max(0, done);
    if (note !== undefined) this.note = cleanLabel(note, 60);
    if (this.elapsedNs() - this.lastDrawNs >= REDRAW_INTERVAL_NS) this.draw();
  }

  increment(by: number = 1, note?: string): void {
    this.update(this.done + by, note);
  }

  finish(): void {
    if (this.finished) return;
    this.finished = true;
    this.sink.end(this.state());
  }

  [Symbol.dispose](): void {
    this.finish();
  }

  private draw(): void {
    this.lastDrawNs = this.elapsedNs();
    this.sink.draw(this.state());
  }

  private elapsedNs(): number {
    return Number(process.hrtime.bigint() - this.startedAt);
  }

  private state(): ProgressState {
    return { label: this.label, total: this.total, done: this.done, note: this.note, elapsedNs: this.elapsedNs() };
  }
}

function makeSink(): Sink {
  if (currentFrontEnd()) return notebookSink();
  return process.stderr.isTTY ? terminalSink() : logSink();
}

/** A display that is updated in place. */
function notebookSink(): Sink {
  nextId += 1;
  const id = `warpbook-progress-${process.pid}-${nextId}`;
  let shown = false;
  const show = (state: ProgressState): void => {
    const line = progressLine(state);
    currentFrontEnd()?.show({ [jupyterDisplay]: () => ({ 'text/plain': line }) }, id, shown);
    shown = true;
  };
  return { draw: show, end: show };
}

function terminalSink(): Sink {
  const { SingleBar, Presets } = loadCliProgress();
  const bar = new SingleBar(
    { format: '{line}', clearOnComplete: false, hideCursor: true, stream: process.stderr, noTTYOutput: false },
    Presets.shades_classic,
  );
  let started = false;
  const draw = (state: ProgressState): void => {
    const payload = { line: progressLine(state) };
    if (started) bar.update(state.done, payload);
    else bar.start(state.total, state.done, payload);
    started = true;
  };
  return {
    draw,
    end: (state) => {
      draw(state);
      bar.stop();
    },
  };
}

/** A log gets one line, when it is over. */
function logSink(): Sink {
  return { draw: () => {}, end: (state) => void process.stderr.write(`${closingLine(state)}\n`) };
}

const BAR_WIDTH = 28;

/** `Label  ━━━━━━━━━━────────  36 %  360 of 1,000  1.2 s  note` */
export function progressLine(state: ProgressState): string {
  const { label, total, done, note, elapsedNs } = state;
  const parts = [label];
  if (total > 0) {
    const filled = Math.round((done / total) * BAR_WIDTH);
    parts.push(
      '━'.repeat(filled) + '─'.repeat(BAR_WIDTH - filled),
      `${Math.floor((done / total) * 100)} %`.padStart(5),
    );
    parts.push(`${formatCount(done)} of ${formatCount(total)}`);
  } else {
    parts.push(formatCount(done));
  }
  parts.push(formatDuration(elapsedNs));
  if (note !== '') parts.push(note);
  return parts.join('  ');
}

function closingLine({ label, total, done, elapsedNs }: ProgressState): string {
  const amount = total > 0 ? `${formatCount(done)} of ${formatCount(total)}` : formatCount(done);
  return `${label}: ${amount} in ${formatDuration(elapsedNs)}`;
}
