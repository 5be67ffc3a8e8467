/** `jupyter console`: results, prints, errors and what follows them, a prompt, an interrupt. */
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { packageRoot } from '../../src/notebook/kernel/package-paths';
import { python, pythonAvailability } from './support/clients';
import { JupyterHome } from './support/jupyter-home';

const available = pythonAvailability();
describe.skipIf(available.skip)(`jupyter console${available.note}`, () => {
  const home = new JupyterHome();
  afterAll(() => home.remove());

  it('holds a dialogue, also after errors, a prompt and an interrupt', () => {
    const script = join(packageRoot, 'test/clients/console_dialogue.py');
    const run = spawnSync(python(), [script], { cwd: home.work, env: home.env, encoding: 'utf8', timeout: 80_000 });
    expect(run.status, `${run.stdout}\n${run.stderr}`).toBe(0);
  });
});
