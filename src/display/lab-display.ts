/** How the lab's results are shown: a bar while it works, tables when it is through. */
import { type LabProgress, onLabProgress } from '../lab/progress';
import type { Sweep } from '../lab/sweep/sweep';
import type { MimeBundle, RenderOptions } from '../renderers';
import { currentFrontEnd } from './front-end';
import { type Progress, progress } from './progress';
import { table } from './table';

/** Shows a bar for whatever the lab does for long: in a notebook's cell, and at a terminal. */
export function showLabProgress(): void {
  if (isShowing) return;
  isShowing = true;
  const shown = new WeakMap<object, { startedAt: number; bar?: Progress }>();
  onLabProgress(({ work, what, done, total, note, finished }: LabProgress) => {
    if (!currentFrontEnd() && !process.stderr.isTTY) return;
    const state = shown.get(work) ?? { startedAt: performance.now() };
    shown.set(work, state);
    if (!state.bar && !finished && performance.now() - state.startedAt > BAR_AFTER_MS)
      state.bar = progress(what, total);
    state.bar?.update(done, note);
    if (finished) state.bar?.finish();
  });
}

let isShowing = false;
/** What is over before is not worth a bar. */
const BAR_AFTER_MS = 300;

/** The points as a table. */
export function sweepBundle(swept: Sweep, options: RenderOptions): MimeBundle {
  return table(swept.table, { title: String(swept) }).bundle(options);
}
