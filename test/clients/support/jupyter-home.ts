/** A Jupyter of its own for a test: kernelspec, settings and runtime files lie in one folder, which goes with it. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { installKernelspec } from '../../../src/notebook/kernel/kernelspec';

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
