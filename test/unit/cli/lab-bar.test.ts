/** How far a comparison has come, on a terminal and in a log. */
import { PassThrough } from 'node:stream';
import { expect, it } from 'vitest';
import { labBar } from '../../../src/cli/progress';
import { LabWork, onLabProgress } from '../../../src/lab/progress';

function shown(isTTY: boolean): string {
  const stream = Object.assign(new PassThrough(), { isTTY, columns: 80, cursorTo: () => true, clearLine: () => true });
  const bar = labBar(stream as unknown as NodeJS.WriteStream);
  const unsubscribe = onLabProgress((progress) => bar.show(progress));
  const work = new LabWork('strategies', 2);
  work.step('eager');
  work.step('persistent');
  work.finish();
  unsubscribe();
  bar.stop();
  return String(stream.read() ?? '');
}

it('writes a line for each step into a log', () => {
  expect(shown(false)).toBe('strategies 1/2: eager\nstrategies 2/2: persistent\n');
});

it('draws a bar on a terminal', () => {
  expect(shown(true)).toContain('strategies 0/2');
});
