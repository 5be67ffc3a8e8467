/**
 * The real clients, with a Jupyter of their own: kernelspec, settings and runtime files lie in a folder of the test. What
 * is missing on this machine is named, and the tests that want it are skipped under that name.
 */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { inject } from 'vitest';
import { clientBrowser } from '../../../scripts/client-environment';
import { installKernelspec } from '../../../src/notebook/kernel/kernelspec';

declare module 'vitest' {
  interface ProvidedContext {
    python: string;
    missingPython: string;
  }
}

/** What a suite is named, and whether it is skipped. */
export interface Availability {
  readonly skip: boolean;
  /** Ends the suite's name where it is skipped. */
  readonly note: string;
}

export function pythonAvailability(): Availability {
  return availability(inject('missingPython'));
}

export function browserAvailability(): Availability {
  const browser = clientBrowser();
  return availability('missing' in browser ? browser.missing : '');
}

export function labAvailability(): Availability {
  const python = pythonAvailability();
  return python.skip ? python : browserAvailability();
}

function availability(missing: string): Availability {
  return missing === '' ? { skip: false, note: '' } : { skip: true, note: ` (skipped: ${missing})` };
}

/** The Python that has the clients; only where {@link pythonAvailability} doesn't skip. */
export function python(): string {
  return inject('python');
}

/** JupyterLab's settings, by plugin. */
export type LabSettings = Readonly<Record<string, object>>;

export class JupyterHome {
  readonly folder: string = mkdtempSync(join(tmpdir(), 'warpbook-clients-'));
  /** Where notebooks are opened. */
  readonly work: string = join(this.folder, 'work');
  readonly env: NodeJS.ProcessEnv;

  constructor(settings: LabSettings = {}) {
    mkdirSync(this.work);
    installKernelspec({ prefix: this.folder });
    for (const [plugin, content] of Object.entries(settings)) {
      const file = join(this.folder, 'settings', `${plugin}.jupyterlab-settings`);
      mkdirSync(dirname(file), { recursive: true });
      writeFileSync(file, JSON.stringify(content));
    }
    this.env = {
      ...process.env,
      JUPYTER_PATH: join(this.folder, 'share', 'jupyter'),
      JUPYTER_CONFIG_DIR: join(this.folder, 'config'),
      JUPYTER_DATA_DIR: join(this.folder, 'data'),
      JUPYTER_RUNTIME_DIR: join(this.folder, 'runtime'),
      JUPYTERLAB_SETTINGS_DIR: join(this.folder, 'settings'),
      JUPYTERLAB_WORKSPACES_DIR: join(this.folder, 'workspaces'),
      IPYTHONDIR: join(this.folder, 'ipython'),
    };
  }

  remove(): void {
    rmSync(this.folder, { recursive: true, force: true, maxRetries: 5, retryDelay: 100 });
  }
}
