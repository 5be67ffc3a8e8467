/** Figures of timelines as charts: idle time by cause, finish times against each other, rates over time. */
import { WarpbookError } from '../errors';
import type { AchievedOptions, TimelineWork } from '../timeline/achieved';
import { IDLE_CAUSES } from '../timeline/idle';
import type { Timeline } from '../timeline/timeline';
import { formatDuration } from '../units';
import { Chart } from './chart';
import { cleanLabel } from './escape';
import { table } from './table';
import { GUIDE } from './vega-theme';

/** Busy, then the causes in the order of idle.ts. */
const STATE_COLORS = ['#0b3c6f', '#56b4e9', '#b5def6', '#e69f00', '#d55e00', '#cc79a7'] as const;

/**
 * Where the time of all CTAs (or SMs) went: busy, or idle by cause; a bar for each timeline.
 * @param timelines by name, such as `{ simulated, measured }`
 */
export function idleChart(
  timelines: Readonly<Record<string, Timeline>>,
  options: { lanes?: 'cta' | 'sm' } = {},
): Chart {
  const { lanes = 'cta' } = options;
  const rows = Object.entries(timelines).map(([name, timeline]) => {
    const idle = timeline.idle(lanes);
    const busy = idle.areaNs > 0 ? idle.busyNs / idle.areaNs : 0;
    return { timeline: cleanLabel(name, 40), duration: timeline.durationNs, busy, ...idle.shares };
  });
  const states = ['busy', ...IDLE_CAUSES] as const;
  const values = rows.flatMap((row) =>
    states.map((state, order) => ({
      timeline: row.timeline,
      state,
      order,
      share: row[state],
      ns: row[state] * row.duration,
    })),
  );
  const spec = {
    title: {
      text: `Where the time of the ${lanes === 'cta' ? 'CTAs' : 'SMs'} went`,
      subtitle: rows.map(({ timeline, duration }) => `${timeline} ${formatDuration(duration)}`).join(' · '),
    },
    data: { values },
    width: 620,
    height: { step: 34 },
    mark: { type: 'bar' },
    encoding: {
      y: { field: 'timeline', type: 'nominal', sort: rows.map((row) => row.timeline), axis: { title: null } },
      x: {
        field: 'share',
        type: 'quantitative',
        scale: { domain: [0, 1] },
        axis: { title: 'Share of time', format: '.0%' },
      },
      color: {
        field: 'state',
        type: 'nominal',
        scale: { domain: states, range: STATE_COLORS },
        legend: { title: null },
      },
      order: { field: 'order', type: 'quantitative' },
      tooltip: [
        { field: 'timeline', type: 'nominal' },
        { field: 'state', type: 'nominal' },
        { field: 'share', type: 'quantitative', format: '.1%' },
      ],
    },
  };
  const percent = (share: number): string => `${(share * 100).toFixed(1)} %`;
  const text = table(
    rows.map((row) => ({
      timeline: row.timeline,
      duration: formatDuration(row.duration),
      ...Object.fromEntries(states.map((state) => [state, percent(row[state])])),
    })),
    { title: spec.title.text },
  );
  return new Chart(spec, (columns) => text.toText(columns));
}

/** When each CTA finished: simulated against measured. On the line they agree. */
export function finishChart(simulated: Timeline, measured: Timeline): Chart {
  const { finish } = simulated.difference(measured);
  const a = simulated.stats().finishNs;
  const b = measured.stats().finishNs;
  const values = Array.from(a, (ns, cta) => ({ cta, simulated: ns / 1e3, measured: b[cta] / 1e3 })).filter(
    (row) => row.simulated > 0 || row.measured > 0,
  );
  const end = Math.max(simulated.durationNs, measured.durationNs, 1) / 1e3;
  const subtitle =
    finish.count > 0
      ? `${finish.count} CTAs · error ${finish.medianPct.toFixed(1)} % (median), ${finish.p95Pct.toFixed(1)} % (95th percentile)`
      : 'no CTA worked';
  const scale = { domain: [0, end], nice: true };
  const axis = (title: string): object => ({ title: `${title} finish (µs)` });
  const spec = {
    title: { text: 'When the CTAs finished', subtitle },
    width: 360,
    height: 360,
    layer: [
      {
        data: {
          values: [
            { x: 0, y: 0 },
            { x: end, y: end },
          ],
        },
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
          x: { field: 'measured', type: 'quantitative', scale, axis: axis('Measured') },
          y: { field: 'simulated', type: 'quantitative', scale, axis: axis('Simulated') },
          tooltip: [
            { field: 'cta', title: 'CTA', type: 'ordinal' },
            { field: 'simulated', title: 'Simulated (µs)', type: 'quantitative', format: ',.3~f' },
            { field: 'measured', title: 'Measured (µs)', type: 'quantitative', format: ',.3~f' },
          ],
        },
      },
    ],
  };
  return new Chart(spec, `When the CTAs finished: ${subtitle}`);
}

/**
 * Bytes a second over the time of a timeline; a line for each.
 * @param work what the tiles of their schedule move: `tileWork(schedule)`
 */
export function rateChart(
  timelines: Readonly<Record<string, Timeline>>,
  work: TimelineWork,
  options: AchievedOptions & { readonly roofGbps?: number } = {},
): Chart {
  const names = Object.keys(timelines);
  if (names.length === 0)
    throw new WarpbookError('INVALID_ARGUMENT', 'rateChart() got no timeline; wanted one or more by name.');
  const rates = names.map((name) => timelines[name].achieved(work, options));
  const values = rates.flatMap(({ gbpsOverTime, binNs }, i) =>
    Array.from(gbpsOverTime, (gbps, bin) => ({
      timeline: cleanLabel(names[i], 40),
      us: ((bin + 0.5) * binNs) / 1e3,
      gbps,
    })),
  );
  const facts = rates.map(({ gbps }, i) => `${cleanLabel(names[i], 40)} ${gbps.toPrecision(4)} GB/s`).join(' · ');
  const roof = options.roofGbps;
  const spec = {
    title: { text: 'Bytes a second over time', subtitle: facts },
    width: 620,
    height: 220,
    layer: [
      {
        data: { values },
        mark: { type: 'line', interpolate: 'step' },
        encoding: {
          x: { field: 'us', type: 'quantitative', axis: { title: 'Time (µs)' } },
          y: { field: 'gbps', type: 'quantitative', axis: { title: 'GB/s' } },
          color: { field: 'timeline', type: 'nominal', legend: names.length > 1 ? { title: null } : null },
        },
      },
      ...(roof === undefined
        ? []
        : [
            {
              data: { values: [{ roof }] },
              mark: { type: 'rule', strokeDash: [4, 4], color: GUIDE },
              encoding: { y: { field: 'roof', type: 'quantitative' } },
            },
          ]),
    ],
  };
  return new Chart(spec, `Bytes a second: ${facts}`);
}
