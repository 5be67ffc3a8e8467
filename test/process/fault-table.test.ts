/**
 * The two hundred faults of test/support/fault-table.ts: the run ends, is never green, and names the cell. Here every
 * malformed file and one fault of each kind; `npm run bench:faults` takes all of them.
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { runNotebook } from '../../src/notebook/run/run-notebook';
import { faults, malformed } from '../support/fault-table';
import { requireBuilt, temporaryFolder, writeFixture } from '../support/notebooks';

const folder = temporaryFolder();
/** One of each kind. */
const chosen = [...new Map(faults.map((fault) => [fault.kind, fault])).values()];

beforeAll(requireBuilt);

it('there are two hundred', () => {
  expect(faults.length + malformed.length).toBe(200);
  expect(new Set(faults.map(({ name }) => name)).size).toBe(faults.length);
});

describe('a notebook fails, with its cell named', () => {
  it.each(chosen.map((fault, i) => [fault.name, fault, i] as const))(
    '%s',
    async (_, fault, i) => {
      const file = writeFixture(folder, `fault-${i}`, fault.cells);
      const { cellTimeoutS, env } = fault;
      const report = await runNotebook(file, { timeoutS: 90, cellTimeoutS, env });
      expect(report.ok).toBe(false);
      expect(report.failure?.cell).toBe(fault.cell);
      expect(report.failure?.message).not.toBe('');
      expect(report.cells.filter(({ status }) => status === 'failed').length).toBeLessThanOrEqual(1);
    },
    120_000,
  );
});

describe('a file is refused, and named', () => {
  it.each(malformed.map((file) => [file.name, file.content] as const))('%s', async (name, content) => {
    const file = join(folder, `${name}.ipynb`);
    if (content === 'folder') mkdirSync(file);
    else if (content !== undefined) writeFileSync(file, content);
    await expect(runNotebook(file)).rejects.toMatchObject({
      code: expect.stringMatching(/^FILE_(FORMAT|NOT_FOUND)$/),
      message: expect.stringContaining(`${name}.ipynb`),
    });
  });
});
