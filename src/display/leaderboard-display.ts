/** The leaderboard as a table, and as charts: how far each policy is behind, and how well times were predicted. */
import { WarpbookError } from '../errors';
import type { Leaderboard } from '../lab/leaderboard';
import type { LeaderboardRow } from '../lab/rank';
import type { MimeBundle, RenderOptions } from '../renderers';
import { Chart } from './chart';
import { cleanLabel, escapeHtml } from './escape';
import { type Table, table } from './table';
import { GUIDE, subtitleLines } from './vega-theme';

const WIDTH = 560;

const UNITS: Readonly<Record<string, string>> = {
  mean: 'µs',
  behind: '%',
  off: '%',
  idle: '%',
  plan: 'µs',
  partials: 'KiB',
  cuts: '%',
  bits: '%',
};
const ONE_DECIMAL = ['mean', 'behind', 'off', 'idle', 'plan', 'partials', 'cuts', 'bits'];

/** The ranked policies, and why some failed. Fewer columns than `board.table`: what fits a terminal. */
export function leaderboardBundle(board: Leaderboard, options: RenderOptions): MimeBundle {
  const shown = leaderboardTable(board);
  const notes = failureNotes(board);
  const html = notes.map((note) => `<div>${escapeHtml(note)}</div>`);
  return {
    'text/html': [shown.toHtml(), ...html].join('\n'),
    'text/plain': [shown.toText(options.columns), ...notes].join('\n'),
  };
}

function failureNotes({ rows }: Leaderboard): string[] {
  return rows
    .filter(({ failed }) => failed > 0)
    .map(({ policy, failed, error = '' }) => {
      const [first] = error.split('\n');
      return cleanLabel(`${policy} failed on ${failed} ${failed === 1 ? 'batch' : 'batches'}: ${first}`, 240);
    });
}

function leaderboardTable(board: Leaderboard): Table {
  const measured = board.device !== undefined;
  const shown = (row: LeaderboardRow): object => ({
    policy: cleanLabel(row.policy, 40),
    mean: row.meanUs,
    behind: row.behindPct,
    wins: row.wins,
    ...(measured && { off: row.predictionErrorPct }),
    idle: row.idlePct,
    plan: row.planUs,
    partials: row.partialKiB,
    ...(measured ? { bits: row.bitsChangedPct } : { cuts: row.cutsChangedPct }),
  });
  const decimals = Object.fromEntries(ONE_DECIMAL.map((name) => [name, 1]));
  return table(board.rows.map(shown), { title: String(board), units: UNITS, decimals });
}

/**
 * How far each policy is behind the best of each batch: a dot for each batch, a line at the mean. Policies in the order of their
 * ranks.
 */
export function leaderboardChart(board: Leaderboard): Chart {
  const measured = board.device !== undefined;
  const best = new Map<number, number>();
  const timed = board.evaluations.flatMap((row) => {
    const time = measured ? row.measuredUs : row.predictedUs;
    return typeof time === 'number' ? [{ ...row, time }] : [];
  });
  for (const { batch, time } of timed) best.set(batch, Math.min(time, best.get(batch) ?? Number.POSITIVE_INFINITY));
  const values = timed.map(({ batch, policy, time, tokens }) => ({
    policy: cleanLabel(policy, 40),
    batch,
    us: time,
    tokens,
    ratio: (best.get(batch) as number) > 0 ? time / (best.get(batch) as number) : 1,
  }));
  const order = board.rows.map(({ policy }) => cleanLabel(policy, 40));
  const y = { field: 'policy', type: 'nominal', sort: order, axis: { title: null, labelLimit: 240 } };
  const how = measured ? `measured on ${board.device}` : `predicted by ${board.costs}`;
  const spec = {
    title: {
      text: 'Time over the best policy of each batch',
      subtitle: subtitleLines(
        cleanLabel(`${best.size} ${best.size === 1 ? 'batch' : 'batches'} on ${board.machine.name} · ${how}`),
        WIDTH,
      ),
    },
    width: WIDTH,
    height: { step: 22 },
    layer: [
      {
        data: { values },
        mark: { type: 'tick', thickness: 1.5, opacity: 0.55, color: '#56b4e9' },
        encoding: {
          y,
          x: {
            field: 'ratio',
            type: 'quantitative',
            scale: { zero: false, nice: true },
            axis: { title: 'Time / best time', format: '.2~f' },
          },
          tooltip: [
            { field: 'policy', type: 'nominal' },
            { field: 'batch', type: 'ordinal' },
            { field: 'us', title: 'µs', type: 'quantitative', format: ',.4~r' },
            { field: 'ratio', type: 'quantitative', format: '.3f' },
            { field: 'tokens', title: 'KV tokens', type: 'quantitative', format: ',d' },
          ],
        },
      },
      {
        data: { values },
        mark: { type: 'point', shape: 'diamond', filled: true, size: 60, color: '#d55e00', opacity: 1 },
        encoding: { y, x: { aggregate: 'mean', field: 'ratio', type: 'quantitative' } },
      },
    ],
  };
  return new Chart(spec, (columns) => leaderboardTable(board).toText(columns));
}

/**
 * Measured against predicted times, a dot for each policy and batch.
 * @throws WarpbookError INVALID_ARGUMENT for a leaderboard that wasn't measured
 */
export function predictionChart(board: Leaderboard): Chart {
  const values = board.evaluations.flatMap(({ batch, policy, predictedUs, measuredUs }) =>
    typeof measuredUs === 'number' && typeof predictedUs === 'number'
      ? [{ batch, policy: cleanLabel(policy, 40), predictedUs, measuredUs }]
      : [],
  );
  if (values.length === 0) {
    throw new WarpbookError(
      'INVALID_ARGUMENT',
      'predictionChart() got a leaderboard without measurements; make it with a device: leaderboard({ …, device }).',
    );
  }
  const errors = values.map((v) => Math.abs(v.predictedUs - v.measuredUs) / v.measuredUs);
  const mean = (errors.reduce((sum, e) => sum + e, 0) / errors.length) * 100;
  const ends = values.flatMap((v) => [v.predictedUs, v.measuredUs]);
  const domain = [Math.min(...ends) * 0.9, Math.max(...ends) * 1.1];
  const scale = { type: 'log', domain, nice: false };
  const subtitle = `${values.length} runs · ${mean.toFixed(1)} % off in the mean · ${cleanLabel(board.costs)}`;
  const spec = {
    title: { text: 'Predicted and measured', subtitle: subtitleLines(subtitle, 380) },
    width: 380,
    height: 380,
    layer: [
      {
        data: { values: domain.map((end) => ({ x: end, y: end })) },
        mark: { type: 'line', strokeDash: [4, 4], color: GUIDE },
        encoding: {
          x: { field: 'x', type: 'quantitative', scale },
          y: { field: 'y', type: 'quantitative', scale },
        },
      },
      {
        data: { values },
        mark: { type: 'point', filled: true, opacity: 0.7 },
        encoding: {
          x: { field: 'measuredUs', type: 'quantitative', scale, axis: { title: 'Measured (µs)' } },
          y: { field: 'predictedUs', type: 'quantitative', scale, axis: { title: 'Predicted (µs)' } },
          color: { field: 'policy', type: 'nominal', legend: { title: null, labelLimit: 240 } },
          tooltip: [
            { field: 'policy', type: 'nominal' },
            { field: 'batch', type: 'ordinal' },
            { field: 'measuredUs', title: 'Measured (µs)', type: 'quantitative', format: ',.4~r' },
            { field: 'predictedUs', title: 'Predicted (µs)', type: 'quantitative', format: ',.4~r' },
          ],
        },
      },
    ],
  };
  return new Chart(spec, `Predicted and measured: ${subtitle}`);
}
