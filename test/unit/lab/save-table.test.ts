/** Tables as files, read back by readers of those formats, and by Python's pyarrow where it is. */
import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fromArrow, fromCSV } from 'arquero';
import { asyncBufferFromFile, parquetReadObjects } from 'hyparquet';
import { describe, expect, test } from 'vitest';
import { saveTable } from '../../../src/lab/save-table';
import { tableOf } from '../../../src/lab/tables';
import { temporaryFolder } from '../../support/notebooks';

const folder = temporaryFolder();
const ROWS = [
  { policy: 'noSplit', us: 12.5, tiles: 7, fine: true, note: 'a, "quoted"\nvärde' },
  { policy: 'headGroups', us: 1e-9, tiles: 2 ** 40, fine: false },
];
const WANTED = [ROWS[0], { ...ROWS[1], note: null }];

describe('saveTable', () => {
  test('Parquet', async () => {
    const path = join(folder, 'rows.parquet');
    await saveTable(path, ROWS);
    expect(await parquetReadObjects({ file: await asyncBufferFromFile(path) })).toEqual(WANTED);
  });

  test('Arrow', async () => {
    const path = join(folder, 'rows.arrow');
    await saveTable(path, await tableOf(ROWS));
    const bytes = readFileSync(path);
    expect(bytes.subarray(0, 6).toString()).toBe('ARROW1');
    expect(fromArrow(new Uint8Array(bytes)).objects()).toEqual(WANTED);
  });

  test('CSV', async () => {
    const path = join(folder, 'rows.csv');
    await saveTable(path, ROWS);
    expect(fromCSV(readFileSync(path, 'utf8').replace(/\n$/, '')).objects()).toEqual(WANTED);
  });

  test('what arquero filtered and ordered, objects as JSON', async () => {
    const table = (await tableOf([{ n: 3 }, { n: 1, lens: [1, 2] }, { n: 2 }])).filter('d => d.n < 3').orderby('n');
    const path = join(folder, 'ordered.parquet');
    await saveTable(path, table);
    expect(await parquetReadObjects({ file: await asyncBufferFromFile(path) })).toEqual([
      { n: 1, lens: '[1,2]' },
      { n: 2, lens: null },
    ]);
    await saveTable(join(folder, 'empty.parquet'), [{ a: null }]);
  });

  test('what it refuses', async () => {
    await expect(saveTable(join(folder, 'rows.xlsx'), ROWS)).rejects.toThrow(
      'wanted a name ending in .csv, .parquet, .arrow',
    );
    await expect(saveTable(join(folder, 'mixed.parquet'), [{ a: 1 }, { a: 'x' }])).rejects.toThrow(
      'Column a has number and string; Parquet wants values of one type',
    );
    await expect(saveTable(join(folder, 'none', 'rows.csv'), ROWS)).rejects.toThrow('must exist');
    expect(readdirSync(folder).filter((name) => name.endsWith('.tmp'))).toEqual([]);
  });

  const python = (() => {
    try {
      execFileSync('python3', ['-c', 'import pyarrow.parquet'], { stdio: 'ignore' });
      return true;
    } catch {
      return false;
    }
  })();
  // pyarrow is no dependency of the tests: skipped where Python lacks it.
  test.skipIf(!python)('pyarrow reads Parquet and Arrow (needs pyarrow)', async () => {
    await saveTable(join(folder, 'py.parquet'), ROWS);
    await saveTable(join(folder, 'py.arrow'), ROWS);
    const script =
      'import sys, json, pyarrow.parquet as p, pyarrow.feather as f; ' +
      'print(json.dumps([p.read_table(sys.argv[1]).to_pylist(), f.read_table(sys.argv[2]).to_pylist()]))';
    const read = execFileSync('python3', ['-c', script, join(folder, 'py.parquet'), join(folder, 'py.arrow')]);
    expect(JSON.parse(read.toString())).toEqual([WANTED, WANTED]);
  });
});
