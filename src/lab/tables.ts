/** Rows as arquero tables: where the lab hands its results over to the user's own analysis. */

/**
 * The part of arquero's ColumnTable that cells use most, by its documentation (https://idl.uw.edu/arquero/api/). The object is a
 * whole ColumnTable; its own types are an ES module's, which the compiler of cells can't be pointed at from here.
 */
export interface DataTable {
  numRows(): number;
  numCols(): number;
  columnNames(): string[];
  get(name: string, row?: number): unknown;
  /** Values of a column, after filters and in order. */
  array(name: string): ArrayLike<unknown>;
  objects(options?: { limit?: number }): Record<string, unknown>[];
  filter(criteria: TableExpression): DataTable;
  derive(values: Record<string, TableExpression>): DataTable;
  select(...columns: unknown[]): DataTable;
  orderby(...keys: unknown[]): DataTable;
  groupby(...keys: unknown[]): DataTable;
  rollup(values?: Record<string, TableExpression>): DataTable;
  pivot(keys: unknown, values: unknown, options?: object): DataTable;
  fold(columns: unknown, options?: { as?: [string, string] }): DataTable;
  join(other: DataTable, on?: unknown, values?: unknown, options?: object): DataTable;
  slice(start?: number, end?: number): DataTable;
  toCSV(options?: object): string;
  toArrowIPC(options?: object): Uint8Array;
}

/**
 * A function over a row, which arquero reads as an expression, or a text of one. Columns are typed `never`, which goes wherever an
 * expression has use for it.
 */
export type TableExpression = string | ((row: TableRow, parameters?: TableRow) => unknown) | object;
/** A row of a table, by column. */
export type TableRow = { readonly [column: string]: never };

/** Columns in the order of their first appearance; a row without a column has null there. */
export async function tableOf(rows: readonly object[]): Promise<DataTable> {
  const aq = await import('arquero');
  const names = new Set<string>();
  for (const row of rows) for (const name of Object.keys(row)) names.add(name);
  const columns: Record<string, unknown[]> = {};
  for (const name of names) columns[name] = rows.map((row) => (row as Record<string, unknown>)[name] ?? null);
  return aq.table(columns, [...names]) as unknown as DataTable;
}
