/**
 * Which tiles attend to the keys of one query row: what an error about a schedule shows, as a picture in text and as data for a
 * chart. Takes a schedule as it is, however broken.
 */
import { type AttentionProblem, visibleEnd, visibleStart } from './problem';
import { KV_SEQUENCE, KV_SEQUENCE_STRIDE, ROW, ROW_STRIDE, TILE, TILE_FLAG, TILE_STRIDE } from './work-tile';

/** A stretch of keys, [start, end). */
export interface Span {
  readonly start: number;
  readonly end: number;
}

/** What tiles are looked for in: a schedule, or what a builder has so far. */
export interface TileSource {
  readonly problem: AttentionProblem;
  readonly numTiles: number;
  readonly tiles: Int32Array;
  readonly rows: Int32Array;
  readonly kvSequences: Int32Array;
  /** Undefined where the tiles aren't dealt out yet. */
  readonly ctaIndptr?: Int32Array;
}

export interface Coverage {
  readonly request: number;
  readonly kvHead: number;
  /** Tokens of the request. */
  readonly kvLen: number;
  /** Keys that the row sees. */
  readonly visible: Span;
  /** Tiles with that row, in the order of their first key; in the coordinates of the request's keys. */
  readonly tiles: readonly (Span & { readonly tile: number; readonly cta: number | undefined })[];
  /** What is wrong. */
  readonly fault: Span;
}

/** @param row query row, counted over the batch */
export function coverageOf(source: TileSource, request: number, kvHead: number, row: number, fault: Span): Coverage {
  const { problem, tiles: words, ctaIndptr } = source;
  const tiles: (Span & { tile: number; cta: number | undefined })[] = [];
  let cta = 0;
  for (let t = 0, at = 0; t < source.numTiles; t++, at += TILE_STRIDE) {
    while (ctaIndptr && cta + 2 < ctaIndptr.length && ctaIndptr[cta + 1] <= t) cta++;
    if (words[at + TILE.kvHead] !== kvHead || !hasRow(source, at, row)) continue;
    const offset = source.kvSequences[words[at + TILE.kvSeq] * KV_SEQUENCE_STRIDE + KV_SEQUENCE.positionOffset] ?? 0;
    tiles.push({
      tile: t,
      cta: ctaIndptr && cta,
      start: words[at + TILE.kvStart] + offset,
      end: words[at + TILE.kvEnd] + offset,
    });
  }
  tiles.sort((a, b) => a.start - b.start || a.tile - b.tile);
  const token = Math.floor(row / problem.groupSize);
  const visible = { start: visibleStart(problem, request, token), end: visibleEnd(problem, request, token) };
  return { request, kvHead, kvLen: problem.kvLens[request], visible, tiles, fault };
}

function hasRow({ tiles, rows, problem }: TileSource, at: number, row: number): boolean {
  const first = tiles[at + TILE.rowStart];
  const count = tiles[at + TILE.rowCount];
  if ((tiles[at + TILE.flags] & TILE_FLAG.gatherRows) === 0) return row >= first && row < first + count;
  for (let i = first; i < first + count; i++) {
    const token = rows[i * ROW_STRIDE + ROW.qoToken];
    if (token * problem.groupSize + (rows[i * ROW_STRIDE + ROW.qoHead] % problem.groupSize) === row) return true;
  }
  return false;
}

const WIDTH = 48;
const MAX_SHOWN_TILES = 6;

/**
 * The picture: a bar of all keys, and below it one for each tile that touches what is wrong.
 *
 * ```
 *           0 ┃██████████████▓▓▓▓▓▓▓▓██████████████████████░░░░┃ 1,024 keys   █ once  ▓ more than once  ░ never
 *      tile 3  ██████████████████████                           [0, 470)
 *      tile 7                ████████████                       [300, 560)
 * ```
 */
export function drawCoverage(coverage: Coverage): string {
  const { kvLen, tiles, fault, visible } = coverage;
  // A tile may reach beyond the request.
  const extent = Math.max(1, kvLen, fault.end);
  const cellOf = (token: number): number => Math.min(WIDTH - 1, Math.floor((token * WIDTH) / extent));
  const touches = (cell: number, span: Span): boolean =>
    span.start < span.end && cell >= cellOf(span.start) && cell <= cellOf(span.end - 1);
  const cells = Array.from({ length: WIDTH }, (_, cell) => {
    const keys = { start: (cell * extent) / WIDTH, end: ((cell + 1) * extent) / WIDTH };
    return symbolOf(keys, touches(cell, fault) ? fault : keys, coverage);
  });
  const legend = [
    ['█', 'once'],
    ['▓', 'more than once'],
    ['░', 'never'],
    ['·', 'not seen by this query'],
    ['!', 'beyond its keys'],
  ].flatMap(([symbol, meaning]) => (cells.includes(symbol) ? [`${symbol} ${meaning}`] : []));
  const margin = 13;
  const lines = [
    `${'0'.padStart(margin - 2)} ┃${cells.join('')}┃ ${extent.toLocaleString('en-US')} keys   ${legend.join('  ')}`,
  ];
  const shown = tiles.filter((tile) => tile.start <= fault.end && tile.end >= fault.start);
  for (const tile of shown.slice(0, MAX_SHOWN_TILES)) {
    const bar = Array.from({ length: WIDTH }, (_, cell) => (touches(cell, tile) ? '█' : ' ')).join('');
    const name = `tile ${tile.tile}`.padStart(margin - 2);
    const place = tile.cta === undefined ? '' : ` on CTA ${tile.cta}`;
    lines.push(`${name}  ${bar}  [${tile.start}, ${tile.end})${place}`);
  }
  if (shown.length > MAX_SHOWN_TILES)
    lines.push(`${' '.repeat(margin)}and ${shown.length - MAX_SHOWN_TILES} more tiles`);
  if (shown.length === 0 && visible.start < visible.end) lines.push(`${' '.repeat(margin)}no tile is near it`);
  return lines.join('\n');
}

/** What is so of a cell's keys, or, in a cell with keys at fault, of those: a small fault stays visible. */
function symbolOf(cell: Span, keys: Span, { tiles, visible, kvLen }: Coverage): string {
  const start = Math.max(cell.start, keys.start);
  const end = Math.min(cell.end, keys.end);
  const middle = Math.floor((start + Math.max(start, end)) / 2);
  if (middle >= kvLen) return '!';
  const times = tiles.filter((tile) => tile.start <= middle && middle < tile.end).length;
  if (times > 1) return '▓';
  if (times === 1) return '█';
  return middle < visible.start || middle >= visible.end ? '·' : '░';
}
