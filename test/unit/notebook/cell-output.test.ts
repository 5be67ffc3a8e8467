import { describe, expect, it } from 'vitest';
import { CellOutput } from '../../../src/notebook/kernel/output';
import { jupyterDisplay } from '../../../src/renderers';

function recorded() {
  const sent: [string, Record<string, unknown>][] = [];
  const output = new CellOutput((msgType, content) => sent.push([msgType, content as Record<string, unknown>]));
  return { output, sent };
}

const data = (bundle: object) => ({ data: bundle, metadata: {} });

describe("a cell's output", () => {
  it('joins prints, and sends them at the latest when the cell ends', async () => {
    const { output, sent } = recorded();
    output.flush();
    for (let i = 0; i < 1000; i++) output.write('stdout', `${i}\n`);
    output.write('stderr', 'e');
    output.write('stdout', '');
    await output.settle();
    expect(sent.map(([type, { name }]) => [type, name])).toEqual([
      ['stream', 'stdout'],
      ['stream', 'stderr'],
    ]);
  });

  it('sends long text without waiting', () => {
    const { output, sent } = recorded();
    output.flush();
    output.write('stdout', 'x'.repeat(70_000));
    expect(sent).toHaveLength(1);
  });

  it("sends a cell's first print at once: busy code may follow", () => {
    const { output, sent } = recorded();
    output.send('execute_input', {});
    output.write('stdout', 'first');
    output.write('stdout', 'second');
    expect(sent.map(([, { text }]) => text)).toEqual([undefined, 'first']);
  });

  it('sends soon what is printed while the loop turns', async () => {
    const { output, sent } = recorded();
    output.flush();
    output.write('stdout', 'x');
    expect(sent).toHaveLength(0);
    await expect.poll(() => sent.length).toBe(1);
  });

  it('keeps the order, however long a display takes', async () => {
    const { output, sent } = recorded();
    const slow = {
      [jupyterDisplay]: () => new Promise((resolve) => setTimeout(resolve, 30, { 'text/plain': 'slow' })),
    };
    output.write('stdout', 'before');
    output.show('display_data', slow, data);
    output.write('stdout', 'after');
    output.show('display_data', 'fast', data);
    output.send('clear_output', { wait: true });
    await output.settle();
    expect(sent.map(([type, content]) => content.text ?? (content.data as object | undefined) ?? type)).toEqual([
      'before',
      { 'text/plain': 'slow' },
      'after',
      { 'text/plain': 'fast' },
      'clear_output',
    ]);
  });

  it('shows nothing for an empty bundle', async () => {
    const { output, sent } = recorded();
    output.show('execute_result', { [jupyterDisplay]: () => ({}) }, data);
    output.write('stdout', 'x');
    await output.settle();
    expect(sent.map(([type]) => type)).toEqual(['stream']);
  });
});
