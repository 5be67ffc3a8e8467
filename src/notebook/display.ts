/**
 * Showing values in the middle of a cell. In a warpbook kernel a value's mime bundle goes to the front end; elsewhere
 * (a script, a test) its text is printed. Knows no protocol: the kernel puts its front end behind a global symbol.
 */
import { inspect } from 'node:util';
import { currentFrontEnd } from '../display/front-end';
import { jupyterDisplay, renderBundle } from '../renderers';

export { type FrontEnd, frontEndKey } from '../display/front-end';

/** A shown value; replace it with {@link DisplayHandle.update}. As the last value of a cell it shows nothing more. */
export class DisplayHandle {
  readonly id: string;

  constructor(id: string) {
    this.id = id;
  }

  /** Shows `value` in the place of what was shown before, in whichever cell that was. */
  update(value: unknown): void {
    show(value, this.id, true);
  }

  // An empty bundle: nothing to show. Not a plain method, which declaration files couldn't name.
  static {
    Object.defineProperty(DisplayHandle.prototype, jupyterDisplay, { value: () => ({}) });
  }
}

let nextId = 0;

/**
 * Shows a value where the cell stands: a chart, a table, a tensor, anything with a display method, else its text.
 *
 * @returns a handle whose `update(value)` replaces what is shown.
 */
export function display(value: unknown): DisplayHandle {
  nextId += 1;
  const handle = new DisplayHandle(`warpbook-${process.pid}-${nextId}`);
  show(value, handle.id, false);
  return handle;
}

/** Removes the cell's output; with `wait` (the default) not before the next output comes, so that nothing flickers. */
export function clearOutput(options: { wait?: boolean } = {}): void {
  currentFrontEnd()?.clear(options.wait ?? true);
}

function show(value: unknown, id: string, update: boolean): void {
  const end = currentFrontEnd();
  if (end) end.show(value, id, update);
  else void renderBundle(value).then((bundle) => console.log(bundle?.['text/plain'] ?? inspect(value)));
}
