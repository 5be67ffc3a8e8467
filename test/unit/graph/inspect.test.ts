import { describe, expect, it } from 'vitest';
import { openDevice } from '../../../src/device/device';
import { capture } from '../../../src/graph/capture';
import { toDot } from '../../../src/graph/inspect';
import { noop } from '../../support/device-programs';

describe('toDot', () => {
  it('writes nodes and edges', async () => {
    const device = await openDevice('cpu', { threads: 1 });
    const buffer = device.allocate(2048);
    const graph = capture(device, () => {
      device.stream.launch({ ...noop(), grid: [132, 2, 1] });
      buffer.fill(new Uint8Array([0]));
    });
    expect(await graph.toDot()).toBe(
      [
        'digraph graph_of_work {',
        '  rankdir=TB;',
        '  node [fontname="sans-serif", fontsize=11];',
        '  n0 [shape=box, label="0: noop\\ngrid 132 × 2 × 1"];',
        '  n1 [shape=cylinder, label="1: fill\\n2.00 KiB"];',
        '  n0 -> n1;',
        '}',
        '',
      ].join('\n'),
    );
    device.dispose();
  });

  it('escapes labels', () => {
    const dot = toDot([{ index: 0, kind: 'empty', label: 'a"b\\c\nd', dependencies: [] }]);
    expect(dot).toContain('label="0: a\\"b\\\\c\\nd"');
  });

  it('is drawn by Graphviz', async () => {
    const { instance } = await import('@viz-js/viz');
    const viz = await instance();
    const nodes = [
      { index: 0, kind: 'kernel', label: 'attention', grid: [132, 1, 1], dependencies: [] },
      { index: 1, kind: 'copy', label: '<b>&', byteLength: 12, dependencies: [0] },
    ] as const;
    expect(viz.renderString(toDot(nodes), { format: 'svg' })).toContain('attention');
  });
});
