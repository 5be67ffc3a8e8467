/** The place where a kernel puts the front end of the cell that runs. Knows no protocol and no mime type. */

/** What a kernel offers to displays in the middle of a cell. */
export interface FrontEnd {
  /** Shows `value`; with `update`, in place of what was shown under the same id. Never throws. */
  show(value: unknown, id: string | undefined, update: boolean): void;
  /** Removes the cell's output; with `wait` not before the next output comes. */
  clear(wait: boolean): void;
  /** Asks the user for a line; the cell stands still until it comes. Throws where nobody can answer. */
  readLine(prompt: string, password: boolean): string;
}

export const frontEndKey: unique symbol = Symbol.for('warpbook.frontEnd');

/** The front end of now, looked up at each call: every cell has its own. Undefined outside a kernel. */
export function currentFrontEnd(): FrontEnd | undefined {
  return (globalThis as { [frontEndKey]?: FrontEnd })[frontEndKey];
}
