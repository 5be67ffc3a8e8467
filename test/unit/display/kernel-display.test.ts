import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import type { Device } from '../../../src/device/device';
import { Kernel } from '../../../src/device/kernel/kernel';
import { describeParameters } from '../../../src/device/kernel/signature';
import { CompilationError } from '../../../src/device/programs/compilation-error';
import { announceCompilation } from '../../../src/device/programs/compile-watch';
import { frontEndKey } from '../../../src/display/front-end';
import { registerDisplays } from '../../../src/display/register';
import { renderBundle } from '../../../src/renderers';
import { fakeImage, openFakeCuda } from '../../support/fake-cuda/build';

beforeAll(() => registerDisplays());

const SOURCE = '// <b>\n__global__ void scale(float* x) {\n  *x = y;\n}\n\n#error too\n';
const LOG = [
  'kernel.cu(3): error: identifier "y" is undefined',
  '    *x = y;',
  '         ^',
  '',
  'kernel.cu(6): error: #error directive: too',
  'lib.cuh(7): warning #177-D: variable "a" was declared but never referenced',
  '1 error detected',
].join('\n');

describe('a source that does not compile', () => {
  const error = new CompilationError({ title: "Kernel 'scale'", file: 'kernel.cu', text: SOURCE }, LOG);

  it('is shown with the lines at fault and what is around them', async () => {
    const bundle = await renderBundle(error);
    expect(bundle?.['text/plain']).toBe(
      [
        "Kernel 'scale' does not compile: 2 errors, 1 warning",
        '',
        'kernel.cu, line 3: error: identifier "y" is undefined',
        '  1 | // <b>',
        '  2 | __global__ void scale(float* x) {',
        '  3 |   *x = y;',
        '    |        ^',
        '  4 | }',
        '  5 |',
        '',
        'kernel.cu, line 6: error: #error directive: too',
        '  4 | }',
        '  5 |',
        '  6 | #error too',
        '  7 |',
        '',
        'lib.cuh, line 7: warning: variable "a" was declared but never referenced',
      ].join('\n'),
    );
    const html = String(bundle?.['text/html']);
    expect(html).toContain('<strong>kernel.cu, line 3: error:</strong> identifier &quot;y&quot; is undefined');
    expect(html).toContain(
      '1 | // &lt;b&gt;\n2 | __global__ void scale(float* x) {\n<strong>3 |   *x = y;</strong>\n<strong>  |        ^</strong>',
    );
    expect(html).toContain('All that the compiler said</summary><pre>kernel.cu(3): error');
  });

  it('is not printed with its whole source', () => {
    expect(Object.keys(error).sort()).toEqual(['code', 'details', 'name']);
    expect([error.log, error.source.text]).toEqual([LOG, SOURCE]);
  });
});

describe('a kernel', () => {
  let device: Device;
  beforeAll(async () => {
    device = await openFakeCuda({ name: 'gpu' });
  });
  afterAll(() => device.dispose());

  it('is shown with what it takes, how full an SM gets, and its source', async () => {
    const image = fakeImage('scale 8 96 16 1024 512');
    const info = await device.loadProgram('kernel', image, { entry: 'scale', threads: 0, sharedMemoryBytes: 0 });
    const parameters = describeParameters('scale', ['float*'], ['x'], info.parameters);
    const resources = { registers: 96, stackBytes: 16, spillStoreBytes: 4, spillLoadBytes: 8, staticSharedBytes: 1024 };
    const parts = { label: 'scale<float>', program: 'kernel', source: SOURCE, parameters, info, resources };
    const kernel = new Kernel(device, parts);
    const text = String((await renderBundle(kernel))?.['text/plain']);
    expect(text).toContain('Kernel scale<float> on device gpu');
    expect(text).toMatch(/signature +scale<float>\(float\* x\)\n/);
    expect(text).toMatch(/registers +96 a thread\n/);
    expect(text).toMatch(/shared memory +1\.00 KiB declared by the kernel\n/);
    expect(text).toMatch(/spills +4 B of stores, 8 B of loads a thread\n/);
    expect(text).toMatch(/threads +at most 512 a CTA\n/);
    expect(text).toMatch(/512 +4 +2,?048 +100 %/);
    expect(text).not.toMatch(/1,?024 +\d+ +\d/);
    expect(text).toContain('2 | __global__ void scale(float* x) {');
    kernel.dispose();
    expect((await renderBundle(kernel))?.['text/plain']).toMatch(/state +disposed/);
  });
});

describe('compilations', () => {
  afterEach(() => {
    vi.restoreAllMocks();
    delete (globalThis as { [frontEndKey]?: unknown })[frontEndKey];
  });

  it('are shown in a notebook as they go', async () => {
    const shown: string[] = [];
    (globalThis as { [frontEndKey]?: unknown })[frontEndKey] = {
      show: (value: unknown) => void renderBundle(value).then((bundle) => shown.push(String(bundle?.['text/plain']))),
      clear: () => undefined,
    };
    const batch = announceCompilation(3);
    batch.progress({ done: 1, total: 3, name: 'decode', cached: false });
    batch.end();
    await vi.waitFor(() => expect(shown.length).toBeGreaterThanOrEqual(2));
    expect(shown[0]).toMatch(/^Compiling kernels .*0 % {2}0 of 3/);
    expect(shown.at(-1)).toMatch(/33 % {2}1 of 3 .*decode/);
  });

  it('leave no trace in a log', () => {
    const write = vi.spyOn(process.stderr, 'write').mockReturnValue(true);
    const batch = announceCompilation(1);
    batch.end();
    expect(write).not.toHaveBeenCalled();
  });
});
