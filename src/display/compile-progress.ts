/** Shows that kernels are being compiled, which takes seconds when one is first used: in notebooks and on terminals. */
import { watchCompilations } from '../device/programs/compile-watch';
import { currentFrontEnd } from './front-end';
import { progress } from './progress';

let watching = false;

/** From here on; calling it again changes nothing. A log gets no lines. */
export function showCompilations(): void {
  if (watching) return;
  watching = true;
  watchCompilations((total) => {
    if (!currentFrontEnd() && !process.stderr.isTTY) return { progress: () => undefined, end: () => undefined };
    const shown = progress(total === 1 ? 'Compiling a kernel' : 'Compiling kernels', total);
    return { progress: ({ done, name }) => shown.update(done, name), end: () => shown.finish() };
  });
}
