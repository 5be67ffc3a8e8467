/** How comparisons of strategies are shown: the table, its limits in words, and three charts. */
import type { StrategyComparison } from '../lab/strategy-comparison';
import type { MimeBundle, RenderOptions } from '../renderers';
import { formatBytes, formatDuration } from '../units';
import { Chart } from './chart';
import { cleanLabel } from './escape';
import { type Table, table } from './table';
import { chartConfig, type VegaLiteSpec } from './vega-theme';

const WIDTH = 640;
/** Points of a line at most; more only make the chart slow. */
const MAX_POINTS = 400;

/** The comparison as a table, and what was left out. */
export function comparisonBundle(comparison: StrategyComparison, options: RenderOptions): MimeBundle {
  const shown = comparisonTable(comparison);
  const left = comparison.skipped.map(({ name, reason }) => ({ strategy: name, 'left out because': reason }));
  if (left.length === 0) return shown.bundle(options);
  const more = table(left, { title: 'Not run' });
  return {
    'text/html': `${shown.toHtml()}\n${more.toHtml()}`,
    'text/plain': `${shown.toText(options.columns)}\n\n${more.toText(options.columns)}`,
  };
}

/** The rows in units that fit a screen. */
export function comparisonTable(comparison: StrategyComparison): Table {
  const rows = comparison.rows().map((row) => ({
    strategy: row.strategy,
    'device p50': row.deviceP50,
    'device p99': row.deviceP99,
    copies: row.copiesP50,
    'compute p50': row.computeP50,
    'compute p99': row.computeP99,
    'host p50': row.hostP50,
    'host p99': row.hostP99,
    'to start': row.startP50,
    'waited p50': row.totalP50,
    capture: row.captureMs,
    graphs: row.graphs,
    'graph memory': formatBytes(row.graphBytes),
    workspace: formatBytes(row.workspaceBytes),
    padding: row.paddingPct,
    recaptures: row.recaptures,
    fallbacks: row.fallbacks,
    'sent a step': formatBytes(Math.round(row.uploadedBytesPerStep)),
    outputs: row.outputs,
  }));
  const us = [
    'device p50',
    'device p99',
    'copies',
    'compute p50',
    'compute p99',
    'host p50',
    'host p99',
    'to start',
    'waited p50',
  ];
  return table(rows, {
    title: `${comparison.model} on ${comparison.device}, over ${comparison.trace}`,
    units: { ...Object.fromEntries(us.map((name) => [name, 'µs'])), capture: 'ms', padding: '%' },
    decimals: { ...Object.fromEntries(us.map((name) => [name, 1])), capture: 1, padding: 1 },
  });
}

/** Device time of each step over the trace (the host's, where device time was not measured), a line for each strategy. */
export function stepTimeChart(comparison: StrategyComparison): Chart {
  const values = comparison.results.flatMap(({ name, records }) => {
    const stride = Math.max(1, Math.ceil(records.length / MAX_POINTS));
    return records
      .filter((_, i) => i % stride === 0)
      .map((record) => {
        const ns = Number.isNaN(record.deviceNs) ? record.totalNs : record.deviceNs;
        return { strategy: cleanLabel(name), step: record.step, us: ns / record.steps / 1e3 };
      });
  });
  const spec: VegaLiteSpec = {
    title: {
      text: 'Time per step over the trace',
      subtitle: 'of the device, without the host; steps that wait for a capture stand out in host time',
    },
    width: WIDTH,
    height: 240,
    data: { values },
    mark: { type: 'line', strokeWidth: 1.1, interpolate: 'step-after' },
    encoding: {
      x: { field: 'step', type: 'quantitative', axis: { title: 'decode step' } },
      y: { field: 'us', type: 'quantitative', scale: { zero: false }, axis: { title: 'µs' } },
      color: { field: 'strategy', type: 'nominal', sort: null, legend: { title: 'Strategy' } },
    },
    ...chartConfig(),
  };
  const lines = comparison.results.map((result) => {
    const { p50, p99 } = comparison.percentiles(
      result,
      (r) => (Number.isNaN(r.deviceNs) ? r.totalNs : r.deviceNs) / r.steps,
    );
    return `${result.name}: ${formatDuration(p50)}, p99 ${formatDuration(p99)}`;
  });
  return new Chart(spec, `Time per step\n${lines.join('\n')}`);
}

/** Memory of instances against the number of shapes that the trace has brought so far. */
export function graphMemoryChart(comparison: StrategyComparison): Chart {
  const values = comparison.results.flatMap((result) => {
    const name = cleanLabel(result.name);
    if (!result.pooled) {
      return [0, 1].map((end) => ({
        strategy: name,
        shapes: end * Math.max(1, mostShapes(comparison)),
        bytes: result.memory.instanceBytes,
      }));
    }
    let bytes = 0;
    return [{ strategy: name, shapes: 0, bytes: 0 }].concat(
      result.pooled.map((graph, i) => {
        bytes += graph.instanceBytes || 0;
        return { strategy: name, shapes: i + 1, bytes };
      }),
    );
  });
  const spec: VegaLiteSpec = {
    title: {
      text: 'Graph memory against shapes',
      subtitle: 'a pool grows with every shape of the trace; one graph for all shapes does not',
    },
    width: WIDTH,
    height: 200,
    data: { values: values.map((value) => ({ ...value, mib: value.bytes / 2 ** 20 })) },
    mark: { type: 'line', strokeWidth: 1.4, interpolate: 'step-after' },
    encoding: {
      x: { field: 'shapes', type: 'quantitative', axis: { title: 'shapes captured', tickMinStep: 1 } },
      y: { field: 'mib', type: 'quantitative', axis: { title: 'MiB of instances' } },
      color: { field: 'strategy', type: 'nominal', sort: null, legend: { title: 'Strategy' } },
    },
    ...chartConfig(),
  };
  const lines = comparison.results.map(
    ({ name, memory }) => `${name}: ${memory.graphs} graphs, ${formatBytes(memory.instanceBytes)}`,
  );
  return new Chart(spec, `Graph memory\n${lines.join('\n')}`);
}

function mostShapes(comparison: StrategyComparison): number {
  return Math.max(0, ...comparison.results.map(({ pooled }) => pooled?.length ?? 0));
}

/** Rows that were computed for nobody, of all rows. */
export function paddingChart(comparison: StrategyComparison): Chart {
  const values = comparison
    .rows()
    .map(({ strategy, paddingPct }) => ({ strategy: cleanLabel(strategy), padding: paddingPct }));
  const spec: VegaLiteSpec = {
    title: { text: 'Padding waste', subtitle: 'rows of the matrix products that no request asked for' },
    width: WIDTH,
    height: { step: 18 },
    data: { values },
    mark: { type: 'bar' },
    encoding: {
      y: { field: 'strategy', type: 'nominal', sort: null, axis: { title: null } },
      x: { field: 'padding', type: 'quantitative', axis: { title: '% of rows' } },
    },
    ...chartConfig(),
  };
  const lines = values.map(({ strategy, padding }) => `${strategy}: ${padding.toFixed(1)} %`);
  return new Chart(spec, `Padding waste\n${lines.join('\n')}`);
}
