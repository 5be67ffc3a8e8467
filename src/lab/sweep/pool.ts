/** Threads that compute points of a sweep. A thread that dies or takes too long is replaced; its point has failed. */
import { join } from 'node:path';
import { Worker } from 'node:worker_threads';
import { WarpbookError } from '../../errors';
import { missingNameError } from './ship';
import type { Task } from './task';
import type { Answer, Question } from './worker';

/** The built package's: threads run no TypeScript. */
const WORKER_FILE = join(__dirname, '..', '..', '..', 'dist', 'lab', 'sweep', 'worker.js');

export interface PoolOptions {
  readonly task: Task;
  /** Handed to each thread by structured clone. */
  readonly data: unknown;
  readonly workers: number;
  /** Seconds for a point; Infinity: no limit. */
  readonly timeoutS: number;
  readonly signal: AbortSignal;
}

/**
 * Has all points computed, `onAnswer` called for each as it comes.
 * @throws WarpbookError INVALID_ARGUMENT for a function that needs what is not in a worker, or data that can't be cloned; the
 * reason of `signal`
 */
export async function runInWorkers(
  points: readonly object[],
  options: PoolOptions,
  onAnswer: (answer: Answer) => void,
): Promise<void> {
  let next = 0;
  const abort = new AbortController();
  const signal = AbortSignal.any([abort.signal, options.signal]);
  const serve = async (): Promise<void> => {
    let thread: Thread | undefined;
    try {
      while (next < points.length && !signal.aborted) {
        thread ??= new Thread(options);
        const index = next++;
        const answer = await thread.ask({ index, point: points[index] }, signal);
        if (answer.missing !== undefined) throw missingNameError("The sweep's function", answer.missing);
        if (answer.unusable)
          throw new WarpbookError('INVALID_ARGUMENT', `The sweep's function can't be loaded: ${answer.error}`);
        if (thread.dead) thread = undefined;
        onAnswer(answer);
      }
    } catch (error) {
      abort.abort(error);
      throw error;
    } finally {
      await thread?.end();
    }
  };
  const results = await Promise.allSettled(Array.from({ length: Math.min(options.workers, points.length) }, serve));
  options.signal.throwIfAborted();
  const failed = results.find((result) => result.status === 'rejected');
  if (failed) throw abort.signal.reason ?? failed.reason;
}

class Thread {
  dead = false;
  private readonly worker: Worker;
  private readonly timeoutS: number;

  constructor({ task, data, timeoutS }: PoolOptions) {
    this.timeoutS = timeoutS;
    try {
      this.worker = new Worker(WORKER_FILE, { workerData: { task, data }, name: 'sweep' });
    } catch (error) {
      if ((error as Error).name !== 'DataCloneError') throw error;
      throw new WarpbookError(
        'INVALID_ARGUMENT',
        `The sweep's data can't be handed to a worker: ${(error as Error).message} Wanted values that structuredClone() copies.`,
        {},
        { cause: error },
      );
    }
  }

  /** Rejects only by `signal`; a thread that dies answers with an error. */
  ask(question: Question, signal: AbortSignal): Promise<Answer> {
    const started = performance.now();
    return new Promise((resolve, reject) => {
      const { worker } = this;
      const settle = (): void => {
        clearTimeout(timer);
        worker.off('message', onMessage).off('error', onError).off('exit', onExit);
        signal.removeEventListener('abort', onAbort);
      };
      const fail = (error: string): void => {
        settle();
        this.dead = true;
        void worker.terminate();
        resolve({ index: question.index, ms: performance.now() - started, error });
      };
      const onMessage = (answer: Answer): void => {
        settle();
        resolve(answer);
      };
      const onError = (error: Error): void => fail(`the worker died: ${error.message}`);
      const onExit = (code: number): void => fail(`the worker ended with code ${code}`);
      const onAbort = (): void => {
        settle();
        this.dead = true;
        void worker.terminate();
        reject(signal.reason);
      };
      const timer = Number.isFinite(this.timeoutS)
        ? setTimeout(() => fail(`took longer than ${this.timeoutS} s (pointTimeoutS)`), this.timeoutS * 1e3)
        : undefined;
      worker.on('message', onMessage).on('error', onError).on('exit', onExit);
      signal.addEventListener('abort', onAbort);
      if (signal.aborted) onAbort();
      else worker.postMessage(question);
    });
  }

  async end(): Promise<void> {
    await this.worker.terminate();
  }
}
