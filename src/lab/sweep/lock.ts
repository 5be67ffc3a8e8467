/**
 * A lock beside a file, so that two sweeps don't write to it at the same time. Whoever was killed leaves its lock behind: a lock
 * of a process that is gone counts for nothing.
 */
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { WarpbookError } from '../../errors';

interface Holder {
  readonly pid: number;
  readonly host: string;
  /** When the process began, in the system's own count: process ids come round again. */
  readonly started: string;
}

export interface FileLock {
  release(): void;
}

/** @throws WarpbookError INVALID_ARGUMENT where a running process holds it */
export function lockFile(path: string): FileLock {
  const lockPath = `${path}.lock`;
  const own: Holder = { pid: process.pid, host: hostname(), started: startOf(process.pid) };
  for (let attempt = 0; ; attempt++) {
    try {
      writeFileSync(lockPath, JSON.stringify(own), { flag: 'wx' });
      return { release: () => rmSync(lockPath, { force: true }) };
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST' || attempt > 2) throw error;
    }
    const holder = holderOf(lockPath);
    if (holder && isRunning(holder)) {
      const who = holder.pid === process.pid ? 'this very process' : `process ${holder.pid} on ${holder.host}`;
      throw new WarpbookError(
        'INVALID_ARGUMENT',
        `A sweep of ${who} is writing to ${path}; wait for it, or write to another file. If none is running, delete ${lockPath}.`,
        { file: path, pid: holder.pid },
      );
    }
    rmSync(lockPath, { force: true });
  }
}

/** Undefined where it is gone by now, or was cut short as its writer died. */
function holderOf(lockPath: string): Holder | undefined {
  try {
    return JSON.parse(readFileSync(lockPath, 'utf8')) as Holder;
  } catch {
    return undefined;
  }
}

/** A process of another machine can't be asked: it counts as running. */
function isRunning(holder: Holder): boolean {
  if (holder.host !== hostname()) return true;
  try {
    process.kill(holder.pid, 0);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ESRCH') return false;
  }
  return startOf(holder.pid) === holder.started;
}

/** Of Linux' /proc; elsewhere nothing is known, and the process id alone decides. */
function startOf(pid: number): string {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    // The name in brackets may hold anything, so count behind it: field 22 is the start time.
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19];
  } catch {
    return '';
  }
}
