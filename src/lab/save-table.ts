/** Tables as files that other programs read: CSV, Parquet and Arrow, by the name's extension. */
import { extname } from 'node:path';
import { WarpbookError } from '../errors';
import { writeFile } from '../tensor/files';
import { type DataTable, tableOf } from './tables';

const FORMATS = ['.csv', '.parquet', '.arrow'] as const;

/** What can be saved: a table of arquero, or rows. */
export type Savable = DataTable | readonly object[];

/**
 * Writes a table. The file appears when it is complete.
 * @param path ends in `.csv`, `.parquet` or `.arrow` (the IPC file format, also known as Feather 2)
 * @throws WarpbookError INVALID_ARGUMENT for another extension; FILE_NOT_FOUND where the folder doesn't exist
 */
export async function saveTable(path: string, rows: Savable): Promise<void> {
  const extension = extname(path).toLowerCase();
  if (!(FORMATS as readonly string[]).includes(extension)) {
    throw new WarpbookError(
      'INVALID_ARGUMENT',
      `Can't save a table as ${path}; wanted a name ending in ${FORMATS.join(', ')}.`,
    );
  }
  const table = await plainTable(Array.isArray(rows) ? await tableOf(rows) : (rows as DataTable));
  await writeFile(path, [await encode(table, extension as (typeof FORMATS)[number])]);
}

async function encode(table: DataTable, extension: (typeof FORMATS)[number]): Promise<Uint8Array> {
  switch (extension) {
    case '.csv':
      return new TextEncoder().encode(table.toCSV());
    case '.arrow':
      return table.toArrowIPC({ format: 'file' });
    case '.parquet':
      return toParquet(table);
  }
}

/** Columns of objects become JSON text: the formats would each do something else with them. */
async function plainTable(table: DataTable): Promise<DataTable> {
  const names = table.columnNames();
  const isObject = (value: unknown): boolean => typeof value === 'object' && value !== null && !(value instanceof Date);
  const columns = names.map((name) => Array.from(table.array(name)));
  if (!columns.some((values) => values.some(isObject))) return table;
  const rows = Array.from({ length: table.numRows() }, (_, row) =>
    Object.fromEntries(
      names.map((name, i) => {
        const value = columns[i][row];
        return [name, isObject(value) ? JSON.stringify(value) : value];
      }),
    ),
  );
  return tableOf(rows);
}

async function toParquet(table: DataTable): Promise<Uint8Array> {
  const { parquetWriteBuffer } = await import('hyparquet-writer');
  const columnData = table.columnNames().map((name) => {
    const data = Array.from(table.array(name), (value) => value ?? null);
    return { name, data, type: parquetType(name, data), nullable: true };
  });
  return new Uint8Array(parquetWriteBuffer({ columnData }));
}

function parquetType(name: string, values: readonly unknown[]): 'DOUBLE' | 'BOOLEAN' | 'STRING' {
  const kinds = new Set(values.filter((value) => value !== null).map((value) => typeof value));
  if (kinds.size > 1) {
    throw new WarpbookError(
      'INVALID_ARGUMENT',
      `Column ${name} has ${[...kinds].join(' and ')}; Parquet wants values of one type: derive a column of text.`,
    );
  }
  if (kinds.has('number')) return 'DOUBLE';
  return kinds.has('boolean') ? 'BOOLEAN' : 'STRING';
}
