/**
 * Prefixes that several requests share: their first tokens have the same keys and values, in the same pages. Prefixes form
 * trees: two of them share no request, or the longer one's requests are some of the shorter one's.
 */
import { requireInteger, WarpbookError } from '../errors';

/** The first `length` tokens of each of `requests` are the same KV. */
export interface SharedPrefix {
  /** Tokens, a multiple of the page size. */
  readonly length: number;
  /** Requests of the batch, two or more. */
  readonly requests: readonly number[];
}

/** What prefixes are found in: each request's KV as a list of blocks. */
export interface BlockLists {
  /** Tokens of a block: the page size, or a trace's. */
  readonly blockTokens: number;
  /** Blocks of each request that are full, and so may be shared; [batchSize]. */
  readonly numBlocks: ArrayLike<number>;
  /** Id of a request's block; equal ids: the same KV, if all blocks before are equal too. */
  readonly blockAt: (request: number, index: number) => number;
}

/**
 * Finds all prefixes that two or more requests share: the outer ones before those within.
 *
 * ```ts
 * // A snapshot of a Mooncake trace: hash ids of 512 tokens each.
 * const prefixes = findSharedPrefixes({
 *   blockTokens: 512,
 *   numBlocks: batch.requests.map(({ hashIds, kvLen }) => Math.min(hashIds.length, Math.floor(kvLen / 512))),
 *   blockAt: (request, index) => batch.requests[request].hashIds[index],
 * });
 * ```
 */
export function findSharedPrefixes({ blockTokens, numBlocks, blockAt }: BlockLists): SharedPrefix[] {
  const found: SharedPrefix[] = [];
  // A stack instead of recursion: a chain of prefixes may be as long as the batch.
  const open: { depth: number; requests: readonly number[] }[] = [
    { depth: 0, requests: Array.from({ length: numBlocks.length }, (_, r) => r) },
  ];
  for (let group = open.pop(); group; group = open.pop()) {
    const { depth } = group;
    const byBlock = new Map<number, number[]>();
    for (const r of group.requests) {
      if (depth >= numBlocks[r]) continue;
      const alike = byBlock.get(blockAt(r, depth));
      if (alike) alike.push(r);
      else byBlock.set(blockAt(r, depth), [r]);
    }
    const within: typeof open = [];
    for (const requests of byBlock.values()) {
      if (requests.length < 2) continue;
      const end = commonEnd(requests, depth + 1, numBlocks, blockAt);
      found.push({ length: end * blockTokens, requests });
      within.push({ depth: end, requests });
    }
    open.push(...within.reverse());
  }
  return found;
}

function commonEnd(
  requests: readonly number[],
  from: number,
  numBlocks: ArrayLike<number>,
  blockAt: BlockLists['blockAt'],
): number {
  const [first] = requests;
  let end = from;
  while (requests.every((r) => end < numBlocks[r] && blockAt(r, end) === blockAt(first, end))) end++;
  return end;
}

/**
 * Checks prefixes against a batch and sorts them, shorter ones first.
 * @throws WarpbookError INVALID_ARGUMENT
 */
export function checkPrefixes(
  prefixes: readonly SharedPrefix[],
  kvLens: Int32Array,
  pageSize: number,
): readonly SharedPrefix[] {
  const sorted = [...prefixes].sort((a, b) => a.length - b.length);
  /** The longest prefix of each request so far. */
  const last = new Map<number, SharedPrefix>();
  for (const prefix of sorted) {
    const { length, requests } = prefix;
    const name = `prefixes[${prefixes.indexOf(prefix)}]`;
    requireInteger(`${name}.length`, length, 1);
    if (length % pageSize !== 0) {
      const whole = Math.floor(length / pageSize) * pageSize;
      refuse(
        `${name}.length is ${length}; wanted whole pages of ${pageSize} tokens, say ${whole}: a page is shared whole.`,
      );
    }
    if (requests.length < 2 || new Set(requests).size !== requests.length) {
      refuse(`${name}.requests is [${requests}]; wanted two or more different requests.`);
    }
    const outer = last.get(requests[0]);
    for (const r of requests) {
      requireInteger(`${name}.requests`, r, 0, kvLens.length - 1);
      if (length > kvLens[r]) refuse(`${name} has ${length} tokens, but its request ${r} has ${kvLens[r]}.`);
      if (last.get(r) !== outer || outer?.length === length) {
        refuse(
          `${name} (${length} tokens of requests [${requests}]) overlaps with another one at request ${r}; wanted prefixes that ` +
            'share no request, or of which the longer one has some of the shorter one’s requests.',
        );
      }
    }
    for (const r of requests) last.set(r, prefix);
  }
  return sorted;
}

function refuse(message: string): never {
  throw new WarpbookError('INVALID_ARGUMENT', message);
}
