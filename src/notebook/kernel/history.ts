/** What this kernel was given to run, for front ends that ask (`jupyter console`'s arrow keys). Nothing is kept on disk. */
import type { Content } from '../run/protocol';

/** Entries of `history_reply`: session (0 is this one), number from 1, source. */
type Entry = readonly [session: number, line: number, source: string];

const CAPACITY = 1000;

export class History {
  private readonly sources: string[] = [];
  private dropped = 0;

  add(source: string): void {
    this.sources.push(source);
    if (this.sources.length <= CAPACITY) return;
    this.sources.shift();
    this.dropped += 1;
  }

  /** @param content of a `history_request`: the last `n`, a range of numbers, or those that fit a pattern */
  answer(content: Content): readonly Entry[] {
    const all = this.sources.map((source, i): Entry => [0, this.dropped + i + 1, source]);
    const last = (entries: readonly Entry[]): readonly Entry[] =>
      content.n === undefined || content.n === null
        ? entries
        : entries.slice(-Math.max(0, Number(content.n)) || entries.length);
    switch (content.hist_access_type) {
      case 'range': {
        const start = Number(content.start ?? 1);
        const stop =
          content.stop === undefined || content.stop === null ? Number.POSITIVE_INFINITY : Number(content.stop);
        return all.filter(([, line]) => line >= start && line < stop);
      }
      case 'search': {
        const pattern = globPattern(String(content.pattern ?? '*'));
        return last(all.filter(([, , source]) => pattern.test(source)));
      }
      default:
        return last(all);
    }
  }
}

/** `*` is any text, `?` any character. */
function globPattern(glob: string): RegExp {
  const escaped = glob
    .replace(/[.+^${}()|[\]\\]/g, '\\$&')
    .replace(/\*/g, '[\\s\\S]*')
    .replace(/\?/g, '[\\s\\S]');
  return new RegExp(`^${escaped}$`);
}
