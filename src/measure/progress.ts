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
