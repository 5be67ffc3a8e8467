/** How far a sweep or a leaderboard has come: who shows it subscribes here, so that the lab knows no display. */

export interface LabProgress {
  /** One object for each piece of work. */
  readonly work: object;
  /** What is being done, one line. */
  readonly what: string;
  readonly done: number;
  readonly total: number;
  /** What is at hand. */
  readonly note?: string;
  /** Nothing more comes. */
  readonly finished: boolean;
}

type Listener = (progress: LabProgress) => void;

const listeners = new Set<Listener>();

/** Calls `listener` while the lab works; answers with what unsubscribes it. */
export function onLabProgress(listener: Listener): () => void {
  listeners.add(listener);
  return () => {
    listeners.delete(listener);
  };
}

/** Announces the steps of one piece of work. */
export class LabWork {
  private done: number;
  private finished = false;

  constructor(
    private readonly what: string,
    private readonly total: number,
    done: number = 0,
  ) {
    this.done = done;
    this.announce();
  }

  step(note?: string): void {
    this.done++;
    this.announce(note);
  }

  /** Idempotent. */
  finish(): void {
    if (this.finished) return;
    this.finished = true;
    this.announce();
  }

  private announce(note?: string): void {
    const { what, total, done, finished } = this;
    for (const listener of listeners) listener({ work: this, what, done, total, note, finished });
  }
}
