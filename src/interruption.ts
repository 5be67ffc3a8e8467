/**
 * Whether the user has interrupted the cell that runs. Long work asks between its steps, and so stops where it leaves
 * things whole. A leaf: the notebook's kernel puts its answer behind a global symbol; elsewhere nothing interrupts.
 */

/** What a kernel offers: the signal of the cell in whose context the caller runs. */
export type InterruptSource = () => AbortSignal | undefined;

export const interruptKey: unique symbol = Symbol.for('warpbook.interruptSignal');

/**
 * The signal of the cell that runs: aborted once the user interrupts. Hand it on to whatever takes an `AbortSignal`.
 *
 * @returns undefined outside a notebook.
 */
export function interruptSignal(): AbortSignal | undefined {
  return (globalThis as { [interruptKey]?: InterruptSource })[interruptKey]?.();
}

/** Throws if the user has interrupted the cell that runs; to be called between the steps of long work. */
export function throwIfInterrupted(): void {
  interruptSignal()?.throwIfAborted();
}
