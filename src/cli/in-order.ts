/** Work on several things at once whose results are taken in order. Knows nothing of what the work is. */

export interface Work<T, R> {
  /** Begins with the items in order. */
  run(item: T): R | Promise<R>;
  /** Is called once for each item, in order and never twice at a time, as soon as it and all before it have run. */
  conclude(item: T, result: R): void | Promise<void>;
}

/**
 * Runs `work` on every item, at most `jobs` at a time.
 *
 * @throws what an item's `run` or `conclude` throws, when its turn comes; nothing new is begun after it.
 */
export async function inOrder<T, R>(items: readonly T[], jobs: number, work: Work<T, R>): Promise<void> {
  let free = jobs;
  let ended = false;
  const waiting: (() => void)[] = [];
  const turn = (): Promise<void> | undefined => {
    if (free === 0) return new Promise((resolve) => waiting.push(resolve));
    free -= 1;
    return undefined;
  };
  const results = items.map(async (item) => {
    await turn();
    try {
      // Nobody asks for it any more.
      return ended ? (undefined as never) : await work.run(item);
    } catch (error) {
      ended = true;
      throw error;
    } finally {
      const next = waiting.shift();
      if (next) next();
      else free += 1;
    }
  });
  // Told of when its turn comes.
  for (const result of results) result.catch(() => undefined);
  try {
    for (const [i, item] of items.entries()) await work.conclude(item, await results[i]);
  } finally {
    ended = true;
  }
}
