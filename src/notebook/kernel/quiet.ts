/**
 * Has everything that the cells started come to its end? A script's process lives until then, so a throw in a forgotten
 * timer is seen; a kernel lives on, so it has to look. Knows no cell.
 */

/** What keeps an idle kernel's event loop alive, by kind; taken once, before the first cell. */
let baseline: ReadonlyMap<string, number> = new Map();

const POLL_MS = 10;
/** Even a quiet loop is given this long: promises of native work aren't counted as active. */
const LEAST_MS = 30;

export function takeQuietBaseline(): void {
  baseline = activeResources();
}

/** Waits until nothing but the kernel's own sockets is active; false if that didn't come within `timeoutMs`. */
export async function waitForQuiet(timeoutMs: number): Promise<boolean> {
  const start = performance.now();
  for (;;) {
    await sleep(start + LEAST_MS - performance.now() > POLL_MS ? LEAST_MS : POLL_MS);
    if (isQuiet()) return true;
    if (performance.now() - start > timeoutMs) return false;
  }
}

function isQuiet(): boolean {
  for (const [kind, count] of activeResources()) if (count > (baseline.get(kind) ?? 0)) return false;
  return true;
}

function activeResources(): Map<string, number> {
  const counts = new Map<string, number>();
  for (const kind of process.getActiveResourcesInfo()) counts.set(kind, (counts.get(kind) ?? 0) + 1);
  return counts;
}

/** The sockets keep the loop alive; an unreferenced timer isn't counted as active itself. */
function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms).unref());
}
