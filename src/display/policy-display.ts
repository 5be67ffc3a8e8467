/** A policy's mistake as a chart: the request's keys, the tiles that attend to them, and what is wrong. */
import type { MimeBundle, RenderOptions } from '../renderers';
import type { Coverage, Span } from '../schedule/coverage';
import type { PolicyError } from '../schedule/policy-error';
import { Chart } from './chart';
import { cleanText } from './escape';
import { CATEGORY_COLORS, NEUTRAL_COLOR } from './palette';

/** Tiles shown at most: those nearest to the fault. */
const MAX_TILES = 24;
const ROW_HEIGHT = 22;
const [TILE_COLOR, , , , , FAULT_COLOR] = CATEGORY_COLORS;

interface Bar extends Span {
  readonly lane: string;
  readonly kind: 'keys' | 'tile' | 'at fault';
  readonly label: string;
}

export function policyErrorBundle(error: PolicyError, options: RenderOptions): Promise<MimeBundle> {
  return policyErrorChart(error).bundle(options);
}

/** The chart of an error; its text is the message. */
export function policyErrorChart({ coverage, summary, message }: PolicyError): Chart {
  const bars = barsOf(coverage);
  const lanes = [...new Set(bars.map(({ lane }) => lane))];
  const end = Math.max(1, ...bars.map((bar) => bar.end));
  const y = { field: 'lane', type: 'nominal', sort: lanes, title: null };
  const tooltip = [
    { field: 'label', type: 'nominal', title: 'what' },
    { field: 'start', type: 'quantitative', title: 'first key' },
    { field: 'end', type: 'quantitative', title: 'one past the last' },
  ];
  const x = (field: string): object => ({
    field,
    type: 'quantitative',
    scale: { domain: [0, end], nice: false },
    axis: { title: `keys of request ${coverage.request}, KV head ${coverage.kvHead}`, grid: true },
  });
  const kinds = ['keys', 'tile', 'at fault'];
  const spec = {
    title: { text: wrapped(cleanText(summary)) },
    width: 700,
    height: lanes.length * ROW_HEIGHT,
    data: { values: bars },
    mark: { type: 'bar', minBandSize: 4 },
    encoding: {
      y,
      x: x('start'),
      x2: { field: 'end' },
      color: {
        field: 'kind',
        type: 'nominal',
        scale: { domain: kinds, range: [NEUTRAL_COLOR, TILE_COLOR, FAULT_COLOR] },
        title: null,
      },
      tooltip,
    },
  };
  return new Chart(spec, message);
}

function barsOf({ kvLen, visible, tiles, fault, request }: Coverage): Bar[] {
  const keys = 'keys';
  const distance = (tile: Span): number => Math.max(0, fault.start - tile.end, tile.start - fault.end);
  const nearest = [...tiles].sort((a, b) => distance(a) - distance(b)).slice(0, MAX_TILES);
  const shown = tiles.filter((tile) => nearest.includes(tile));
  const seen = visible.end > visible.start ? visible : { start: 0, end: kvLen };
  return [
    { ...seen, lane: keys, kind: 'keys', label: `keys that the queries of request ${request} see` },
    { ...fault, lane: keys, kind: 'at fault', label: 'what is wrong' },
    ...shown.map(({ tile, cta, start, end }): Bar => {
      const lane = cta === undefined ? `tile ${tile}` : `tile ${tile}, CTA ${cta}`;
      return { start, end, lane, kind: 'tile', label: lane };
    }),
  ];
}

/** Lines of a title. */
function wrapped(text: string): string[] {
  const lines = [''];
  for (const word of text.split(/\s+/)) {
    const last = lines[lines.length - 1];
    if (last.length + word.length > 90) lines.push(word);
    else lines[lines.length - 1] = last === '' ? word : `${last} ${word}`;
  }
  return lines;
}
