/** A thread of a sweep: loads the task once, then answers point after point. */
import { parentPort, workerData } from 'node:worker_threads';
import { missingName } from './ship';
import { loadTask, type Run, resultOf, type Task } from './task';

/** What the thread is asked. */
export interface Question {
  readonly index: number;
  readonly point: object;
}

/** What it answers. */
export interface Answer {
  readonly index: number;
  readonly ms: number;
  readonly result?: ReturnType<typeof resultOf>;
  readonly error?: string;
  /** Name that the function used and that isn't there. */
  readonly missing?: string;
  /** The task itself can't be loaded: no point can be computed. */
  readonly unusable?: boolean;
}

const { task, data } = workerData as { task: Task; data: unknown };
let run: Run | undefined;

parentPort?.on('message', async ({ index, point }: Question) => {
  const started = performance.now();
  const answer = (rest: Partial<Answer>): void =>
    parentPort?.postMessage({ index, ms: performance.now() - started, ...rest } satisfies Answer);
  try {
    run ??= loadTask(task);
  } catch (error) {
    answer({ error: messageOf(error), unusable: true });
    return;
  }
  try {
    answer({ result: resultOf(await run(point as never, { data })) });
  } catch (error) {
    answer({ error: messageOf(error), missing: task.kind === 'text' ? missingName(error) : undefined });
  }
});

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
