/** How far a measurement has come: who shows it subscribes here, so that measuring knows no display. */

export interface MeasureProgress {
  /** What is measured. */
  readonly what: string;
  /** 0 to 1, an estimate: precision comes with the square root of the samples. */
  readonly share: number;
  /** So far, ns a call; NaN before the first. */
  readonly medianNs: number;
  /** So far, percent; Infinity before there are enough samples. */
  readonly precisionPct: number;
  /** Samples so far, ns a call, in the order taken; grows with the measurement: copy what you keep. */
  readonly samplesNs: ArrayLike<number>;
  /** Whoever measures asked for a chart of it: `measure(fn, { live: true })`. */
  readonly live: boolean;
  /** Nothing more comes. */
  readonly done: boolean;
}

type Listener = (progress: MeasureProgress) => void;

const listeners = new Set<Listener>();

/** Calls `listener` while anything is measured; answers with what unsubscribes it. */
export function onMeasuring(listener: Listener): () => void {
  listeners.add(listener);
  return () => {
    listeners.delete(listener);
  };
}

/** @internal */
export function announce(progress: MeasureProgress): void {
  for (const listener of listeners) listener(progress);
}

/** @internal Nothing more comes, whether it went well or not: a bar must not wait for what was interrupted. */
export function announceEnd(what: string): void {
  announce({
    what,
    share: 1,
    medianNs: Number.NaN,
    precisionPct: Number.POSITIVE_INFINITY,
    samplesNs: [],
    live: false,
    done: true,
  });
}
