/**
 * Who wants to know that something is being compiled: compilations take seconds, and whoever shows progress (a notebook, a
 * terminal) is told here. Knows no display.
 */

/** How far a batch of compilations has come. */
export interface CompileProgress {
  readonly done: number;
  readonly total: number;
  /** The program that has just been got. */
  readonly name: string;
  /** Whether it was in the cache. */
  readonly cached: boolean;
}

/** Follows one batch, from its first program that is not in the cache on. */
export interface CompileWatcher {
  progress(progress: CompileProgress): void;
  /** Called in any case, also when a program fails to compile. */
  end(): void;
}

type Begin = (total: number) => CompileWatcher;

const begins = new Set<Begin>();

/** `begin` is called when a batch of `total` programs has one to compile. Answers with what ends the watch. */
export function watchCompilations(begin: Begin): () => void {
  begins.add(begin);
  return () => begins.delete(begin);
}

/** A batch of `total` programs starts to compile. */
export function announceCompilation(total: number): CompileWatcher {
  const watchers = [...begins].map((begin) => begin(total));
  return {
    progress: (progress) => {
      for (const watcher of watchers) watcher.progress(progress);
    },
    end: () => {
      for (const watcher of watchers) watcher.end();
    },
  };
}
