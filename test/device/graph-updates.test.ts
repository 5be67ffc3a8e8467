/** Graphs in graphs, updates of a whole instance, switches and memory, on a real GPU. */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import type { Buffer } from '../../src/device/buffer';
import type { Device } from '../../src/device/device';
import { capture } from '../../src/graph/capture';
import type { Graph } from '../../src/graph/graph';
import { arange, noop, openProbed, store, words } from './probes';

const PATTERN = new Uint8Array([1, 0, 0, 0, 2, 0, 0, 0]);

describe('graphs', () => {
  let device: Device;
  let a: Buffer;
  let b: Buffer;
  before(async () => {
    device = await openProbed();
    [a, b] = [device.allocate(16), device.allocate(16)];
  });
  after(() => {
    for (const buffer of [a, b]) buffer.dispose();
    device.dispose();
  });

  /** A fill that takes the driver two nodes, and a launch. */
  const adding = (buffer: Buffer, value: number, cooperative = false): Graph =>
    capture(device, () => {
      buffer.fill(PATTERN);
      device.stream.launch({ ...store('add_word', buffer, value), cooperative });
    });

  it('are nodes of other graphs', async () => {
    const child = capture(device, () => device.stream.launch(arange(a, 5)));
    const graph = capture(device, () => {
      b.fill(new Uint8Array([0]));
      device.stream.launchGraph(child);
      b.copyFrom(a);
    });
    child.dispose();
    const nodes = await graph.nodes();
    assert.deepEqual(
      nodes.map(({ kind, dependencies }) => [kind, dependencies]),
      [
        ['fill', []],
        ['graph', [0]],
        ['copy', [1]],
      ],
    );
    assert.equal(nodes[1].nodes?.[0].label, 'arange');
    const exec = graph.instantiate();
    exec.replay();
    assert.deepEqual(await words(b), [5, 6, 7, 8]);
    for (const thing of [exec, graph]) thing.dispose();
  });

  it('take the place of others in an instance, or say why not', async () => {
    // The launch adds its value once a thread: 64 of them.
    const exec = adding(a, 1).instantiate();
    await exec.update(adding(a, 2));
    exec.upload();
    exec.replay();
    assert.deepEqual(await words(a), [129, 2, 1, 2]);
    await assert.rejects(exec.update(adding(a, 3, true)), {
      code: 'GRAPH_MISMATCH',
      message: /at node 1, the driver says that .*Nothing has changed; instantiate that graph instead/,
    });
    await assert.rejects(exec.update(capture(device, () => device.stream.launch(noop()))), {
      code: 'GRAPH_MISMATCH',
      message: /it has 1 node and the instance 2/,
    });
    exec.replay();
    assert.deepEqual(await words(a), [129, 2, 1, 2]);
    exec.dispose();
  });

  it('pass over nodes that are disabled, also after an update', async () => {
    const exec = adding(a, 1).instantiate();
    exec.setEnabled(0, false);
    await exec.update(adding(a, 2));
    a.fill(new Uint8Array([0]));
    exec.replay();
    assert.deepEqual(await words(a), [128, 0, 0, 0]);
    exec.setEnabled(0, true);
    exec.setEnabled(1, false);
    exec.replay();
    assert.deepEqual(await words(a), [1, 2, 1, 2]);
    exec.dispose();
  });

  it('tell what they take', async () => {
    const graph = capture(device, () => {
      for (let i = 0; i < 5000; i++) device.stream.launch(store('add_word', a, 1));
    });
    const exec = graph.instantiate();
    const { ownBytes, bufferBytes, numBuffers } = await exec.memory();
    console.log(`an instance of 5,000 kernel nodes takes ${ownBytes} bytes of the GPU's memory`);
    assert.deepEqual([bufferBytes, numBuffers], [16, 1]);
    assert.ok(ownBytes >= 0);
    exec.dispose();
    graph.dispose();
  });

  it('are not replayed on memory that is gone', () => {
    const gone = device.allocate(16);
    const exec = adding(gone, 1).instantiate();
    gone.dispose();
    assert.throws(() => exec.replay(), { code: 'GRAPH_STALE', message: /points to buffer 'unlabelled'/ });
    exec.dispose();
  });
});
