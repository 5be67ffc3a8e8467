/** The table that a bench prints: ours beside the floor and the peers. Knows rows, no device. */
import { type Table, table } from '../../display/table';
import type { ResultRow } from './result-file';

/** Columns with the same value in all rows are told once, as the shape. */
const SHAPE_COLUMNS = [
  'numQoHeads',
  'numKvHeads',
  'headDim',
  'pageSize',
  'layout',
  'dtype',
  'kvDtype',
  'qoLen',
  'kv',
  'policy',
] as const;

/** @param rows at least one; peers are microseconds */
export function resultTable(rows: readonly ResultRow[]): { readonly shape: string; readonly table: Table } {
  const varying = SHAPE_COLUMNS.filter((name) => new Set(rows.map((row) => row[name])).size > 1);
  const fixed = SHAPE_COLUMNS.filter((name) => !varying.includes(name) && rows[0][name] !== undefined);
  const peerNames = [...new Set(rows.flatMap((row) => Object.keys(row.peers)))];
  // Names of other rows say how many requests they are.
  const isHostTime = rows.some((row) => row.floorUs === null);
  const lines = rows.map((row) => {
    const fastest = Math.min(...Object.values(row.peers).filter((time) => time !== null));
    return {
      row: row.what,
      ...(isHostTime ? { batch: row.batch } : {}),
      ...Object.fromEntries(varying.map((name) => [name, row[name]])),
      'floor µs': row.floorUs,
      'median µs': row.medianUs,
      'spread %': row.spreadPct,
      ...(row.gbps === undefined ? {} : { 'GB/s': row.gbps }),
      ...(row.tflops === undefined ? {} : { 'TFLOP/s': row.tflops }),
      ...Object.fromEntries(peerNames.map((name) => [name, row.peers[name] ?? null])),
      ...(Number.isFinite(fastest) ? { '× fastest peer': Number((row.medianUs / fastest).toPrecision(4)) } : {}),
    };
  });
  const shape = fixed.map((name) => `${name} ${rows[0][name]}`).join(', ');
  return { shape, table: table(lines, { maxRows: 200 }) };
}
