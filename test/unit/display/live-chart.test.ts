import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { openDevice } from '../../../src/device/device';
import { Chart } from '../../../src/display/chart';
import { type FrontEnd, frontEndKey } from '../../../src/display/front-end';
import { liveChart } from '../../../src/display/live-chart';
import { registerDisplays } from '../../../src/display/register';
import { measure } from '../../../src/measure/measure';
import { type MimeBundle, renderBundle } from '../../../src/renderers';

const globals = globalThis as { [frontEndKey]?: FrontEnd };
let shown: { bundle: Promise<MimeBundle | undefined>; id: string | undefined; update: boolean; at: number }[];

const chartOf = (n: number): Chart =>
  new Chart({
    title: `n ${n}`,
    data: { values: [{ n }] },
    mark: 'point',
    encoding: { x: { field: 'n', type: 'quantitative' } },
  });

beforeEach(() => {
  registerDisplays();
  shown = [];
  globals[frontEndKey] = {
    show: (value, id, update) => void shown.push({ bundle: renderBundle(value), id, update, at: performance.now() }),
    clear: () => {},
    readLine: () => '',
  };
});

afterEach(() => {
  delete globals[frontEndKey];
  vi.restoreAllMocks();
});

describe('liveChart', () => {
  test('updates one display, at most four times a second, and leaves the last state with its picture', async () => {
    const live = liveChart();
    const made: number[] = [];
    const deadline = performance.now() + 10_000;
    for (let n = 0; shown.length < 3 && performance.now() < deadline; n++) {
      live.update(() => {
        made.push(n);
        return chartOf(n);
      });
    }
    live.finish();
    live.finish();
    live.update(chartOf(-1));
    expect(shown).toHaveLength(4);
    expect(made).toHaveLength(4);
    for (let i = 1; i < 3; i++) expect(shown[i].at - shown[i - 1].at).toBeGreaterThanOrEqual(249);
    expect(new Set(shown.map(({ id }) => id)).size).toBe(1);
    expect(shown.map(({ update }) => update)).toEqual([false, ...shown.slice(1).map(() => true)]);
    const bundles = await Promise.all(shown.map(({ bundle }) => bundle));
    expect(bundles[0]?.['image/png']).toBeUndefined();
    const last = bundles[bundles.length - 1];
    expect(last?.['image/png']).toBeTypeOf('string');
    expect(last?.['text/plain']).toBe(`[chart: n ${made[made.length - 1]}]`);
  });

  test('prints its last state where there is no front end', () => {
    delete globals[frontEndKey];
    const log = vi.spyOn(console, 'log').mockImplementation(() => {});
    const live = liveChart();
    live.update(chartOf(1));
    live.update(chartOf(2));
    live[Symbol.dispose]();
    expect(log.mock.calls).toEqual([['[chart: n 2]']]);
    liveChart().finish();
    expect(log).toHaveBeenCalledTimes(1);
  });
});

test('measure({ live: true }) draws its samples while they come', async () => {
  const device = await openDevice('cpu', { threads: 1 });
  const buffer = device.allocate(2 ** 16);
  const options = { device, what: 'filling', live: true, maxSeconds: 0.8, precisionPct: 1e-6, maxSamples: 1e6 };
  const measured = await measure(() => buffer.fill(new Uint8Array(1)), { ...options, sampleUs: 500 });
  device.dispose();
  // How many there are in 0.8 s is the machine's affair: one while it measures, and the last.
  expect(shown.length).toBeGreaterThanOrEqual(2);
  expect((await shown[0].bundle)?.['image/png']).toBeUndefined();
  for (let i = 1; i < shown.length - 1; i++) expect(shown[i].at - shown[i - 1].at).toBeGreaterThanOrEqual(249);
  const last = await shown[shown.length - 1].bundle;
  expect(last?.['image/png']).toBeTypeOf('string');
  expect(JSON.stringify(last?.['application/vnd.vegalite.v5+json'])).toContain(
    `${measured.time.count.toLocaleString('en-US')} samples`,
  );
});

test('a measurement that fails leaves no bar behind for the next one', async () => {
  const device = await openDevice('cpu', { threads: 1 });
  const buffer = device.allocate(64);
  let calls = 0;
  const failing = measure(
    () => {
      if (++calls > 40) throw new Error('enough');
      buffer.fill(new Uint8Array(1));
    },
    { device, what: 'first', live: true, mode: 'host', maxSeconds: 5, precisionPct: 1e-9 },
  );
  await expect(failing).rejects.toThrow('enough');
  const before = new Set(shown.map(({ id }) => id));
  await measure(() => buffer.fill(new Uint8Array(1)), { device, what: 'second', live: true, maxSeconds: 0.1 });
  device.dispose();
  const after = shown.filter(({ id }) => !before.has(id));
  expect(after.length).toBeGreaterThan(0);
});
