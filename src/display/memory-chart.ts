/** Who holds device memory: a bar for each owner, largest first. */
import { Device } from '../device/device';
import type { MemoryReport } from '../device/memory';
import { WarpbookError } from '../errors';
import { formatBytes, formatCount } from '../units';
import { Chart } from './chart';
import { isMemoryReport } from './device-display';
import { cleanLabel } from './escape';
import { SERIES_COLORS } from './palette';
import { barLines, countOf, wrapParts } from './text-lines';
import { chartConfig, subtitleLines, TEXT_INK, type VegaLiteSpec } from './vega-theme';

/** Options of {@link memoryChart}. */
export interface MemoryChartOptions {
  /** Default: says how much of the limit is in use. */
  readonly title?: string;
  /** Width of the plot in pixels; default 640. */
  readonly width?: number;
  /** Owners with a bar of their own; the others share one. Default 15. */
  readonly maxOwners?: number;
}

const UNITS = ['B', 'KiB', 'MiB', 'GiB', 'TiB'] as const;

/**
 * Draws the memory in use by owner, the `label` of its allocations.
 * @param source a device, or what `device.memory()` returned
 * @throws WarpbookError INVALID_ARGUMENT for anything else
 */
export function memoryChart(source: Device | MemoryReport, options: MemoryChartOptions = {}): Chart {
  const report = reportOf(source);
  const { usedBytes, limitBytes, peakBytes } = report;
  const share = limitBytes > 0 ? ` (${((usedBytes / limitBytes) * 100).toFixed(1)} %)` : '';
  const title = cleanLabel(
    options.title ?? `Memory in use: ${formatBytes(usedBytes)} of ${formatBytes(limitBytes)}${share}`,
  );
  const subtitle = `${countOf(report.liveBuffers, 'buffer')} · peak ${formatBytes(peakBytes)}`;
  const rows = rowsOf(report, Math.max(1, options.maxOwners ?? 15));
  const width = options.width ?? 640;
  return new Chart(spec(rows, title, subtitle, width), (columns) =>
    [
      title,
      ...wrapParts(subtitle, columns),
      ...barLines(
        rows.map(({ owner, bytes, text }) => ({ label: owner, value: bytes, text })),
        columns,
      ),
    ].join('\n'),
  );
}

function reportOf(source: Device | MemoryReport): MemoryReport {
  if (source instanceof Device) return source.memory();
  if (typeof source === 'object' && source !== null && isMemoryReport(source)) return source;
  throw new WarpbookError('INVALID_ARGUMENT', 'memoryChart() wants a device, or what device.memory() returned.');
}

interface OwnerRow {
  /** Unique: two labels that look alike once cleaned don't share a bar. */
  readonly owner: string;
  readonly bytes: number;
  readonly buffers: number;
  readonly text: string;
}

function rowsOf({ owners }: MemoryReport, maxOwners: number): OwnerRow[] {
  const shown = owners.length > maxOwners ? owners.slice(0, Math.max(0, maxOwners - 1)) : owners;
  const rest = owners.slice(shown.length);
  const names = new Map<string, number>();
  const rows = shown.map(({ label, bytes, buffers }) => {
    const name = cleanLabel(label, 32) || '(no label)';
    const times = (names.get(name) ?? 0) + 1;
    names.set(name, times);
    return { owner: times > 1 ? `${name} (${times})` : name, bytes, buffers };
  });
  if (rest.length > 0) {
    const sum = (pick: (owner: (typeof rest)[number]) => number): number =>
      rest.reduce((total, owner) => total + pick(owner), 0);
    rows.push({
      owner: `${formatCount(rest.length)} others`,
      bytes: sum((o) => o.bytes),
      buffers: sum((o) => o.buffers),
    });
  }
  return rows.map((row) => ({
    ...row,
    text: `${formatBytes(row.bytes)}${row.buffers > 1 ? ` in ${countOf(row.buffers, 'buffer')}` : ''}`,
  }));
}

function spec(rows: readonly OwnerRow[], title: string, subtitle: string, width: number): VegaLiteSpec {
  const top = Math.max(1, ...rows.map(({ bytes }) => bytes));
  const exponent = Math.min(UNITS.length - 1, Math.floor(Math.log2(top) / 10));
  const unit = 2 ** (10 * exponent);
  const values = rows.map(({ owner, bytes, buffers, text }) => ({ owner, size: bytes / unit, buffers, text }));
  const y = {
    field: 'owner',
    type: 'nominal',
    sort: null,
    axis: { title: null, labelLimit: 220, ticks: false, domain: false, labelPadding: 8 },
  };
  // Room for the words behind the longest bar.
  const x = {
    field: 'size',
    type: 'quantitative',
    scale: { domain: [0, (top / unit) * 1.22], nice: false },
    axis: { title: `In use (${UNITS[exponent]})`, grid: true, tickCount: 6 },
  };
  const tooltip = [
    { field: 'owner', title: 'Owner', type: 'nominal' },
    { field: 'text', title: 'In use', type: 'nominal' },
    { field: 'buffers', title: 'Buffers', type: 'quantitative', format: ',d' },
  ];
  return {
    title: { text: title, subtitle: subtitleLines(subtitle, width) },
    ...chartConfig(),
    width,
    height: Math.max(60, rows.length * 24),
    data: { values },
    layer: [
      { mark: { type: 'bar', color: SERIES_COLORS[0], height: { band: 0.72 } }, encoding: { x, y, tooltip } },
      {
        mark: {
          type: 'text',
          color: TEXT_INK,
          align: 'left',
          baseline: 'middle',
          dx: 6,
          fontSize: 11,
        },
        encoding: { x, y, text: { field: 'text', type: 'nominal' } },
      },
    ],
  };
}
