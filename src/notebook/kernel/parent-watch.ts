/**
 * The kernel dies with the process that started it; else a killed runner or server leaves kernels behind that hold
 * memory, devices and CI's output. The watch is a thread of its own, so that a busy cell can't keep it from looking.
 */
import { Worker } from 'node:worker_threads';

const POLL_MS = 500;

// Jupyter names itself in JPY_PARENT_PID; a wrapper script may stand between it and the kernel.
const WATCH = `
  const { workerData } = require('node:worker_threads');
  const gone = (pid) => { try { process.kill(pid, 0); return false; } catch (e) { return e.code === 'ESRCH'; } };
  setInterval(() => {
    if (process.ppid !== workerData.parent || (workerData.owner && gone(workerData.owner))) process.kill(process.pid, 'SIGKILL');
  }, ${POLL_MS});
`;

export function dieWithParent(): void {
  const owner = Number(process.env.JPY_PARENT_PID) || undefined;
  const worker = new Worker(WATCH, { eval: true, workerData: { parent: process.ppid, owner } });
  worker.unref();
}
