import { afterEach, describe, expect, test, vi } from 'vitest';
import { type FrontEnd, frontEndKey } from '../../../src/display/front-end';
import { progress, progressHtml, progressLine } from '../../../src/display/progress';
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

test('the line of a bar: how much, how fast, and how long the rest takes', () => {
  const state = {
    label: 'Run',
    total: 4,
    done: 1,
    note: 'cell 2',
    elapsedNs: 1.2e9,
    rate: Number.NaN,
    finished: false,
    counts: true,
  };
  const bar = `${'━'.repeat(7)}${'─'.repeat(21)}`;
  expect(progressLine(state)).toBe(`Run  ${bar}   25 %  1 of 4  1.20 s  cell 2`);
  expect(progressLine({ ...state, rate: 2.5 })).toBe(`Run  ${bar}   25 %  1 of 4  1.20 s  2.5/s  1.20 s left  cell 2`);
  expect(progressLine({ ...state, rate: 0.25, note: '' })).toBe(
    `Run  ${bar}   25 %  1 of 4  1.20 s  4.00 s each  12.0 s left`,
  );
  expect(progressLine({ ...state, rate: 2.5, finished: true, note: '' })).toMatch(/1\.20 s {2}2\.5\/s$/);
  expect(progressLine({ ...state, rate: 2.5, counts: false, note: '' })).toBe(
    `Run  ${bar}   25 %  1.20 s  1.20 s left`,
  );
  expect(progressLine({ ...state, total: 0, done: 7, note: '', rate: 1234.4 })).toBe('Run  7  1.20 s  1,234/s');
  expect(progressHtml({ ...state, label: '<b>', rate: 2.5 })).toBe(
    '<div><strong>&lt;b&gt;</strong> <progress value="250" max="1000"></progress> 25 % · ' +
      '1 of 4 · 1.20 s · 2.5/s · 1.20 s left · cell 2</div>',
  );
});

test('the rate is that of late, not the mean since the start', () => {
  const lines: string[] = [];
  let now = 0n;
  vi.spyOn(process.hrtime, 'bigint').mockImplementation(() => now);
  globals[frontEndKey] = {
    show: (value) => void renderBundle(value).then((bundle) => lines.push(String(bundle?.['text/plain']))),
    clear: () => {},
    readLine: () => '',
  };
  const bar = progress('Sweep', 1000);
  // A slow first minute at one a second, then ten a second.
  for (let second = 1; second <= 60; second++) {
    now = BigInt(second) * 1_000_000_000n;
    bar.increment();
  }
  for (let second = 61; second <= 80; second++) {
    now = BigInt(second) * 1_000_000_000n;
    bar.increment(10);
  }
  bar.finish();
  return new Promise<void>((resolve) => setImmediate(resolve)).then(() => {
    expect(lines[60]).toContain('  1/s  ');
    expect(lines[80]).toMatch(/ {2}10\/s {2}74\.0 s left$/);
    expect(lines[81]).toMatch(/ {2}3\.3\/s$/);
  });
});
