/** Conditional nodes, graphs that kernels launch, nodes that kernels update: over a fake driver, whose kernels do so too. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Buffer } from '../../../src/device/buffer';
import { type Device, openDevice } from '../../../src/device/device';
import { defineParams } from '../../../src/device/params';
import type { Launch } from '../../../src/device/stream';
import { capture } from '../../../src/graph/capture';
import { arange, noop, words } from '../../support/device-programs';
import { fakeImage, openFakeCuda } from '../../support/fake-cuda/build';

const setParams = defineParams('Set', { handle: ['address', ''], value: ['u32', ''], steps: ['address', ''] });
const launchParams = defineParams('LaunchExec', { handle: ['address', ''] });
const gridParams = defineParams('SetGrid', { handle: ['address', ''], grid: ['u32', ''] });
const addParams = defineParams('Add', { word: ['address', ''], value: ['u32', ''] });

/** Sets a conditional node's value; with `steps`, counts that word up and says whether it is below `value`. */
function setValue(handle: Buffer, value: number, steps?: Buffer): Launch {
  const params = setParams.pack({ handle: handle.address(), value, steps: steps?.address() ?? null });
  return { program: 'set_conditional', grid: [1, 1, 1], params, buffers: steps ? [handle, steps] : [handle] };
}

/** Adds `value` times the number of CTAs. */
function add(word: Buffer, value: number, deviceUpdatable?: boolean): Launch {
  const params = addParams.pack({ word: word.address(), value });
  return { program: 'add_u32', grid: [1, 1, 1], params, buffers: [word], deviceUpdatable };
}

describe('what kernels decide, over a fake driver', () => {
  let device: Device;
  beforeAll(async () => {
    device = await openFakeCuda();
  });
  afterAll(() => device.dispose());

  const word = (): Buffer => {
    const buffer = device.allocate(8);
    buffer.fill(new Uint8Array([0]));
    return buffer;
  };
  const first = async (buffer: Buffer): Promise<number> => (await words(buffer))[0];

  it('a SWITCH runs the body that a kernel chose, or none, and starts each replay with its default', async () => {
    const [handle, out, choice] = [word(), word(), word()];
    const bodies = [1, 10, 100].map((value) => capture(device, () => device.stream.launch(add(out, value))));
    for (const [chosen, wanted] of [
      [1, 10],
      [2, 100],
      [7, 0],
      [undefined, 1],
    ] as const) {
      const graph = capture(device, () => {
        if (chosen !== undefined) device.stream.launch(setValue(handle, chosen));
        device.stream.launchConditional('switch', bodies);
      });
      const node = chosen === undefined ? 0 : 1;
      graph.writeHandle(node, handle);
      const exec = graph.instantiate();
      out.fill(new Uint8Array([0]));
      exec.replay();
      expect(await first(out)).toBe(wanted);
      exec.dispose();
      graph.dispose();
    }
    for (const thing of [handle, out, choice, ...bodies]) thing.dispose();
  });

  it('an IF runs its first body, or its second one where there is one', async () => {
    const [handle, out] = [word(), word()];
    const [yes, no] = [1, 10].map((value) => capture(device, () => device.stream.launch(add(out, value))));
    for (const [bodies, value, wanted] of [
      [[yes], 1, 1],
      [[yes], 0, 0],
      [[yes, no], 0, 10],
    ] as const) {
      const graph = capture(device, () => {
        device.stream.launch(setValue(handle, value));
        device.stream.launchConditional('if', bodies);
      });
      graph.writeHandle(1, handle);
      const exec = graph.instantiate();
      out.fill(new Uint8Array([0]));
      exec.replay();
      expect(await first(out)).toBe(wanted);
    }
  });

  it('a WHILE goes round until a kernel says so, and describes its body', async () => {
    const [handle, out, steps] = [word(), word(), word()];
    const body = capture(device, () => {
      device.stream.launch(add(out, 1));
      device.stream.launch(setValue(handle, 5, steps));
    });
    const graph = capture(device, () => {
      device.stream.launch(noop());
      device.stream.launchConditional('while', [body], 1);
      device.stream.launch(add(out, 100));
    });
    body.dispose();
    expect(await graph.nodes()).toMatchObject([
      { kind: 'kernel', label: 'noop' },
      { kind: 'conditional', label: 'while', bodies: [[{ label: 'add_u32' }, { label: 'set_conditional' }]] },
      { kind: 'kernel', label: 'add_u32', dependencies: [1] },
    ]);
    expect(await graph.toDot()).toContain('diamond');
    graph.writeHandle(1, handle);
    const exec = graph.instantiate();
    exec.replay();
    expect(await first(out)).toBe(105);
    steps.fill(new Uint8Array([0]));
    exec.replay();
    expect(await first(out)).toBe(210);
  });

  it('a kernel launches a graph that was made for it', async () => {
    const [handles, out] = [word(), word()];
    const inner = capture(device, () => device.stream.launch(add(out, 3))).instantiate({ deviceLaunch: true });
    inner.writeHandle(handles);
    const launch: Launch = {
      program: 'launch_exec',
      grid: [1, 1, 1],
      params: launchParams.pack({ handle: handles.address() }),
      buffers: [handles],
    };
    const exec = capture(device, () => device.stream.launch(launch)).instantiate();
    exec.replay();
    exec.replay();
    expect(await first(out)).toBe(6);
  });

  it('a kernel changes the grid of a node of its own graph, and switches it off', async () => {
    const [handles, out] = [word(), word()];
    const setGrid = (grid: number): Launch => ({
      program: 'set_grid',
      grid: [1, 1, 1],
      params: gridParams.pack({ handle: handles.address(), grid }),
      buffers: [handles],
    });
    const graph = capture(device, () => {
      device.stream.launch(setGrid(4));
      device.stream.launch(add(out, 2, true));
    });
    graph.writeHandle(1, handles);
    const exec = graph.instantiate();
    exec.replay();
    expect(await first(out)).toBe(8);
    exec.updateNode(0, setGrid(0));
    exec.replay();
    expect(await first(out)).toBe(8);
    expect(() => graph.instantiate()).toThrow(/second time.*one instance/);
    await expect(exec.update(graph)).rejects.toMatchObject({ code: 'GRAPH_MISMATCH' });
  });

  it('refuses what makes no sense, before the driver sees it', async () => {
    const [handle, out] = [word(), word()];
    const body = capture(device, () => device.stream.launch(add(out, 1)));
    const code = (run: () => unknown): unknown => {
      try {
        run();
      } catch (error) {
        return (error as { code: string }).code;
      }
      return 'nothing';
    };
    expect(code(() => device.stream.launchConditional('if', [body]))).toBe('INVALID_ARGUMENT');
    expect(code(() => device.stream.launch(add(out, 1, true)))).toBe('NATIVE');
    capture(device, () => {
      expect(code(() => device.stream.launchConditional('while', [body, body]))).toBe('INVALID_ARGUMENT');
      expect(code(() => device.stream.launchConditional('switch', []))).toBe('INVALID_ARGUMENT');
      expect(code(() => device.stream.launchConditional('if', [body], -1))).toBe('INVALID_ARGUMENT');
      device.stream.launch(noop());
    });
    expect(code(() => body.writeHandle(0, handle))).toBe('INVALID_ARGUMENT');
    expect(code(() => body.writeHandle(3, handle))).toBe('INVALID_ARGUMENT');
    const looped = capture(device, () => device.stream.launchConditional('while', [body], 0));
    expect(code(() => looped.writeHandle(0, handle, 4))).toBe('INVALID_ARGUMENT');
    // What CUDA doesn't instantiate for the device.
    expect(() => looped.instantiate({ deviceLaunch: true })).toThrow(
      /cuGraphInstantiateWithFlags.*launches by the device/,
    );
    const exec = looped.instantiate();
    expect(() => exec.setEnabled(0, false)).toThrow('conditional node');
    expect(() => exec.updateNode(0, noop())).toThrow('conditional node');
  });

  it('is as stale as its bodies', async () => {
    const out = word();
    const body = capture(device, () => device.stream.launch(add(out, 1)));
    const exec = capture(device, () => device.stream.launchConditional('if', [body], 1)).instantiate();
    out.dispose();
    expect(() => exec.replay()).toThrow(/points to buffer/);
  });

  it("raises the limit of shared memory of a kernel's children", async () => {
    const image = fakeImage('noop 0 32 0 0 1024', 'child 0 32 0 0 1024');
    const children = [{ entry: 'child', sharedMemoryBytes: 100_000 }];
    const options = { entry: 'noop', threads: 32, sharedMemoryBytes: 0, children };
    await expect(device.loadProgram('parent', image, options)).resolves.toMatchObject({ maxThreads: 1024 });
    const missing = { ...options, children: [{ entry: 'nobody', sharedMemoryBytes: 1 }] };
    await expect(device.loadProgram('parent', image, missing)).rejects.toThrow(
      /cuModuleGetFunction.*loading 'nobody', which program 'parent' launches/,
    );
  });
});

describe('a device without them', () => {
  it('the CPU device says that it needs CUDA, and goes on', async () => {
    const device = await openDevice('cpu', { threads: 1 });
    const out = device.allocate(16);
    const body = capture(device, () => device.stream.launch(arange(out, 1)));
    capture(device, () => {
      expect(() => device.stream.launchConditional('switch', [body])).toThrow(/conditional node.*needs CUDA/);
      expect(() => device.stream.launch({ ...arange(out, 1), deviceUpdatable: true })).toThrow(/needs CUDA/);
      device.stream.launch(arange(out, 5));
    });
    expect(() => body.instantiate({ deviceLaunch: true })).toThrow(/needs CUDA/);
    const exec = body.instantiate();
    expect(() => exec.writeHandle(out)).toThrow(/needs CUDA/);
    exec.replay();
    expect(await words(out)).toEqual([1, 2, 3, 4]);
    device.dispose();
  });
});
