/** A driver of CUDA 12.0, which lacks what later ones brought: all works, but for what only they can tell. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import type { CudaBackend } from '../../../src/device/cuda';
import type { Device } from '../../../src/device/device';
import { capture } from '../../../src/graph/capture';
import { arange, noop, words } from '../../support/device-programs';
import { buildFakeNvrtc, buildOldFakeDriver, openFakeCuda } from '../../support/fake-cuda/build';
import { fakeSource } from '../../support/fake-cuda/sources';

describe('a driver for CUDA 12.0', () => {
  let folder: string;
  let device: Device;
  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), 'warpbook-old-driver-'));
    vi.stubEnv('WARPBOOK_CACHE', folder);
    vi.stubEnv('CUDA_HOME', buildFakeNvrtc());
    device = await openFakeCuda({}, buildOldFakeDriver());
  });
  afterAll(() => {
    device.dispose();
    vi.unstubAllEnvs();
    rmSync(folder, { recursive: true });
  });

  it('launches programs, and captures and describes them', async () => {
    const buffer = device.allocate(16);
    const graph = capture(device, () => {
      device.stream.launch(noop());
      device.stream.launch(arange(buffer, 3));
    });
    expect((await graph.nodes()).map(({ label, dependencies }) => [label, dependencies])).toEqual([
      ['noop', []],
      ['tensor_arange', [0]],
    ]);
    const exec = graph.instantiate();
    exec.replay();
    expect(await words(buffer)).toEqual([3, 4, 5, 6]);
    for (const thing of [exec, graph, buffer]) thing.dispose();
  });

  it("places the parameters of one's own kernels by C's rule", async () => {
    const source = fakeSource('add(int* word, unsigned value)', 'add', 'add_u32', '8+4', 'Pij');
    const kernel = await device.compile(source, { name: 'add' });
    expect(kernel.info.parameters).toBeUndefined();
    expect(kernel.parameters.map(({ offset, byteLength }) => [offset, byteLength])).toEqual([
      [0, 8],
      [8, 4],
    ]);
    const word = device.allocate(4);
    word.fill(new Uint8Array([0]));
    kernel.launch({ grid: 3, threads: 1 }, word, 4);
    expect(await words(word)).toEqual([12]);
    kernel.dispose();
    word.dispose();
  });

  it('refuses structs, whose size it does not tell, and leaves nothing behind', async () => {
    const source = fakeSource('by_value(Shape shape)', 'by_value', 'by_value', '12', '5Shape');
    const unload = vi.spyOn(device.state.backend as CudaBackend, 'unloadProgram');
    await expect(device.compile(source, { name: 'by_value' })).rejects.toMatchObject({
      code: 'UNSUPPORTED',
      message: expect.stringMatching(
        /a parameter of type Shape, whose size this driver does not tell.*CUDA 12\.4 or newer/,
      ),
    });
    expect(unload).toHaveBeenCalledOnce();
  });
});
