/**
 * What a click on a bar of a Gantt shows: the tile's details in two lines below the plot, and the others of its colour
 * stand out. Before any click the lines are of the longest tile, so that a picture shows them too.
 */
import type { GanttColor, GanttModel } from './gantt-model';
import { TEXT_INK } from './vega-theme';

const TILE_PARAM = 'tile';
const GROUP_PARAM = 'group';
/** Pixels from the plot to the lines: the axis and its title are between. */
const PLACE = 52;

/** Selections of the bar layer: the clicked bar, and all of its colour (a click on the legend selects those too). */
export function detailParams(colorBy: GanttColor): object[] {
  return [
    { name: TILE_PARAM, select: { type: 'point', on: 'click', fields: ['item', 'phase'], toggle: false } },
    {
      name: GROUP_PARAM,
      // A double click clears as it does the other: bound to a legend, a selection has no such default.
      select: { type: 'point', on: 'click', clear: 'dblclick', fields: [colorBy], toggle: false },
      bind: { legend: 'click' },
    },
  ];
}

/** Bars of other colours step back while one is selected. */
export const detailOpacity: object = { condition: { param: GROUP_PARAM, value: 1 }, value: 0.2 };

/** The text below the plot, drawn from the bars' rows. */
export function detailLayer(model: GanttModel, data: object, height: number): object {
  const longest = longestTile(model);
  const isLongest = longest < 0 ? 'false' : `datum.item === ${model.item[longest]} && datum.phase !== 'merge'`;
  return {
    data,
    transform: [
      {
        filter: { or: [{ param: TILE_PARAM, empty: false }, { and: [{ param: TILE_PARAM }, isLongest] }] },
      },
      { calculate: detailExpression(model, isLongest), as: 'detail' },
    ],
    mark: {
      type: 'text',
      color: TEXT_INK,
      align: 'left',
      baseline: 'top',
      fontSize: 11,
      lineBreak: '\n',
      lineHeight: 16,
      clip: false,
      tooltip: null,
    },
    encoding: { x: { value: 0 }, y: { value: height + PLACE }, text: { field: 'detail', type: 'nominal' } },
  };
}

/** The keys that a bar attends to, as an expression over its row. */
export function keysExpression(model: GanttModel): string {
  const count = "format(datum.kvTokens, ',d')";
  if (!model.kvStart) return `${count} + ' KV tokens'`;
  const range =
    "'KV tokens ' + format(datum.kvStart, ',d') + '–' + format(datum.kvStart + datum.kvTokens - 1, ',d')" +
    ` + ' (' + ${count} + ')'`;
  return `datum.kvStart < 0 || datum.kvTokens === 0 ? ${count} + ' KV tokens' : ${range}`;
}

function detailExpression(model: GanttModel, isLongest: string): string {
  const number = model.kind === 'timeline' ? ',.4~r' : ',d';
  const place = model.sm ? "'CTA ' + datum.cta + ' on SM ' + datum.sm" : "'CTA ' + datum.cta";
  const times =
    `format(datum.start, '${number}') + ' → ' + format(datum.end, '${number}') + ' ${model.xUnit}'` +
    (model.kind === 'timeline' ? ` + ' (' + format(datum.end - datum.start, '${number}') + ' ${model.xUnit})'` : '');
  const first = [
    "(datum.phase === 'merge' ? 'Merge ' : 'Tile ') + datum.item",
    "'request ' + datum.request",
    `'KV head ' + datum.kvHead + (datum.phase === 'merge' ? '' : ' · ' + (${keysExpression(model)}))`,
  ].join(" + ' · ' + ");
  const notes = `(${isLongest} ? ' · the longest' : '') + (datum.phase === 'partial tile' ? ' · writes a partial state' : '')`;
  return `${first} + '\\n' + ${place} + ' · ' + ${times} + ${notes}`;
}

function longestTile(model: GanttModel): number {
  let longest = -1;
  for (let i = 0; i < model.lane.length; i++) {
    if (model.merge[i]) continue;
    if (longest < 0 || model.end[i] - model.start[i] > model.end[longest] - model.start[longest]) longest = i;
  }
  return longest;
}
