import type { ICodeCell } from '@jupyterlab/nbformat';
import { describe, expect, it } from 'vitest';
import { OutputCollector } from '../../../src/notebook/run/outputs';
import { type Content, type Message, makeHeader } from '../../../src/notebook/run/protocol';

const cellOf = (): ICodeCell => ({ cell_type: 'code', source: '', metadata: {}, outputs: [], execution_count: null });

/** Two cells, 'a' and 'b', and what a kernel says about them. */
function collect(...messages: [parent: string, msgType: string, content: Content, metadata?: Content][]) {
  const collector = new OutputCollector();
  const cells = { a: cellOf(), b: cellOf() };
  collector.begin('a', cells.a);
  collector.begin('b', cells.b);
  for (const [parent, msgType, content, metadata = {}] of messages) {
    const message: Message = {
      identities: [],
      header: makeHeader(msgType, 's'),
      parentHeader: { msg_id: parent },
      metadata,
      content,
    };
    collector.add(message);
  }
  collector.store();
  return { collector, a: cells.a.outputs, b: cells.b.outputs, cells };
}

const out = (text: string, name: string = 'stdout'): Content => ({ name, text });
const shown = (text: string, id?: string): Content => ({
  data: { 'text/plain': text },
  metadata: {},
  transient: id ? { display_id: id } : {},
});

describe('outputs', () => {
  it('merge what one stream prints in a row', () => {
    const { a } = collect(
      ['a', 'stream', out('1')],
      ['a', 'stream', out('2')],
      ['a', 'stream', out('3', 'stderr')],
      ['a', 'stream', out('4')],
    );
    expect(a.map(({ name, text }) => [name, text])).toEqual([
      ['stdout', '12'],
      ['stderr', '3'],
      ['stdout', '4'],
    ]);
  });

  it('go to the cell that they belong to, whichever was begun last', () => {
    const { a, b } = collect(
      ['b', 'stream', out('b')],
      ['a', 'stream', out('late a')],
      ['unknown', 'stream', out('nobody')],
    );
    expect([a.length, b.length]).toEqual([1, 1]);
    expect(a[0].text).toBe('late a');
  });

  it('hold nothing that the format has no place for', () => {
    const { a } = collect(
      ['a', 'display_data', shown('x', 'id')],
      ['a', 'execute_result', { ...shown('y'), execution_count: 3 }],
      ['a', 'error', { ename: 'E', evalue: 'v', traceback: [], status: 'error' }],
      ['a', 'status', { execution_state: 'idle' }],
      ['a', 'execute_input', { code: '' }],
    );
    expect(a).toEqual([
      { output_type: 'display_data', data: { 'text/plain': 'x' }, metadata: {} },
      { output_type: 'execute_result', execution_count: 3, data: { 'text/plain': 'y' }, metadata: {} },
      { output_type: 'error', ename: 'E', evalue: 'v', traceback: [] },
    ]);
  });

  it('are updated wherever they are shown', () => {
    const { a, b } = collect(
      ['a', 'display_data', shown('old', 'id')],
      ['b', 'display_data', shown('old', 'id')],
      ['b', 'display_data', shown('other', 'id2')],
      ['b', 'update_display_data', shown('new', 'id')],
    );
    expect([...a, ...b].map(({ data }) => (data as Record<string, string>)['text/plain'])).toEqual([
      'new',
      'new',
      'other',
    ]);
  });

  it('are cleared at once, or when the next one comes', () => {
    const at = collect(['a', 'stream', out('1')], ['a', 'clear_output', { wait: false }]);
    expect(at.a).toEqual([]);
    const waiting = collect(['a', 'stream', out('1')], ['a', 'clear_output', { wait: true }]);
    expect(waiting.a).toHaveLength(1);
    const next = collect(['a', 'stream', out('1')], ['a', 'clear_output', { wait: true }], ['a', 'stream', out('2')]);
    expect(next.a.map(({ text }) => text)).toEqual(['2']);
  });

  it('tell of failures that came late', () => {
    const note = { late: 'unhandledRejection', ename: 'E', evalue: 'v', traceback: [], line: 2 };
    const { collector, cells } = collect(['a', 'stream', out('text', 'stderr'), { warpbook: note }]);
    expect(collector.late).toEqual([{ cell: cells.a, note }]);
  });

  it('take native prints for the cell begun last', () => {
    const collector = new OutputCollector();
    collector.addNative('stdout', 'before any');
    const cell = cellOf();
    collector.begin('a', cell);
    collector.addNative('stdout', 'native');
    collector.store();
    expect(cell.outputs.map(({ text }) => text)).toEqual(['native']);
  });
});
