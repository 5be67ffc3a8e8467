/** Rows as arquero tables: where the lab hands its results over to the user's own analysis. */
import type { ColumnTable } from 'arquero';

/** Columns in the order of their first appearance; a row without a column has null there. */
export async function tableOf(rows: readonly object[]): Promise<ColumnTable> {
  const aq = await import('arquero');
  const names = new Set<string>();
  for (const row of rows) for (const name of Object.keys(row)) names.add(name);
  const columns = [...names].map(
    (name) => [name, rows.map((row) => (row as Record<string, unknown>)[name] ?? null)] as const,
  );
  return aq.table(Object.fromEntries(columns), [...names]);
}
