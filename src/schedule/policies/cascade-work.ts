/** What a cascade has to do: which prefixes are worth sharing, whose rows go into a tile together, what is left to each. */
import type { SharedPrefix } from '../prefixes';
import type { AttentionProblem } from '../problem';
import { collectQueryTiles, QUERY_TILE, QUERY_TILE_STRIDE } from '../query-tiles';

/** Query rows of one request that stay together: a query tile. The requests of a prefix are neighbours. */
export interface Unit {
  readonly request: number;
  readonly rowStart: number;
  readonly rowCount: number;
  readonly kvStart: number;
  readonly kvEnd: number;
  /** Keys [fullStart, fullEnd) are seen by every row. */
  readonly fullStart: number;
  readonly fullEnd: number;
  /** First key that it attends to on its own: those before are in shared tiles, or not seen. */
  ownStart: number;
  /** The shared tiles with its rows, the first keys' first; indices. */
  readonly shared: number[];
}

/** Keys of a prefix for the rows of several units. */
export interface SharedTile {
  /** Index among the used prefixes. */
  readonly prefix: number;
  readonly kvStart: number;
  readonly kvEnd: number;
  /** Units [firstUnit, endUnit). */
  readonly firstUnit: number;
  readonly endUnit: number;
  readonly rowCount: number;
  /** Keys that every row sees. */
  readonly fullStart: number;
  readonly fullEnd: number;
}

export interface CascadeWork {
  readonly units: readonly Unit[];
  readonly sharedTiles: readonly SharedTile[];
  /** The prefixes that are attended once. */
  readonly prefixes: readonly SharedPrefix[];
}

/** A prefix is worth its merges where its tiles are at most this share of the units that would each read it. */
const WORTH_SHARING = 2 / 3;

interface Node {
  readonly prefix: SharedPrefix;
  readonly within: Node[];
  /** Requests of no prefix within. */
  readonly direct: number[];
}

/**
 * @param queryRows rows that a tile takes at most
 * @param minTokens prefixes that are shorter beyond the one around them are left to each request
 */
export function gatherPrefixes(problem: AttentionProblem, queryRows: number, minTokens: number): CascadeWork {
  const unitsOf = unitsOfRequests(problem, queryRows);
  const { roots, alone } = treesOf(problem);
  const units: Unit[] = [];
  const sharedTiles: SharedTile[] = [];
  const prefixes: SharedPrefix[] = [];

  const append = (node: Node): void => {
    for (const inner of node.within) append(inner);
    for (const r of node.direct) units.push(...unitsOf[r]);
  };
  const numUnits = (node: Node): number => node.prefix.requests.reduce((sum, r) => sum + unitsOf[r].length, 0);

  /** `from`: keys before are attended already. */
  const share = (node: Node, firstUnit: number, from: number): void => {
    const endUnit = firstUnit + numUnits(node);
    const { length } = node.prefix;
    let seen = length;
    for (let u = firstUnit; u < endUnit; u++) seen = Math.min(seen, units[u].kvStart);
    const kvStart = Math.max(from, seen);
    const tiles = packUnits(units, firstUnit, endUnit, queryRows);
    let attended = from;
    if (length - kvStart >= minTokens && tiles.length <= WORTH_SHARING * (endUnit - firstUnit)) {
      attended = length;
      for (const packed of tiles) {
        for (let u = packed.firstUnit; u < packed.endUnit; u++) units[u].shared.push(sharedTiles.length);
        sharedTiles.push({ prefix: prefixes.length, kvStart, kvEnd: length, ...packed });
      }
      prefixes.push(node.prefix);
    }
    let next = firstUnit;
    for (const inner of node.within) {
      share(inner, next, attended);
      next += numUnits(inner);
    }
    for (; next < endUnit; next++) units[next].ownStart = Math.max(attended, units[next].kvStart);
  };
  for (const root of roots) {
    const firstUnit = units.length;
    append(root);
    share(root, firstUnit, 0);
  }
  for (const r of alone) units.push(...unitsOf[r]);
  return { units, sharedTiles, prefixes };
}

function unitsOfRequests(problem: AttentionProblem, queryRows: number): Unit[][] {
  const unitsOf: Unit[][] = Array.from({ length: problem.batchSize }, () => []);
  const queryTiles = collectQueryTiles(problem, queryRows);
  for (let at = 0; at < queryTiles.length; at += QUERY_TILE_STRIDE) {
    const request = queryTiles[at + QUERY_TILE.request];
    unitsOf[request].push({
      request,
      rowStart: queryTiles[at + QUERY_TILE.rowStart],
      rowCount: queryTiles[at + QUERY_TILE.rowCount],
      kvStart: queryTiles[at + QUERY_TILE.kvStart],
      kvEnd: queryTiles[at + QUERY_TILE.kvEnd],
      fullStart: queryTiles[at + QUERY_TILE.fullStart],
      fullEnd: queryTiles[at + QUERY_TILE.fullEnd],
      ownStart: queryTiles[at + QUERY_TILE.kvStart],
      shared: [],
    });
  }
  return unitsOf;
}

/** The prefixes as trees, and the requests that share nothing. */
function treesOf({ prefixes, batchSize }: AttentionProblem): { roots: Node[]; alone: number[] } {
  const roots: Node[] = [];
  const innermost: (Node | undefined)[] = Array.from({ length: batchSize }, () => undefined);
  // Shorter ones come first, so the one around a prefix is the innermost so far of any of its requests.
  for (const prefix of prefixes) {
    const node: Node = { prefix, within: [], direct: [] };
    (innermost[prefix.requests[0]]?.within ?? roots).push(node);
    for (const r of prefix.requests) innermost[r] = node;
  }
  const alone: number[] = [];
  innermost.forEach((node, r) => void (node?.direct ?? alone).push(r));
  return { roots, alone };
}

/** Neighbouring units into as few tiles as their rows fit. */
function packUnits(
  units: readonly Unit[],
  first: number,
  end: number,
  queryRows: number,
): Omit<SharedTile, 'prefix' | 'kvStart' | 'kvEnd'>[] {
  const tiles = [];
  for (let u = first; u < end; ) {
    const firstUnit = u;
    let rowCount = 0;
    let fullStart = 0;
    let fullEnd = Number.POSITIVE_INFINITY;
    for (; u < end && rowCount + units[u].rowCount <= queryRows; u++) {
      rowCount += units[u].rowCount;
      fullStart = Math.max(fullStart, units[u].fullStart);
      fullEnd = Math.min(fullEnd, units[u].fullEnd);
    }
    tiles.push({ firstUnit, endUnit: u, rowCount, fullStart, fullEnd });
  }
  return tiles;
}
