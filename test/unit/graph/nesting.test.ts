/** Graphs in graphs, updates of a whole instance, switches, uploads and memory: the same on both devices. */
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import type { Buffer } from '../../../src/device/buffer';
import { type Device, openDevice } from '../../../src/device/device';
import { capture, onCapture } from '../../../src/graph/capture';
import type { Graph } from '../../../src/graph/graph';
import { arange, noop, words } from '../../support/device-programs';
import { openFakeCuda } from '../../support/fake-cuda/build';

const DEVICES: [string, () => Promise<Device>][] = [
  ['the CPU device', () => openDevice('cpu', { threads: 2 })],
  ['the CUDA device, over a fake driver', () => openFakeCuda()],
];

describe.each(DEVICES)('%s', (_, open) => {
  let device: Device;
  let a: Buffer;
  let b: Buffer;
  beforeAll(async () => {
    device = await open();
    [a, b] = [device.allocate(16), device.allocate(16)];
  });
  afterEach(() => {
    delete process.env.FAKE_CUDA_FAIL;
  });
  afterAll(() => {
    for (const buffer of [a, b]) buffer.dispose();
    device.dispose();
    expect(device.leaks).toEqual([]);
  });

  function writing(buffer: Buffer, start: number): Graph {
    return capture(device, () => {
      buffer.fill(new Uint8Array([0]));
      device.stream.launch(arange(buffer, start));
    });
  }

  describe('child graphs', () => {
    it('do all of the graph as one node, as it was, and between what is around them', async () => {
      const child = writing(a, 5);
      const graph = capture(device, () => {
        b.fill(new Uint8Array([0]));
        device.stream.launchGraph(child);
        b.copyFrom(a);
      });
      child.dispose();
      const exec = graph.instantiate();
      exec.replay();
      expect(await words(b)).toEqual([5, 6, 7, 8]);
      expect(await graph.nodes()).toEqual([
        { index: 0, kind: 'fill', label: 'fill', byteLength: 16, dependencies: [] },
        {
          index: 1,
          kind: 'graph',
          label: 'graph',
          dependencies: [0],
          nodes: [
            { index: 0, kind: 'fill', label: 'fill', byteLength: 16, dependencies: [] },
            { index: 1, kind: 'kernel', label: 'tensor_arange', grid: [1, 1, 1], dependencies: [0] },
          ],
        },
        { index: 2, kind: 'copy', label: 'copy', byteLength: 16, dependencies: [1] },
      ]);
      for (const thing of [exec, graph]) thing.dispose();
    });

    it('nest, and are drawn as clusters', async () => {
      const inner = writing(a, 30);
      const middle = capture(device, () => {
        device.stream.launchGraph(inner);
        device.stream.launch(noop());
      });
      const outer = capture(device, () => {
        device.stream.launch(noop());
        device.stream.launchGraph(middle);
        b.copyFrom(a);
      });
      const exec = outer.instantiate();
      exec.replay();
      expect(await words(b)).toEqual([30, 31, 32, 33]);
      expect(await outer.toDot()).toBe(
        [
          'digraph graph_of_work {',
          '  rankdir=TB;',
          '  compound=true;',
          '  node [fontname="sans-serif", fontsize=11];',
          '  n0 [shape=box, label="0: noop\\ngrid 1 × 1 × 1"];',
          '  subgraph cluster_n1 {',
          '    label="1: graph"; fontname="sans-serif"; fontsize=11; style=rounded;',
          '    subgraph cluster_n1_0 {',
          '      label="0: graph"; fontname="sans-serif"; fontsize=11; style=rounded;',
          '      n1_0_0 [shape=cylinder, label="0: fill\\n16 B"];',
          '      n1_0_1 [shape=box, label="1: tensor_arange\\ngrid 1 × 1 × 1"];',
          '      n1_0_0 -> n1_0_1;',
          '    }',
          '    n1_1 [shape=box, label="1: noop\\ngrid 1 × 1 × 1"];',
          '    n1_0_1 -> n1_1 [ltail=cluster_n1_0];',
          '  }',
          '  n2 [shape=cds, label="2: copy\\n16 B"];',
          '  n0 -> n1_0_0 [lhead=cluster_n1];',
          '  n1_1 -> n2 [ltail=cluster_n1];',
          '}',
          '',
        ].join('\n'),
      );
      for (const thing of [exec, outer, middle, inner]) thing.dispose();
    });

    it('make the graph as stale as they are', () => {
      const gone = device.allocate(16);
      let stale: string | undefined;
      const child = capture(device, () => {
        device.stream.launch(arange(gone, 1));
        onCapture(device.stream, { check: () => stale });
      });
      const exec = capture(device, () => device.stream.launchGraph(child)).instantiate();
      exec.replay();
      stale = 'The plan of the child was made anew.';
      expect(() => exec.replay()).toThrow(expect.objectContaining({ code: 'GRAPH_STALE', message: stale }));
      stale = undefined;
      gone.dispose();
      expect(() => exec.replay()).toThrow(/whose node 0 points to buffer 'unlabelled', which has been disposed/);
      exec.dispose();
    });

    it('are for captures, of graphs that are alive and of this device', async () => {
      const child = writing(a, 1);
      expect(() => device.stream.launchGraph(child)).toThrow(
        /which is not being captured; wanted a capture\. Outside of one, instantiate the graph and replay it/,
      );
      const other = await openDevice('cpu', { threads: 1 });
      const foreign = capture(other, () => other.stream.launch(noop()));
      child.dispose();
      const graph = capture(device, () => {
        expect(() => device.stream.launchGraph(child)).toThrow(expect.objectContaining({ code: 'DISPOSED' }));
        expect(() => device.stream.launchGraph(foreign)).toThrow(expect.objectContaining({ code: 'DEVICE_MISMATCH' }));
      });
      expect(graph.size).toBe(0);
      other.dispose();
    });
  });

  describe('exec.update', () => {
    it('takes another graph on, from the next replay on', async () => {
      const exec = writing(a, 1).instantiate();
      exec.replay();
      const next = writing(b, 70);
      await exec.update(next);
      next.dispose();
      a.fill(new Uint8Array([0]));
      exec.replay();
      expect([await words(a), await words(b)]).toEqual([
        [0, 0, 0, 0],
        [70, 71, 72, 73],
      ]);
      exec.updateNode(1, arange(b, 9, 0));
      exec.replay();
      expect(await words(b)).toEqual([9, 9, 9, 9]);
      exec.dispose();
    });

    it('exchanges kernels, and child graphs', async () => {
      const exec = capture(device, () => device.stream.launch(noop())).instantiate();
      await exec.update(capture(device, () => device.stream.launch(arange(a, 4))));
      exec.replay();
      expect(await words(a)).toEqual([4, 5, 6, 7]);
      exec.updateNode(0, arange(a, 14));
      expect(() => exec.updateNode(0, noop())).toThrow("Got an update of node 0 to 'noop'; wanted 'tensor_arange'");
      exec.dispose();
      const nested = (child: Graph): Graph => capture(device, () => device.stream.launchGraph(child));
      const outer = nested(writing(a, 50)).instantiate();
      await outer.update(nested(writing(a, 60)));
      outer.replay();
      expect(await words(a)).toEqual([60, 61, 62, 63]);
      outer.dispose();
    });

    it('looks at the buffers and guards of the graph that it took on', async () => {
      const gone = device.allocate(16);
      const exec = writing(gone, 1).instantiate();
      await exec.update(writing(a, 1));
      gone.dispose();
      exec.replay();
      await exec.update(
        capture(device, () => {
          a.fill(new Uint8Array([0]));
          device.stream.launch(arange(a, 1));
          onCapture(device.stream, { check: () => 'of the new graph' });
        }),
      );
      expect(() => exec.replay()).toThrow('of the new graph');
      exec.dispose();
    });

    const differences: [string, () => void, RegExp][] = [
      ['more nodes', () => [1, 2, 3].map(() => device.stream.launch(noop())), /it has 3 nodes and the instance 2/],
      [
        'another kind of node',
        () => [1, 2].map(() => device.stream.launch(noop())),
        /node 0 is a launch and the instance's a copy or fill/,
      ],
      [
        'other edges',
        () => {
          const other = device.createStream();
          other.wait(device.stream.record());
          a.fill(new Uint8Array([0]));
          other.launch(noop());
          device.stream.wait(other.record());
        },
        /node 1 comes after nothing and the instance's after node 0/,
      ],
      [
        'a child graph instead',
        () => {
          a.fill(new Uint8Array([0]));
          device.stream.launchGraph(capture(device, () => {}, { stream: device.createStream() }));
        },
        /node 1 is a child graph and the instance's a launch/,
      ],
    ];
    it.each(differences)('refuses %s, says why and changes nothing', async (_name, fn, reason) => {
      const exec = writing(a, 1).instantiate();
      const refused = exec.update(capture(device, fn));
      await expect(refused).rejects.toMatchObject({
        code: 'GRAPH_MISMATCH',
        message: expect.stringMatching(reason),
        details: { reason: expect.any(String) },
      });
      await expect(refused).rejects.toThrow(/Nothing has changed; instantiate that graph instead\./);
      exec.replay();
      expect(await words(a)).toEqual([1, 2, 3, 4]);
      exec.dispose();
    });

    it('refuses graphs of other devices, and everything after dispose()', async () => {
      const other = await openDevice('cpu', { threads: 1 });
      const foreign = capture(other, () => other.stream.launch(noop()));
      const exec = writing(a, 1).instantiate();
      await expect(exec.update(foreign)).rejects.toMatchObject({ code: 'DEVICE_MISMATCH' });
      other.dispose();
      const gone = writing(a, 1);
      gone.dispose();
      await expect(exec.update(gone)).rejects.toMatchObject({ code: 'DISPOSED' });
      exec.dispose();
      await expect(exec.update(writing(a, 1))).rejects.toMatchObject({ code: 'DISPOSED' });
    });
  });

  describe('exec.setEnabled', () => {
    it('passes nodes over, also of calls that take the driver several, and after an update', async () => {
      const graphOf = (start: number): Graph =>
        capture(device, () => {
          a.fill(new Uint8Array([1, 0, 0, 0, 2, 0, 0, 0]));
          device.stream.launch(arange(a, start, 1, 2));
        });
      const exec = graphOf(7).instantiate();
      const replayed = async (): Promise<number[]> => {
        a.fill(new Uint8Array([0]));
        exec.replay();
        return words(a);
      };
      expect(await replayed()).toEqual([7, 8, 1, 2]);
      exec.setEnabled(0, false);
      expect(await replayed()).toEqual([7, 8, 0, 0]);
      await exec.update(graphOf(17));
      expect(await replayed()).toEqual([17, 18, 0, 0]);
      exec.setEnabled(1, false);
      exec.setEnabled(0, true);
      expect(await replayed()).toEqual([1, 2, 1, 2]);
      expect(() => exec.setEnabled(2, true)).toThrow('node index is 2; wanted an integer from 0 to 1');
      exec.dispose();
    });

    it('has no switch for child graphs', () => {
      const exec = capture(device, () => device.stream.launchGraph(writingElsewhere())).instantiate();
      expect(() => exec.setEnabled(0, false)).toThrow(/node 0, a child graph; wanted a launch, a copy or a fill/);
      exec.dispose();
    });
  });

  /** A graph captured on a stream of its own, so that it can be made within a capture. */
  function writingElsewhere(): Graph {
    const stream = device.createStream();
    const graph = capture(device, () => stream.launch(noop()), { stream });
    stream.dispose();
    return graph;
  }

  it('exec.upload is one operation of its stream', async () => {
    const exec = writing(a, 3).instantiate();
    const stream = device.createStream();
    exec.upload(stream);
    exec.replay(stream);
    await stream.synchronize();
    expect(stream.pending()).toBe(0);
    expect(await words(a, stream)).toEqual([3, 4, 5, 6]);
    exec.dispose();
    expect(() => exec.upload()).toThrow(expect.objectContaining({ code: 'DISPOSED' }));
    stream.dispose();
  });

  it('exec.memory tells what it takes itself and what it points to', async () => {
    const child = writing(a, 1);
    const exec = capture(device, () => {
      device.stream.launchGraph(child);
      b.copyFrom(a);
    }).instantiate();
    const { ownBytes, bufferBytes, numBuffers } = await exec.memory();
    expect([bufferBytes, numBuffers]).toEqual([32, 2]);
    expect(ownBytes).toBeGreaterThanOrEqual(device.kind === 'cpu' ? 1 : 0);
    exec.dispose();
    await expect(exec.memory()).rejects.toMatchObject({ code: 'DISPOSED' });
  });
});

describe('what the driver refuses, over a fake driver', () => {
  it('is told by node and reason, and changes nothing', async () => {
    const device = await openFakeCuda();
    const buffer = device.allocate(16);
    const graphOf = (cooperative: boolean): Graph =>
      capture(device, () => {
        device.stream.launch(noop());
        device.stream.launch({ ...arange(buffer, cooperative ? 9 : 1), cooperative });
      });
    const exec = graphOf(false).instantiate();
    await expect(exec.update(graphOf(true))).rejects.toMatchObject({
      code: 'GRAPH_MISMATCH',
      details: {
        reason:
          'at node 1, the driver says that attributes of a node differ (cooperative, clusters or programmatic dependent launch)',
      },
    });
    exec.replay();
    expect(await words(buffer)).toEqual([1, 2, 3, 4]);
    process.env.FAKE_CUDA_FAIL = 'cuGraphNodeSetEnabled=1';
    expect(() => exec.setEnabled(0, false)).toThrow(
      /cuGraphNodeSetEnabled failed with CUDA_ERROR_INVALID_VALUE \(1\), while disabling node 0/,
    );
    delete process.env.FAKE_CUDA_FAIL;
    device.dispose();
  });
});
