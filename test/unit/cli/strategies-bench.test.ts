/** The bench of strategies and what displays make of a comparison, on the CPU device. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type ResultRow, resultRow } from '../../../src/cli/bench/result-file';
import { benchStrategies } from '../../../src/cli/bench/strategies';
import { type Device, openDevice } from '../../../src/device/device';
import { registerDisplays } from '../../../src/display/register';
import { graphMemoryChart, paddingChart, stepTimeChart } from '../../../src/display/strategy-display';
import { compareStrategies } from '../../../src/lab/compare-strategies';
import { renderBundle } from '../../../src/renderers';
import { smallTrace } from '../../support/strategy-traces';

let device: Device;
beforeAll(async () => {
  registerDisplays();
  device = await openDevice('cpu', { threads: 2 });
});
afterAll(() => device.dispose());

it('warpbook bench strategies gives rows that a result file takes', async () => {
  const rows: ResultRow[] = [];
  const said: string[] = [];
  const flags = { quick: true, steps: 5, batches: ['2'], maxKv: 256, stepMs: 0 };
  for await (const some of benchStrategies(device, flags, (text) => said.push(text))) rows.push(...some);
  for (const row of rows) expect(resultRow.safeParse(row).error).toBeUndefined();
  const named = (what: string) => rows.filter((row) => row.what.startsWith(what)).map(({ strategy }) => strategy);
  expect(named('decode step')).toEqual([
    'eager',
    'fixedGrid',
    'persistent',
    'devicePlanned',
    'devicePlannedInLine',
    'graphPool',
    'graphPoolBuckets',
    'graphPoolPiecewise',
    'hostUpdate',
    'hostUpdateGraph',
  ]);
  expect(named('host time')).toContain('persistent');
  expect(named('period')).toEqual(['devicePlannedInLine', 'devicePlanned']);
  expect(said.join('\n')).toMatch(/not run: launcher: launcher needs CUDA/);
});

describe('a comparison', () => {
  it('is shown as a table with what was left out, and as three charts', async () => {
    const comparison = await compareStrategies({
      device,
      trace: smallTrace(),
      steps: 8,
      model: { maxBatch: 2, maxKvLen: 512 },
      strategies: ['eager', 'graphPool', 'conditional'],
    });
    const bundle = (await renderBundle(comparison)) as Record<string, unknown>;
    const text = String(bundle['text/plain']);
    expect(text).toMatch(/strategy +device p50 \(µs\)/);
    expect(text).toMatch(/Not run[\s\S]*conditional +conditional needs CUDA/);
    expect(String(bundle['text/html'])).toMatch(/<caption[^>]*><strong>Not run</);
    expect(comparison.rows().every((row) => row.deviceP50 > 0 && row.totalP50 > 0 && row.outputs !== 'WRONG')).toBe(
      true,
    );
    for (const chart of [stepTimeChart(comparison), graphMemoryChart(comparison), paddingChart(comparison)]) {
      expect(await chart.toSvg()).toContain('graphPool');
      expect(chart.toText()).toContain('eager: ');
    }
    const explained = (await renderBundle(comparison.results[1].explanation)) as Record<string, unknown>;
    expect(String(explained['text/plain'])).toMatch(/can't enumerate mixed batches/);
  });
});
