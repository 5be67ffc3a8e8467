import { afterEach, describe, expect, test, vi } from 'vitest';
import { type FrontEnd, frontEndKey } from '../../../src/display/front-end';
import { progress, progressLine } from '../../../src/display/progress';
import { renderBundle } from '../../../src/renderers';

const globals = globalThis as { [frontEndKey]?: FrontEnd };

afterEach(() => {
  delete globals[frontEndKey];
  vi.restoreAllMocks();
});

describe('progress in a notebook', () => {
  test('shows one display and updates it, at most ten times a second', async () => {
    const shown: { text: string; id: string | undefined; update: boolean }[] = [];
    globals[frontEndKey] = {
      show: (value, id, update) =>
        void renderBundle(value).then((bundle) => shown.push({ text: String(bundle?.['text/plain']), id, update })),
      clear: () => {},
      readLine: () => '',
    };
    const bar = progress('Sweep\x1b[31m', 1000);
    for (let i = 0; i < 400; i++) bar.increment();
    bar.finish();
    bar.finish();
    bar.update(1000);
    await new Promise((resolve) => setImmediate(resolve));
    expect(shown.length).toBeGreaterThanOrEqual(2);
    expect(shown.length).toBeLessThan(10);
    expect(shown.map(({ update }) => update)).toEqual([false, ...shown.slice(1).map(() => true)]);
    expect(new Set(shown.map(({ id }) => id)).size).toBe(1);
    expect(shown[0].text).toMatch(/^Sweep {2}─{28} {4}0 % {2}0 of 1,000/);
    expect(shown[shown.length - 1].text).toMatch(/^Sweep {2}━{11}─{17} {3}40 % {2}400 of 1,000/);
  });
});

describe('progress in a log', () => {
  test('is one line, when it is over', () => {
    const written: string[] = [];
    vi.spyOn(process.stderr, 'write').mockImplementation((text) => written.push(String(text)) > 0);
    const isTTY = process.stderr.isTTY;
    process.stderr.isTTY = false;
    try {
      const bar = progress('Cells', 3);
      bar.increment(2, 'second');
      bar.update(99);
      expect(written).toEqual([]);
      bar.finish();
      const open = progress('Bytes', 0);
      open.update(1_500_000);
      open[Symbol.dispose]();
    } finally {
      process.stderr.isTTY = isTTY;
    }
    expect(written).toHaveLength(2);
    expect(written[0]).toMatch(/^Cells: 3 of 3 in .*s\n$/);
    expect(written[1]).toMatch(/^Bytes: 1,500,000 in .*s\n$/);
  });
});

test('progress in a terminal redraws one line and ends with it', () => {
  const written: string[] = [];
  vi.spyOn(process.stderr, 'write').mockImplementation((text) => written.push(String(text)) > 0);
  const { isTTY } = process.stderr;
  process.stderr.isTTY = true;
  try {
    const bar = progress('Cells', 3);
    bar.update(3, 'last');
    bar.finish();
  } finally {
    process.stderr.isTTY = isTTY;
  }
  const text = written.join('');
  expect(text).toContain('Cells  ──');
  expect(text).toMatch(/━{28} {2}100 % {2}3 of 3 .* last/);
  expect(text.match(/\n/g)).toHaveLength(1);
});

test('the line of a bar', () => {
  const state = { label: 'Run', total: 4, done: 1, note: 'cell 2', elapsedNs: 1.2e9 };
  expect(progressLine(state)).toBe(`Run  ${'━'.repeat(7)}${'─'.repeat(21)}   25 %  1 of 4  1.20 s  cell 2`);
  expect(progressLine({ ...state, total: 0, done: 7, note: '' })).toBe('Run  7  1.20 s');
});
