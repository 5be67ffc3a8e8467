/**
 * Progress of long work: a bar in a terminal, a display that updates itself in a notebook, one closing line elsewhere
 * (a log). Knows nothing of the work.
 */
import { jupyterDisplay } from '../renderers';
import { formatCount, formatDuration } from '../units';
import { cleanLabel, escapeHtml } from './escape';
import { currentFrontEnd } from './front-end';
import { loadCliProgress } from './packages';

/** A progress bar; made by {@link progress}. */
export interface Progress {
  /** Sets how much is done, and what is at hand now. */
  update(done: number, note?: string): void;
  /** Adds to what is done; default 1. */
  increment(by?: number, note?: string): void;
  /** Ends the bar; idempotent. What isn't done stays undone: a bar that was stopped short shows it. */
  finish(): void;
  [Symbol.dispose](): void;
}

/** Options of {@link progress}. */
export interface ProgressOptions {
  /**
   * Whether units and their rate are shown; default true. False where units mean nothing to a reader, such as percents: then the
   * share and the time left are shown.
   */
  readonly counts?: boolean;
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
  /** Units a second of late; NaN where it isn't known yet. */
  readonly rate: number;
  readonly finished: boolean;
  readonly counts: boolean;
}

/** Redraws a second: more would only fill a notebook's message queue. */
const REDRAW_INTERVAL_NS = 100e6;
/** The rate is that of about the last of this: work that gets slower (longer sequences) has no use for its mean. */
const RATE_WINDOW_NS = 15e9;
/** Before this a rate is a guess. */
const RATE_AFTER_NS = 0.3e9;

let nextId = 0;

/**
 * Starts a progress display: how much is done, how fast it goes, and how long the rest takes at that rate.
 * @param label what is being done, one line
 * @param total units of work; 0: unknown
 */
export function progress(label: string, total: number, options: ProgressOptions = {}): Progress {
  return new TrackedProgress(cleanLabel(label, 60), Math.max(0, total), options.counts ?? true, makeSink());
}

class TrackedProgress implements Progress {
  private readonly startedAt = process.hrtime.bigint();
  private lastDrawNs = Number.NEGATIVE_INFINITY;
  private done = 0;
  private note = '';
  private finished = false;
  /** How much was done when, at the redraws of late; the first is the oldest. */
  private marks: { readonly atNs: number; readonly done: number }[] = [{ atNs: 0, done: 0 }];

  constructor(
    private readonly label: string,
    private readonly total: number,
    private readonly counts: boolean,
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
    const now = this.elapsedNs();
    this.lastDrawNs = now;
    this.marks.push({ atNs: now, done: this.done });
    while (this.marks.length > 2 && now - this.marks[1].atNs > RATE_WINDOW_NS) this.marks.shift();
    this.sink.draw(this.state());
  }

  private rate(now: number): number {
    const oldest = this.finished ? { atNs: 0, done: 0 } : this.marks[0];
    const seconds = (now - oldest.atNs) / 1e9;
    return now >= RATE_AFTER_NS && this.done > oldest.done && seconds > 0
      ? (this.done - oldest.done) / seconds
      : Number.NaN;
  }

  private elapsedNs(): number {
    return Number(process.hrtime.bigint() - this.startedAt);
  }

  private state(): ProgressState {
    const { label, total, done, note, finished, counts } = this;
    const elapsedNs = this.elapsedNs();
    return { label, total, done, note, elapsedNs, finished, counts, rate: this.rate(elapsedNs) };
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
    const bundle = { 'text/html': progressHtml(state), 'text/plain': progressLine(state) };
    currentFrontEnd()?.show({ [jupyterDisplay]: () => bundle }, id, shown);
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

/** `Label  ━━━━━━━━━━────────  36 %  360 of 1,000  1.2 s  300/s  2.1 s left  note` */
export function progressLine(state: ProgressState): string {
  const { label, total, done } = state;
  const filled = Math.round((done / total) * BAR_WIDTH);
  const bar = total > 0 ? ['━'.repeat(filled) + '─'.repeat(BAR_WIDTH - filled), percent(state).padStart(5)] : [];
  return [label, ...bar, ...figures(state)].join('  ');
}

/** The same with the bar that the browser draws. */
export function progressHtml(state: ProgressState): string {
  const { label, total, done } = state;
  const bar =
    total > 0
      ? `<progress value="${Math.round((done / total) * 1000)}" max="1000"></progress> ${percent(state)} · `
      : '';
  return `<div><strong>${escapeHtml(label)}</strong> ${bar}${escapeHtml(figures(state).join(' · '))}</div>`;
}

function percent({ total, done }: ProgressState): string {
  return `${Math.floor((done / total) * 100)} %`;
}

function figures({ total, done, note, elapsedNs, rate, finished, counts }: ProgressState): string[] {
  const known = Number.isFinite(rate) && rate > 0;
  const isOpen = !finished && total > done;
  return [
    ...(counts ? [total > 0 ? `${formatCount(done)} of ${formatCount(total)}` : formatCount(done)] : []),
    formatDuration(elapsedNs),
    ...(known && counts ? [rateText(rate)] : []),
    ...(known && isOpen ? [`${formatDuration(((total - done) / rate) * 1e9)} left`] : []),
    ...(note === '' ? [] : [note]),
  ];
}

/** `1,234/s`, `3.2/s`; slower than one a second: `4.10 s each`. */
function rateText(rate: number): string {
  if (rate < 1) return `${formatDuration(1e9 / rate)} each`;
  return `${rate >= 100 ? formatCount(Math.round(rate)) : Number(rate.toPrecision(2))}/s`;
}

function closingLine({ label, total, done, elapsedNs }: ProgressState): string {
  const amount = total > 0 ? `${formatCount(done)} of ${formatCount(total)}` : formatCount(done);
  return `${label}: ${amount} in ${formatDuration(elapsedNs)}`;
}
