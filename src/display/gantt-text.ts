/** The Gantt for terminals: one line per CTA in block characters, or busy shades where there are many. */
import { formatCount } from '../units';
import { pad } from './escape';
import { busyBins } from './gantt-bins';
import { type GanttModel, rowLabels } from './gantt-model';
import { wrapParts } from './text-lines';

/** More lanes than this share lines; a terminal shows about this many. */
const MAX_LINES = 40;
const IDLE = '·';
const SLIVER = '▏';
const MERGE = '▒';
/** Tiles that follow each other on a lane alternate between these, so that their borders show. */
const TILES = ['█', '▓'] as const;
/** Idle, then up to a quarter, half, three quarters, and all of the cell busy. */
const SHADES = [IDLE, '░', '▒', '▓', '█'] as const;

/** @param columns width in characters, at least 40 */
export function ganttText(model: GanttModel, columns: number): string {
  const lanesPerLine = Math.ceil(model.numLanes / MAX_LINES);
  const labels = rowLabels(model, lanesPerLine);
  const labelWidth = Math.max(model.laneName.length, ...labels.map((label) => label.length));
  const plotWidth = Math.max(20, Math.max(40, columns) - labelWidth - ' ││ 100%'.length);
  const isShaded = lanesPerLine > 1;
  const hasMerges = Array.from(model.merge).some(Boolean);
  const bins = busyBins(model, plotWidth, lanesPerLine);
  const rows = isShaded ? shadedRows(bins.share, labels.length, plotWidth) : barRows(model, bins.share, plotWidth);
  const lines = labels.map((label, r) => {
    let busy = 0;
    for (let b = 0; b < plotWidth; b++) busy += bins.share[r * plotWidth + b];
    const percent = `${((busy / plotWidth) * 100).toFixed(0)}%`;
    return `${pad(label, labelWidth, 'right')} │${rows[r]}│ ${pad(percent, 4, 'right')}`;
  });
  const legend = isShaded
    ? `${lanesPerLine} ${model.laneName}s a line; busy share: ${IDLE} 0  ░ ≤25%  ▒ ≤50%  ▓ ≤75%  █ more`
    : `█▓ tiles  ${hasMerges ? `${MERGE} merge  ` : ''}${IDLE} idle  % busy`;
  const indent = ' '.repeat(labelWidth + 1);
  return [
    ...wrapParts(model.title, columns),
    ...wrapParts(model.subtitle, columns),
    ...lines,
    `${indent}└${'─'.repeat(plotWidth)}┘`,
    `${indent} ${axisLabels(model, plotWidth)}`,
    legend,
  ].join('\n');
}

function shadedRows(share: Float64Array, numRows: number, width: number): string[] {
  return Array.from({ length: numRows }, (_, r) => {
    const cells = Array.from(share.subarray(r * width, (r + 1) * width));
    return cells.map((s) => (s <= 0 ? SHADES[0] : SHADES[Math.min(4, Math.ceil(s * 4))])).join('');
  });
}

/** Each cell shows the bar that covers most of it, or a sliver where it is mostly idle. */
function barRows(model: GanttModel, share: Float64Array, width: number): string[] {
  const cells: string[][] = Array.from({ length: model.numLanes }, () => new Array<string>(width).fill(IDLE));
  const best = new Float64Array(model.numLanes * width);
  const turn = new Uint8Array(model.numLanes);
  const binWidth = model.extent / width;
  const order = Array.from({ length: model.lane.length }, (_, i) => i).sort((a, b) => model.start[a] - model.start[b]);
  for (const i of order) {
    const start = model.start[i];
    const end = model.end[i];
    if (!(end > start)) continue;
    const lane = model.lane[i];
    const glyph = model.merge[i] ? MERGE : TILES[turn[lane]];
    if (!model.merge[i]) turn[lane] = 1 - turn[lane];
    const last = Math.min(width - 1, Math.floor(end / binWidth));
    for (let b = Math.min(width - 1, Math.floor(start / binWidth)); b <= last; b++) {
      const covered = Math.min(end, (b + 1) * binWidth) - Math.max(start, b * binWidth);
      const cell = lane * width + b;
      if (covered <= best[cell]) continue;
      best[cell] = covered;
      cells[lane][b] = share[cell] >= 0.5 ? glyph : SLIVER;
    }
  }
  return cells.map((row) => row.join(''));
}

function axisLabels(model: GanttModel, width: number): string {
  const number = (value: number): string =>
    Number.isInteger(value) ? formatCount(value) : String(Number(value.toPrecision(4)));
  const end = `${number(model.extent)} ${model.xUnit}`;
  const middle = number(model.kind === 'schedule' ? Math.round(model.extent / 2) : model.extent / 2);
  const left = pad('0', Math.max(1, Math.floor(width / 2 - middle.length / 2))) + middle;
  return left + pad(end, width - left.length, 'right');
}
