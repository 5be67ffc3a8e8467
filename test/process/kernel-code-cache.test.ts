/** A kernel leaves what Node compiled to the next one, in the user's own cache. */

import { existsSync, readdirSync } from 'node:fs';
import Module from 'node:module';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { runNotebook } from '../../src/notebook/run/run-notebook';
import { temporaryFolder, writeFixture } from '../support/notebooks';

const folder = temporaryFolder();
const cache = join(folder, 'cache');
const canKeep = 'enableCompileCache' in Module;

it(`compiled code is kept where Node can (${canKeep ? 'it can' : 'it cannot, and nothing breaks'})`, async () => {
  const notebook = writeFixture(folder, 'one', ['1 + 1']);
  const report = await runNotebook(notebook, { env: { XDG_CACHE_HOME: cache } });
  expect(report.failure).toBeUndefined();
  const kept = existsSync(cache) ? readdirSync(cache, { recursive: true }).map(String) : [];
  expect(kept.filter((file) => file.startsWith(join('warpbook', 'code'))).length > 10).toBe(canKeep);
  // And the next one runs as well.
  expect((await runNotebook(notebook, { env: { XDG_CACHE_HOME: cache } })).ok).toBe(true);
}, 60_000);
