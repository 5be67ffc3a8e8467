/**
 * The kernel dies with the process that started it; else a killed runner or server leaves kernels behind that hold
 * memory, devices and CI's output. Runs in the wire thread, so that a busy cell can't keep it from looking.
 */

const POLL_MS = 500;

/**
 * @param parentPid the process that started this one
 * @param ownerPid one more process whose end is this one's
 */
export function dieWithParent(parentPid: number, ownerPid?: number): void {
  const timer = setInterval(() => {
    if (process.ppid !== parentPid || (ownerPid !== undefined && isGone(ownerPid)))
      process.kill(process.pid, 'SIGKILL');
  }, POLL_MS);
  timer.unref();
}

function isGone(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return false;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'ESRCH';
  }
}
