import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, describe, expect, it, vi } from 'vitest';
import {
  dataFolder,
  installKernelspec,
  kernelspecFolder,
  uninstallKernelspec,
} from '../../../src/notebook/kernel/kernelspec';
import { kernelMain } from '../../../src/notebook/kernel/package-paths';
import { temporaryFolder } from '../../support/notebooks';

const prefix = temporaryFolder();
afterEach(() => vi.unstubAllEnvs());

describe('the kernelspec', () => {
  it('starts this package with this Node, and goes again', () => {
    const folder = installKernelspec({ prefix });
    expect(folder).toBe(join(prefix, 'share', 'jupyter', 'kernels', 'warpbook'));
    const spec = JSON.parse(readFileSync(join(folder, 'kernel.json'), 'utf8'));
    expect(spec).toEqual({
      argv: [process.execPath, kernelMain, '--connection-file', '{connection_file}'],
      display_name: 'TypeScript (warpbook)',
      language: 'typescript',
      interrupt_mode: 'message',
      metadata: { debugger: false },
    });
    expect(installKernelspec({ prefix })).toBe(folder);
    expect(uninstallKernelspec({ prefix })).toBe(folder);
    expect(existsSync(folder)).toBe(false);
    expect(() => uninstallKernelspec({ prefix })).toThrow(
      `got no kernelspec at ${folder}; wanted one that 'warpbook install' wrote.`,
    );
  });

  it("goes to the user's Jupyter folder", () => {
    vi.stubEnv('JUPYTER_DATA_DIR', '/data/jupyter');
    expect(kernelspecFolder({ user: true })).toBe('/data/jupyter/kernels/warpbook');
  });

  it('goes into a project, for a Jupyter that is told so', () => {
    const folder = installKernelspec({ here: prefix });
    expect(folder).toBe(join(prefix, '.jupyter', 'share', 'jupyter', 'kernels', 'warpbook'));
    expect(dataFolder({ here: prefix })).toBe(join(prefix, '.jupyter', 'share', 'jupyter'));
    expect(uninstallKernelspec({ here: prefix })).toBe(folder);
  });

  it("leaves someone else's kernel alone", () => {
    const folder = kernelspecFolder({ prefix });
    mkdirSync(folder, { recursive: true });
    writeFileSync(join(folder, 'kernel.json'), '{"argv":["other"]}');
    expect(() => uninstallKernelspec({ prefix })).toThrow('starts another kernel; wanted one of warpbook.');
    expect(existsSync(folder)).toBe(true);
  });
});
