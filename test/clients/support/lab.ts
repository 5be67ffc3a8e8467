/**
 * JupyterLab in Chromium, as a user has it before them: opens notebooks, runs cells, tells what a cell shows. Hides the
 * server's process, the browser and JupyterLab's markup.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { type Browser, chromium, type Locator, type Page } from 'playwright-core';
import { clientBrowser } from '../../../scripts/client-environment';
import { JupyterHome, type LabSettings } from './jupyter-home';

const START_MS = 60_000;
const ENOUGH_MS = 60_000;

const SETTINGS: LabSettings = {
  // Every cell is in the page, not only what is in view.
  '@jupyterlab/notebook-extension/tracker': { windowingMode: 'none' },
  '@jupyterlab/apputils-extension/notification': { fetchNews: 'false', checkForUpdates: false },
};

export interface LabOptions {
  readonly python: string;
  readonly settings?: LabSettings;
  readonly viewport?: { readonly width: number; readonly height: number };
}

export class Lab {
  readonly home: JupyterHome;
  private constructor(
    home: JupyterHome,
    private readonly server: ChildProcess,
    private readonly url: string,
    private readonly token: string,
    private readonly browser: Browser,
    private readonly viewport: LabOptions['viewport'],
  ) {
    this.home = home;
  }

  static async start({ python, settings, viewport }: LabOptions): Promise<Lab> {
    const home = new JupyterHome({ ...SETTINGS, ...settings });
    const token = randomUUID();
    const [{ server, url }, browser] = await Promise.all([startServer(python, home, token), startBrowser()]);
    return new Lab(home, server, url, token, browser, viewport);
  }

  /** Opens a notebook of the home's work folder in a page of its own; its kernel is ready. */
  async open(name: string): Promise<LabNotebook> {
    const page = await this.browser.newPage({ viewport: this.viewport ?? { width: 1100, height: 900 } });
    await page.goto(`${this.url}lab/tree/${name}?reset&token=${this.token}`);
    const notebook = new LabNotebook(page);
    await notebook.idle();
    return notebook;
  }

  async stop(): Promise<void> {
    await this.browser.close();
    const gone = new Promise((resolve) => this.server.once('exit', resolve));
    this.server.kill('SIGTERM');
    await gone;
    this.home.remove();
  }
}

/** The little of JupyterLab's application that is asked here (`--expose-app-in-browser`). */
interface LabApp {
  readonly commands: { execute(id: string): Promise<unknown> };
  readonly shell: {
    readonly currentWidget: {
      readonly sessionContext?: { isReady: boolean; session?: { kernel?: { status: string } | null } | null };
    } | null;
  };
}

export class LabNotebook {
  readonly page: Page;
  /** Code cells, in order. */
  readonly cells: Locator;
  private readonly panel: Locator;

  constructor(page: Page) {
    this.page = page;
    this.panel = page.locator('.jp-NotebookPanel:visible');
    this.cells = this.panel.locator('.jp-CodeCell');
    page.setDefaultTimeout(ENOUGH_MS);
  }

  /** Waits until the notebook has a kernel and that has nothing to do. */
  async idle(): Promise<void> {
    await this.page.waitForFunction(() => {
      const { jupyterapp } = globalThis as unknown as { jupyterapp?: LabApp };
      const context = jupyterapp?.shell.currentWidget?.sessionContext;
      return context?.isReady === true && context.session?.kernel?.status === 'idle';
    });
  }

  /** One of JupyterLab's commands, as its menus and keys give them. */
  command(id: string): Promise<void> {
    return this.page.evaluate(async (command) => {
      const { jupyterapp } = globalThis as unknown as { jupyterapp: LabApp };
      // What the command gives back can't cross to this side.
      await jupyterapp.commands.execute(command);
    }, id);
  }

  /** Puts the cursor behind the cell's last character. */
  async edit(index: number): Promise<void> {
    await this.cells.nth(index).locator('.cm-content').click();
    await this.page.keyboard.press('Control+End');
  }

  /** Runs the cell (from 0) as Ctrl-Enter does, and doesn't wait. */
  async start(index: number): Promise<void> {
    await this.edit(index);
    await this.page.keyboard.press('Control+Enter');
  }

  /** Runs the cell (from 0) and waits until it has been. */
  async run(index: number): Promise<void> {
    // A cell that has a number already is known to have been run again once that has changed.
    const before = await this.prompt(index).innerText();
    await this.start(index);
    await this.page.waitForFunction(
      ([element, old]) => /\[\d+\]/.test(element?.textContent ?? '') && element?.textContent?.trim() !== old,
      [await this.prompt(index).elementHandle(), before.trim()] as const,
    );
    await this.idle();
  }

  /** Waits until the cell has a number in its brackets, not a star. */
  async ran(index: number): Promise<void> {
    await this.cells
      .nth(index)
      .locator('.jp-InputPrompt', { hasText: /\[\d+\]/ })
      .waitFor();
    await this.idle();
  }

  /** Types a line into the field that a cell asks with. */
  async answer(line: string): Promise<void> {
    await this.page.locator('.jp-Stdin-input').fill(line);
    await this.page.keyboard.press('Enter');
  }

  /** Restarts the kernel, and says yes where JupyterLab asks. */
  async restart(): Promise<void> {
    const restarted = this.command('notebook:restart-kernel');
    await this.page.locator('.jp-Dialog .jp-mod-accept').click();
    await restarted;
    await this.idle();
  }

  output(index: number): Locator {
    return this.cells.nth(index).locator('.jp-Cell-outputArea');
  }

  /** What the cell shows, as the eye sees it. */
  text(index: number): Promise<string> {
    return this.output(index).innerText();
  }

  /** What the cell shows, as text that is in the page, by lines. */
  async lines(index: number): Promise<string[]> {
    const outputs = await this.output(index).locator('.jp-OutputArea-output').allTextContents();
    return outputs.flatMap((text) => text.replace(/\n$/, '').split('\n'));
  }

  source(index: number): Promise<string> {
    return this.cells.nth(index).locator('.cm-content').innerText();
  }

  private prompt(index: number): Locator {
    return this.cells.nth(index).locator('.jp-InputPrompt');
  }

  async close(): Promise<void> {
    await this.page.close();
  }
}

export function startBrowser(): Promise<Browser> {
  const found = clientBrowser();
  if ('missing' in found) throw new Error(found.missing);
  // Chromium's sandbox doesn't start for root, nor in most containers.
  const args = ['--no-sandbox', '--disable-dev-shm-usage'];
  return chromium.launch({ executablePath: found.browser, args });
}

async function startServer(
  python: string,
  home: JupyterHome,
  token: string,
): Promise<{ server: ChildProcess; url: string }> {
  const options = [
    '--no-browser',
    '--allow-root',
    '--expose-app-in-browser',
    '--port=0',
    '--ip=127.0.0.1',
    `--IdentityProvider.token=${token}`,
    `--ServerApp.root_dir=${home.work}`,
    '--LabApp.extension_manager=readonly',
  ];
  const server = spawn(python, ['-m', 'jupyterlab', ...options], {
    cwd: home.work,
    env: home.env,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  // A test that is cut off leaves no server behind.
  process.once('exit', () => server.kill('SIGKILL'));
  let log = '';
  const url = new Promise<string>((resolve, reject) => {
    const read = (chunk: Buffer): void => {
      log += chunk.toString();
      const match = /http:\/\/127\.0\.0\.1:\d+\//.exec(log);
      if (match) resolve(match[0]);
    };
    server.stdout.on('data', read);
    server.stderr.on('data', read);
    server.once('exit', (code) => reject(new Error(`JupyterLab exited with ${code}:\n${log}`)));
    setTimeout(
      () => reject(new Error(`JupyterLab did not start within ${START_MS / 1000} s:\n${log}`)),
      START_MS,
    ).unref();
  });
  return { server, url: await url };
}
