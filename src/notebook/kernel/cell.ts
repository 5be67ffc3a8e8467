/**
 * One execution of a cell: what it has put out, how it went wrong, and how it is stopped. Knows no compiler and no
 * message.
 */
import type { FailureNote } from '../run/protocol';
import type { CellSource } from './failure';
import type { CellOutput } from './output';

/** What an interrupt throws at the awaits of a cell; its own `finally` and `catch` blocks run. */
export class Interruption extends Error {
  constructor() {
    super('The cell was interrupted.');
    this.name = 'Interrupted';
  }
}

export class Cell implements CellSource {
  readonly failures: FailureNote[] = [];
  /** Aborted by an interrupt; long work of the package looks at it. */
  readonly interruption: AbortController = new AbortController();
  /** Resolves where the cell was given up before its code came to an end. */
  readonly abandoned: Promise<void>;
  /** Once the reply is on its way a failure is a late one. */
  ended = false;
  private readonly awaits = new Set<(reason: Interruption) => void>();
  private giveUp: () => void = () => undefined;
  private given = false;

  constructor(
    readonly label: string,
    readonly code: string,
    readonly output: CellOutput,
  ) {
    this.abandoned = new Promise((resolve) => {
      this.giveUp = resolve;
    });
  }

  get interrupted(): boolean {
    return this.interruption.signal.aborted;
  }

  /** What an await of this cell awaits: `value`, or an interrupt, whichever comes first. */
  guard(value: unknown): unknown {
    if (this.given) return new Promise(() => undefined);
    if (this.ended || !isThenable(value)) return value;
    return this.settled(value);
  }

  /** Ends what the cell awaits now. What its `finally` blocks await afterwards isn't disturbed. */
  interrupt(): void {
    const reason = new Interruption();
    this.interruption.abort(reason);
    for (const reject of this.awaits) reject(reason);
  }

  /** Whether an interrupt has something to reject. */
  get awaiting(): boolean {
    return this.awaits.size > 0;
  }

  /** Gives the cell up: what is left of it halts at its next await and puts nothing out any more. */
  abandon(): void {
    this.given = true;
    this.giveUp();
  }

  // An async function, so that stack traces find their way from the callee to the cell's own line.
  private async settled(value: PromiseLike<unknown>): Promise<unknown> {
    let reject: (reason: Interruption) => void = () => undefined;
    try {
      return await new Promise((resolve, rejectThis) => {
        reject = rejectThis;
        this.awaits.add(reject);
        value.then(resolve, rejectThis);
      });
    } finally {
      this.awaits.delete(reject);
    }
  }
}

function isThenable(value: unknown): value is PromiseLike<unknown> {
  return typeof (value as PromiseLike<unknown> | null | undefined)?.then === 'function';
}
